//! What can happen, and what can be done about it: the words in which the loop and the state speak.

use crate::signal::Signal;
use crate::status::Ending;
use crate::sys::signals::{Payload, Received};

/// Something happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// sexton received a signal that tells nothing of its children.
    Signal(Received),
    /// The program was stopped.
    ProgramStopped(Signal),
    /// sexton was to stop as well, and there is nobody who could resume it.
    NobodyAbove,
    /// The program ended, and is reaped.
    ProgramEnded {
        /// How.
        ending: Ending,
        /// Whether descendants may be left.
        leftovers: bool,
    },
    /// Other descendants died, and are reaped.
    Reaped,
    /// No descendant is left.
    NoneLeft,
    /// None is left that sexton may send signals.
    AllRefuse,
    /// A deadline may have passed.
    Time,
}

/// Something is to be done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect {
    /// Send the signal on to those whom the plan names.
    Forward {
        /// The signal, after rewriting.
        signal: Signal,
        /// What came with it, if it was queued.
        payload: Option<Payload>,
    },
    /// Stop as the program did, until somebody continues sexton; then continue the program.
    FollowStop(Signal),
    /// Find out whether somebody could resume the program.
    LookAbove,
    /// Continue the program and its group.
    Continue,
    /// The same if the program is stopped.
    ContinueIfStopped,
    /// Say that a stop request is held back.
    TellOfDelay(Signal),
    /// Say that the program's time is over.
    TellOfTimeout,
    /// Send SIGTERM and SIGCONT to all leftovers.
    Terminate,
    /// Send SIGKILL to the program and all descendants, again and again until none is left.
    Kill {
        /// Why.
        because: Escalation,
    },
    /// Say which could not be ended.
    NameSurvivors,
}

/// What led to SIGKILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escalation {
    /// `--leftovers kill`: it is the rule.
    Rule,
    /// The grace or `--kill-after` has passed.
    TimeOver,
    /// A stop request came in the grace.
    StopRequest,
}

/// What came of it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How the program ended.
    pub ending: Ending,
    /// Whether it was out of time.
    pub timed_out: bool,
}
