//! How a run went.

use std::collections::BTreeMap;

use crate::plan::Plan;
use crate::signal::Signal;
use crate::status::{Ending, TIMED_OUT};

/// How a run went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// How the program ended.
    pub ending: Ending,
    /// Whether it ran out of time.
    pub timed_out: bool,
    /// How to end as the program did.
    pub end: End,
    /// What was done meanwhile.
    pub tally: Tally,
}

/// How to end as the program did. sexton ends in this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By exiting with this code.
    Exit(u8),
    /// By the signal that ended the program.
    Reraise(Signal),
}

/// What was done in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// How many orphans were reaped.
    pub orphans_reaped: u64,
    /// How often each signal was sent on, after rewrites.
    pub forwarded: BTreeMap<Signal, u64>,
    /// What was still alive when the program had ended; empty unless a report was asked for.
    pub leftovers: Vec<Leftover>,
}

/// A descendant that was still alive when the program had ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leftover {
    /// Its PID, as sexton sees it.
    pub pid: i32,
    /// Its name, up to 15 bytes (`/proc/PID/comm`).
    pub name: Vec<u8>,
    /// Its arguments, the program's name first.
    pub command_line: Vec<Vec<u8>>,
    /// The letter of its state when the program had ended, as ps(1) shows it.
    pub state: u8,
    /// What became of it.
    pub end: LeftoverEnd,
}

/// What became of a leftover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeftoverEnd {
    /// It ended, and sexton reaped it.
    Reaped(Ending),
    /// It ended, and another process reaped it.
    Unseen,
    /// It was still alive when sexton ended.
    Alive,
}

impl Outcome {
    pub(crate) fn new(plan: &Plan, ending: Ending, timed_out: bool, tally: Tally) -> Outcome {
        let code = if timed_out { TIMED_OUT } else { ending.code() };
        let end = match (plan.config.remaps.get(code), ending) {
            (Some(code), _) => End::Exit(code),
            (None, Ending::Signaled { signal, .. }) if plan.reraise && !timed_out => End::Reraise(signal),
            (None, _) => End::Exit(code),
        };
        Outcome { ending, timed_out, end, tally }
    }

    /// The exit code; 128 + N where `end` is signal N.
    pub fn exit_code(&self) -> u8 {
        match self.end {
            End::Exit(code) => code,
            End::Reraise(_) => self.ending.code(),
        }
    }
}
