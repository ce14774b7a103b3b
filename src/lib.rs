//! **sexton** runs a program as its child, passes on every signal, reaps every orphan (as PID 1 of a container,
//! or as a child subreaper), and ends with the program's status.
//!
//! How the data flows:
//!
//! ```text
//! argv, environment ──> cli ──> Config ────┐
//!                                          ├──> Plan ──> spawn ──> supervise ──> Outcome ──> exit status
//! mask, session, terminal ──> Surroundings ┘   (pure)           (loop around a pure step)
//! ```
//!
//! [`Launcher`] runs a program in this way and returns an [`Outcome`]:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use sexton::{Ending, Launcher, Signal};
//!
//! fn test() -> Result<u8, sexton::Error> {
//!     let make = Launcher::new("make").arg("test");
//!     let outcome = make.timeout(Duration::from_secs(600)).rewrite(Signal::TERM, Some(Signal::INT)).run()?;
//!     if let Ending::Signaled { signal, .. } = outcome.ending {
//!         println!("ended by {signal}");
//!     }
//!     println!("{} orphans were reaped", outcome.tally.orphans_reaped);
//!     Ok(outcome.exit_code())
//! }
//! ```
//!
//! [`become_init`] makes a program that may be PID 1 an ordinary process:
//!
//! ```no_run
//! fn main() -> Result<(), sexton::Error> {
//!     // First of all: before any thread is started.
//!     sexton::become_init()?;
//!     println!("PID {} is not 1", std::process::id());
//!     Ok(())
//! }
//! ```
//!
//! Linux only.

mod config;
#[cfg(feature = "cli")]
mod duration;
mod environment;
mod error;
mod exec_failure;
#[cfg(feature = "cli")]
mod explain;
#[cfg(feature = "cli")]
mod inspect;
mod launcher;
mod mounts;
mod news;
mod outcome;
#[cfg(feature = "cli")]
mod pause;
mod plan;
mod process_tree;
mod replacement;
mod report;
mod run;
mod session;
mod signal;
mod spawn;
mod status;
mod stderr;
mod supervise;
mod surroundings;
mod sys;
mod users;

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;

pub use config::{Delivery, GroupWish, Leftovers, ReportTo, Reraise, Subreaper};
pub use environment::ExpandError;
pub use error::Error;
pub use exec_failure::ExecFailure;
pub use launcher::{Launcher, become_init};
pub use outcome::{End, Leftover, LeftoverEnd, Outcome, Tally};
pub use signal::{Signal, UnknownSignal};
pub use status::Ending;
#[doc(hidden)]
pub use sys::entry;
pub use users::{UserError, UserWish};
