//! What sexton has to tell while it works, before it is put into words: a front end that stands in for another tool
//! uses that tool's words, which people and programs look for.

use log::{debug, info, warn};
use nix::errno::Errno;
use nix::unistd::Pid;

use crate::config::Delivery;
use crate::plan::{Adoption, Plan};
use crate::process_tree::Named;
use crate::signal::Signal;
use crate::status::Ending;

/// An event that may be logged.
#[derive(Debug)]
#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "only other tools' words need all of it"))]
pub enum News<'a> {
    /// Whether orphans come to sexton is settled.
    Adopting(Adoption),
    /// The program was started.
    Started(Pid, &'a Plan),
    /// sexton received a signal that is to be passed on.
    Received {
        /// The signal.
        signal: Signal,
        /// What is sent in its place; `None` where it is dropped.
        becomes: Option<Signal>,
    },
    /// A signal was sent on, or was to be.
    Forwarded {
        /// The signal.
        signal: Signal,
        /// Which processes were to get it.
        to: Delivery,
        /// The program, until it is reaped.
        program: Option<Pid>,
        /// What came of it.
        result: Result<(), Errno>,
    },
    /// An orphan was reaped.
    Reaped {
        /// Its PID.
        pid: Pid,
        /// Its name, where orphans are to be named.
        named: Option<Named>,
        /// How it ended.
        ending: Ending,
    },
    /// The program's process group was sent a last signal.
    Parted(Signal),
    /// The program ended.
    Ended(Pid, Ending),
    /// A process that is not PID 1 was asked to pause.
    PausingBelowInit,
    /// The pause is over.
    PauseOver(Signal),
}

/// Logs news, or does not.
pub type Tell = fn(&News<'_>);

/// Logs in sexton's own words. No name is looked up for a line that is not written.
pub fn tell(news: &News<'_>) {
    let is_told = |level| log::log_enabled!(level);
    match news {
        News::Started(program, plan) if is_told(log::Level::Info) => {
            info!("started {}", Named::look_up_started(*program, &plan.config.program));
        }
        News::Forwarded { signal, to: Delivery::Tree, result, .. } => match result {
            Ok(()) => info!("forwarded {signal} to every descendant"),
            Err(errno) => warn!("cannot forward {signal} to every descendant: {errno}"),
        },
        News::Forwarded { signal, program: Some(program), result: Ok(()), .. }
            if is_told(log::Level::Info) =>
        {
            info!("forwarded {signal} to {}", Named::look_up(*program));
        }
        News::Forwarded { signal, program: Some(program), result: Err(errno), .. } => {
            warn!("cannot forward {signal} to {}: {errno}", Named::look_up(*program));
        }
        News::Reaped { named: Some(named), ending, .. } => warn!("reaped the orphan {named}, which {ending}"),
        News::Reaped { pid, named: None, ending } => debug!("reaped the orphan {pid}, which {ending}"),
        News::Parted(signal) => info!("sent {signal} to the program's process group"),
        News::Ended(_, ending) => info!("the program {ending}"),
        News::PausingBelowInit => {
            warn!("not PID 1, so orphans do not come here: run it as the first process of the PID namespace");
        }
        News::PauseOver(signal) => info!("the pause is over: {signal}"),
        News::Adopting(_) | News::Started(..) | News::Received { .. } | News::Forwarded { .. } => {}
    }
}
