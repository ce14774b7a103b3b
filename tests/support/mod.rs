//! Starts the init under test in every mode, and watches it.
//!
//! `init` says how, `launcher` does it in a process of its own, `running` is the result. `suite` is the list of
//! tests, `waiting` has polling and bounds on time. `pty` is a terminal to run a shell on, and `comparison` runs a
//! scenario on it twice. `raw` and `process` talk to the kernel. tests/README.md has the environment variables.

pub(crate) mod comparison;
pub(crate) mod containment;
pub(crate) mod guardian;
pub(crate) mod held_call;
pub(crate) mod held_exec;
pub(crate) mod init;
pub(crate) mod launcher;
pub(crate) mod output;
pub(crate) mod process;
pub(crate) mod pty;
pub(crate) mod raw;
pub(crate) mod running;
pub(crate) mod suite;
pub(crate) mod temporary;
pub(crate) mod waiting;

pub(crate) use held_call::{HeldCall, hold};
pub(crate) use held_exec::HeldExec;
pub(crate) use init::{Init, Mode, NOBODY, find_program, probe, sexton_only, under_test};
pub(crate) use pty::{Shell, Terminal, Wrapper};
pub(crate) use running::{Ending, Finished, Running};
pub(crate) use suite::{Suite, measured, skip};
pub(crate) use temporary::TemporaryDirectory;
pub(crate) use waiting::{
    ALL_PATIENCE, DEFAULT_GRACE, LONGER_THAN_A_STALL, PATIENCE, costs_at_most, deadline, poll, try_poll,
    within,
};
