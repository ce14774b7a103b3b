//! The program as a job: which signals it has got already and which it is to get, and what follows when it stops. A
//! pure machine: it looks at nothing and does nothing, so that every order of events can be tried.

use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::config::Delivery;
use crate::plan::{Group, Plan, Stops};
use crate::signal::{Signal, SignalSet};
use crate::sys::signals::{Origin, Received};

use super::clock::Now;
use super::effect::{Effect, Effects};

/// How long a program that was continued and stops again stays stopped. One that reads from a terminal in the
/// background stops again at once.
pub const STOP_AGAIN: Duration = Duration::from_millis(100);

/// The signals that a terminal sends: keys, background reading and writing, hang-up, window size (termios(3),
/// ioctl_tty(2)).
const FROM_TERMINALS: [Signal; 8] = [
    Signal::INT,
    Signal::QUIT,
    Signal::TSTP,
    Signal::TTIN,
    Signal::TTOU,
    Signal::HUP,
    Signal::CONT,
    Signal::WINCH,
];

/// The program as a job.
#[derive(Debug)]
pub struct Job<'a> {
    plan: &'a Plan,
    /// What the terminal may have sent sexton's group before the program was in it.
    missed: SignalSet,
    /// Whether the program was sent a stop, and has neither been seen to stop since nor been continued.
    stop_is_on_its_way: bool,
    /// When a stop may be undone again.
    undo_from: Option<Instant>,
    /// When a stop is undone.
    undo_at: Option<Instant>,
}

/// A signal that sexton received, and what is to become of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    /// The signal as it came.
    pub received: Received,
    /// Whether the program has got it too, without sexton.
    pub has_arrived: bool,
    /// What the program is to get in its place; `None` where it is dropped.
    pub becomes: Option<Signal>,
}

impl Arrival {
    /// Whether the program gets anything, in whatever way.
    pub fn reaches_program(&self) -> bool {
        self.has_arrived || self.becomes.is_some()
    }
}

impl<'a> Job<'a> {
    /// The program is about to be started.
    pub fn new(plan: &'a Plan) -> Job<'a> {
        Job { plan, missed: SignalSet::EMPTY, stop_is_on_its_way: false, undo_from: None, undo_at: None }
    }

    /// Takes note of signals that have come before the program is in the group that it shares.
    pub fn missed(&mut self, missed: SignalSet) {
        self.missed = missed;
    }

    /// Whether it matters if a signal's sender is in sexton's process group.
    pub fn asks_for_senders_group(&self, signal: Signal) -> bool {
        self.plan.group == Group::Shared && signal.stops_a_job()
    }

    /// Decides what is to become of a signal; `None` where it is no business of the program's. `from_own_group` says
    /// whether the sender is in sexton's process group, where that matters.
    pub fn arrival(&mut self, mut received: Received, from_own_group: bool) -> Option<Arrival> {
        let signal = received.signal;
        // A member of the shared group that sends SIGTSTP stops the whole group, as an editor does with
        // `kill(0, SIGTSTP)`: the program has the signal already.
        let has_group = self.asks_for_senders_group(signal) && from_own_group;
        if has_group || self.is_own_doing(received) {
            return None;
        }
        if received.origin == Origin::Kernel && self.missed.contains(signal) {
            // Only sexton has got it, as if a process had sent it.
            received.origin = Origin::Process(Pid::from_raw(0));
        }
        // A signal that is not queued is pending once at most.
        self.missed = self.missed.without(signal);
        // The terminal signals a whole process group.
        let has_arrived = self.plan.group == Group::Shared
            && received.origin == Origin::Kernel
            && FROM_TERMINALS.contains(&signal);
        Some(Arrival { received, has_arrived, becomes: self.plan.config.rewrites.apply(signal) })
    }

    /// Whether sexton brought the signal on itself: it logged to a pipe without a reader or to a file at its limit
    /// (write(2)), or gave its terminal up.
    fn is_own_doing(&self, received: Received) -> bool {
        let comes_of_session = |signal| match self.plan.group {
            Group::Session(session) => session.comes_of_giving_up_terminal(signal),
            Group::Shared | Group::Own { .. } => false,
        };
        let signal = received.signal;
        received.origin == Origin::Process(self.plan.myself)
            && (matches!(signal, Signal::PIPE | Signal::XFSZ) || comes_of_session(signal))
    }

    /// Passes a signal on, unless the program has got it or it is dropped.
    pub fn pass(&mut self, arrival: Arrival, effects: &mut Effects) {
        let Arrival { received, has_arrived: false, becomes: Some(signal) } = arrival else { return };
        if (received.signal, signal) == (Signal::CONT, Signal::CONT) && self.is_continued_by_shell() {
            // Shells continue whole process groups, and one more SIGCONT could undo a stop that has come since. But a stop
            // that sexton itself has sent may have come after the group's SIGCONT, and not have been seen yet.
            effects.push(match std::mem::take(&mut self.stop_is_on_its_way) {
                true => Effect::Continue,
                false => Effect::ContinueIfStopped,
            });
            return;
        }
        let payload = match received.origin {
            Origin::Queued(payload) => Some(payload),
            _ => None,
        };
        self.stop_is_on_its_way |= signal.stops_a_job();
        effects.push(Effect::Forward { signal, payload });
        // A shell that stops sexton means the program too, and cannot see into a session of its own. The program's stop
        // is not waited for: in the middle of vfork(2) it stops only when its child lets it go, which may be stopped.
        let is_for_all = matches!(self.plan.group, Group::Session(_)) && self.plan.stops == Stops::Follow;
        if is_for_all && signal == Signal::STOP && received.signal.stops_a_job() {
            effects.push(Effect::FollowStop(Signal::STOP));
        }
    }

    fn is_continued_by_shell(&self) -> bool {
        self.plan.group == Group::Shared
            && self.plan.stops == Stops::Follow
            && self.plan.config.delivery != Delivery::Tree
    }

    /// The program was stopped.
    pub fn program_stopped(&mut self, signal: Signal, now: &Now, effects: &mut Effects) {
        self.stop_is_on_its_way = false;
        match self.plan.stops {
            // It has asked sexton, its parent, to trace it (PTRACE_TRACEME, ptrace(2)): then wait(2) tells of every signal
            // as of a stop, and SIGCONT resumes nothing.
            _ if !signal.stops_a_job() && signal != Signal::STOP => {}
            Stops::Follow => effects.push(Effect::FollowStop(signal)),
            // SIGSTOP never comes by itself: whatever sent it meant it.
            _ if signal == Signal::STOP => {}
            Stops::Undo => self.nobody_above(now, effects),
            Stops::Leave => effects.push(Effect::LookAbove),
        }
    }

    /// The program is stopped, and nothing is there that could resume it.
    pub fn nobody_above(&mut self, now: &Now, effects: &mut Effects) {
        match self.undo_from.replace(now.get() + STOP_AGAIN) {
            Some(undo_from) if undo_from > now.get() => self.undo_at = Some(undo_from),
            _ => effects.push(Effect::Continue),
        }
    }

    /// When to call `time`, if at all.
    pub fn deadline(&self) -> Option<Instant> {
        self.undo_at
    }

    /// A deadline may have passed.
    pub fn time(&mut self, now: &Now, effects: &mut Effects) {
        if self.undo_at.take_if(|at| *at <= now.get()).is_some() {
            effects.push(Effect::Continue);
        }
    }
}
