//! Starts the init under test in every mode, and watches it.
//!
//! `init` says how, `launcher` does it in a process of its own, `running` is the result. `suite` is the list of
//! tests. `pty` is a terminal to run a shell on, `comparison` runs a scenario on it twice. `raw` and `process` talk to
//! the kernel. See tests/README.md for the environment variables.

pub(crate) mod comparison;
pub(crate) mod containment;
pub(crate) mod guardian;
pub(crate) mod init;
pub(crate) mod launcher;
pub(crate) mod output;
pub(crate) mod process;
pub(crate) mod pty;
pub(crate) mod raw;
pub(crate) mod running;
pub(crate) mod suite;
pub(crate) mod temporary;

pub(crate) use init::{Init, Mode, NOBODY, find_program, probe, sexton_only, under_test};
pub(crate) use pty::{Shell, Terminal, Wrapper};
pub(crate) use running::{Ending, Finished, Running, deadline, poll, try_poll, within};
pub(crate) use suite::{Suite, measured, skip};
pub(crate) use temporary::TemporaryDirectory;
