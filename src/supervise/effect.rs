//! What can be done: the words in which the two machines, `job` and `lifetime`, tell the loop.

use crate::signal::Signal;
use crate::sys::signals::Payload;

/// Something that the loop is to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect {
    /// Send a signal to the processes that the plan names.
    Forward {
        /// The signal, after rewriting.
        signal: Signal,
        /// What came with it, if it was queued.
        payload: Option<Payload>,
    },
    /// Stop as the program did, until sexton is continued; then continue the program.
    FollowStop(Signal),
    /// Find out whether anything could resume the program.
    LookAbove,
    /// Continue the program and its group.
    Continue,
    /// Continue the program and its group if it is stopped.
    ContinueIfStopped,
    /// Log that a stop request is held back.
    TellOfDelay(Signal),
    /// Log that the program's time is over.
    TellOfTimeout,
    /// Send SIGTERM and SIGCONT to all leftovers.
    Terminate,
    /// Send SIGKILL to the program and all descendants, again and again until none is left.
    Kill {
        /// The reason.
        because: Escalation,
    },
    /// Log which processes could not be ended.
    NameSurvivors,
}

/// Where effects are collected.
pub type Effects = Vec<Effect>;

/// What led to SIGKILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escalation {
    /// `--leftovers kill`: it is the rule.
    Rule,
    /// The grace or `--kill-after` has passed.
    TimeOver,
    /// A stop request came during the grace.
    StopRequest,
}
