//! What follows from what: pure, so that every order of events can be tried without a process or a clock.

use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::config::{Delivery, Leftovers};
use crate::plan::{EndingPolicy, Group, Plan, Stops};
use crate::signal::{Rewrites, Signal, SignalSet};
use crate::status::Ending;
use crate::sys::signals::{Origin, Received};

use super::clock::Now;
use super::event::{Effect, Escalation, Event, Finished};

/// How long sexton waits for what it has sent SIGKILL, since the last of them died: a process that does not
/// die within this is in an uninterruptible wait. (Of 10,000 processes that die at the same time, the first is gone
/// after more than half a second: they share locks.)
pub const PATIENCE: Duration = Duration::from_secs(3);

/// How long sexton waits for them in all: some may not be killed, and start others that may, for ever.
pub const ALL_PATIENCE: Duration = Duration::from_secs(30);

/// How long a program that was continued and stops again stays so. One that reads from a terminal in whose
/// foreground it is not stops at once again.
pub const STOP_AGAIN: Duration = Duration::from_millis(100);

/// Where things stand.
#[derive(Debug)]
pub struct State {
    rewrites: Rewrites,
    shares_group: bool,
    leads_session: bool,
    delivers_to_tree: bool,
    /// What the terminal may have sent sexton's group when the program was not in it yet.
    missed: SignalSet,
    stops: Stops,
    policy: EndingPolicy,
    phase: Phase,
    /// Whether the program was sent a stop, and has neither been seen to stop since nor been continued.
    stop_is_on_its_way: bool,
    /// When a stop may be undone again.
    undo_from: Option<Instant>,
    /// When a stop is undone.
    undo_at: Option<Instant>,
    /// The first stop request, while it is held back.
    held: Option<Held>,
    stop_requested: bool,
    timeout_at: Option<Instant>,
    timed_out: bool,
    kill_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    request: Received,
    until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The program runs.
    Running,
    /// The program and its tree were sent SIGKILL; the program is not dead yet.
    KillingProgram { patience: Patience },
    /// The program has ended; leftovers are given time.
    Waiting {
        ending: Ending,
        /// Until when; for ever where there is none, and they were not asked to end.
        until: Option<Instant>,
    },
    /// Leftovers are sent SIGKILL.
    Killing { ending: Ending, patience: Patience },
    /// Nothing is left to do.
    Over { ending: Ending },
}

/// How long what was sent SIGKILL is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Patience {
    until: Instant,
    at_most_until: Instant,
}

impl Patience {
    fn from(now: &Now) -> Patience {
        Patience { until: now.get() + PATIENCE, at_most_until: now.get() + ALL_PATIENCE }
    }

    /// Something has died.
    fn renew(&mut self, now: &Now) {
        self.until = self.at_most_until.min(now.get() + PATIENCE);
    }
}

type Effects = Vec<Effect>;

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

impl State {
    /// The program is about to be started.
    pub fn new(plan: &Plan, now: &Now) -> State {
        State {
            rewrites: plan.rewrites.clone(),
            shares_group: plan.group == Group::Shared,
            leads_session: matches!(plan.group, Group::Session { .. }),
            delivers_to_tree: plan.delivery == Delivery::Tree,
            ..State::running(plan.ending.clone(), plan.stops, now)
        }
    }

    /// A program of its own group that gets all signals alone.
    fn running(policy: EndingPolicy, stops: Stops, now: &Now) -> State {
        State {
            rewrites: Rewrites::default(),
            shares_group: false,
            leads_session: false,
            delivers_to_tree: false,
            missed: SignalSet::EMPTY,
            timeout_at: policy.timeout.and_then(|timeout| now.get().checked_add(timeout.after)),
            stops,
            policy,
            phase: Phase::Running,
            stop_is_on_its_way: false,
            undo_from: None,
            undo_at: None,
            held: None,
            stop_requested: false,
            timed_out: false,
            kill_at: None,
        }
    }

    /// The program was started, and these were pending before.
    pub fn having_missed(self, missed: SignalSet) -> State {
        State { missed, ..self }
    }

    /// What came of it, once nothing is left to do.
    pub fn finished(&self) -> Option<Finished> {
        match self.phase {
            Phase::Over { ending } => Some(Finished { ending, timed_out: self.timed_out }),
            _ => None,
        }
    }

    /// When `Event::Time` is due, if at all.
    pub fn deadline(&self) -> Option<Instant> {
        let held_until = self.held.map(|held| held.until);
        match self.phase {
            Phase::Running => {
                [held_until, self.timeout_at, self.kill_at, self.undo_at].into_iter().flatten().min()
            }
            Phase::Waiting { until, .. } => {
                [until, self.timeout_at, self.kill_at].into_iter().flatten().min()
            }
            Phase::KillingProgram { patience } | Phase::Killing { patience, .. } => Some(patience.until),
            Phase::Over { .. } => None,
        }
    }

    /// Takes note of an event, and says what is to be done.
    pub fn step(&mut self, event: Event, now: &Now) -> Effects {
        match event {
            Event::Signal(received) => self.signal(received, now),
            Event::ProgramStopped(signal) => self.program_stopped(signal, now),
            Event::NobodyAbove => self.undo_stop(now),
            Event::ProgramEnded { ending, leftovers } => self.program_ended(ending, leftovers, now),
            Event::Reaped => self.reaped(now),
            Event::NoneLeft => self.none_left(),
            Event::AllRefuse => self.give_up(),
            Event::Time => self.time(now),
        }
    }

    fn signal(&mut self, mut received: Received, now: &Now) -> Effects {
        if received.origin == Origin::Kernel && self.missed.contains(received.signal) {
            // It is sexton alone that has it, as if a process had sent it.
            received.origin = Origin::Process(Pid::from_raw(0));
        }
        // Of one that is not queued there is one.
        self.missed = self.missed.without(received.signal);
        let is_stop_request = self.policy.stop_signals.contains(received.signal);
        match self.phase {
            Phase::Running if is_stop_request => self.stop_request(received, now),
            Phase::Running => self.forward(received),
            Phase::Waiting { ending, until: None } if is_stop_request => self.terminate(ending, now),
            Phase::Waiting { ending, .. } if is_stop_request => {
                self.kill(ending, Escalation::StopRequest, now)
            }
            Phase::Waiting { .. } if self.delivers_to_tree => self.forward(received),
            // A reaped PID may be anybody's by now, and those who are being killed need no more.
            _ => Vec::new(),
        }
    }

    fn stop_request(&mut self, request: Received, now: &Now) -> Effects {
        let is_first = !std::mem::replace(&mut self.stop_requested, true);
        if is_first && !self.policy.stop_delay.is_zero() && !self.has_reached_the_program(request) {
            // A delay too long for the clock is for ever.
            if let Some(until) = now.get().checked_add(self.policy.stop_delay) {
                self.held = Some(Held { request, until });
            }
            return vec![Effect::TellOfDelay(request.signal)];
        }
        // The second goes through at once, and in place of a first that says the same.
        let mut effects = match self.held.take() {
            Some(held) if held.request.signal != request.signal => self.forward(held.request),
            _ => Vec::new(),
        };
        effects.extend(self.forward(request));
        self.start_kill_timer(request, &effects, now);
        effects
    }

    fn start_kill_timer(&mut self, request: Received, effects: &Effects, now: &Now) {
        let arrived = !effects.is_empty() || self.has_reached_the_program(request);
        if arrived && self.kill_at.is_none() {
            self.kill_at = self.policy.kill_after.and_then(|kill_after| now.get().checked_add(kill_after));
        }
    }

    fn forward(&mut self, received: Received) -> Effects {
        if self.has_reached_the_program(received) {
            return Vec::new();
        }
        let payload = match received.origin {
            Origin::Queued(payload) => Some(payload),
            _ => None,
        };
        let signal = self.rewrites.apply(received.signal);
        if self.shares_group
            && self.stops == Stops::Follow
            && !self.delivers_to_tree
            && (received.signal, signal) == (Signal::CONT, Some(Signal::CONT))
        {
            // Shells continue whole process groups. One SIGCONT more could undo a stop that has come since. But a stop that
            // sexton itself has sent may have come after the group's SIGCONT, and not be seen yet.
            return match std::mem::take(&mut self.stop_is_on_its_way) {
                true => vec![Effect::Continue],
                false => vec![Effect::ContinueIfStopped],
            };
        }
        self.stop_is_on_its_way |= signal.is_some_and(Signal::stops_a_job);
        let mut effects: Effects =
            signal.map(|signal| Effect::Forward { signal, payload }).into_iter().collect();
        if signal == Some(Signal::STOP) && self.is_stop_for_all(received.signal) {
            effects.push(Effect::FollowStop(Signal::STOP));
        }
        effects
    }

    /// Whether a shell that stops sexton means the program's session too, which it cannot see. The program's own stop is
    /// not waited for: in the midst of vfork(2) it stops only when its child lets it go, and that may be stopped.
    fn is_stop_for_all(&self, signal: Signal) -> bool {
        self.leads_session && self.stops == Stops::Follow && signal.stops_a_job()
    }

    /// The terminal signals a whole process group, and the program is in sexton's.
    fn has_reached_the_program(&self, received: Received) -> bool {
        self.shares_group && received.origin == Origin::Kernel && FROM_TERMINALS.contains(&received.signal)
    }

    fn program_stopped(&mut self, signal: Signal, now: &Now) -> Effects {
        self.stop_is_on_its_way = false;
        match self.stops {
            _ if self.phase != Phase::Running => Vec::new(),
            // It has asked sexton, its parent, to trace it (PTRACE_TRACEME, ptrace(2)): then wait(2) tells of every
            // signal as of a stop, and SIGCONT resumes nothing.
            _ if !signal.stops_a_job() && signal != Signal::STOP => Vec::new(),
            Stops::Follow => vec![Effect::FollowStop(signal)],
            // Somebody meant that.
            _ if signal == Signal::STOP => Vec::new(),
            Stops::Undo => self.undo_stop(now),
            Stops::Leave => vec![Effect::LookAbove],
        }
    }

    fn undo_stop(&mut self, now: &Now) -> Effects {
        match self.undo_from.replace(now.get() + STOP_AGAIN) {
            Some(undo_from) if undo_from > now.get() => {
                self.undo_at = Some(undo_from);
                Vec::new()
            }
            _ => vec![Effect::Continue],
        }
    }

    fn program_ended(&mut self, ending: Ending, leftovers: bool, now: &Now) -> Effects {
        let was_killed = matches!(self.phase, Phase::KillingProgram { .. });
        let held = self.held.take();
        match self.policy.leftovers {
            _ if !leftovers => self.over(ending),
            // Its tree was to die with it.
            _ if was_killed => {
                self.phase = Phase::Killing { ending, patience: Patience::from(now) };
                Vec::new()
            }
            Leftovers::Leave => self.over(ending),
            Leftovers::Kill => self.kill(ending, Escalation::Rule, now),
            Leftovers::Terminate => self.terminate(ending, now),
            // The request that the program did not live to see is the leftovers'.
            Leftovers::Wait if held.is_some() => self.terminate(ending, now),
            Leftovers::Wait => {
                self.phase = Phase::Waiting { ending, until: None };
                Vec::new()
            }
        }
    }

    fn over(&mut self, ending: Ending) -> Effects {
        self.phase = Phase::Over { ending };
        Vec::new()
    }

    fn terminate(&mut self, ending: Ending, now: &Now) -> Effects {
        self.timeout_at = None;
        // A grace too long for the clock ends with the next stop request.
        let far = now.get() + Duration::from_secs(u64::from(u32::MAX));
        self.phase =
            Phase::Waiting { ending, until: Some(now.get().checked_add(self.policy.grace).unwrap_or(far)) };
        vec![Effect::Terminate]
    }

    fn kill(&mut self, ending: Ending, because: Escalation, now: &Now) -> Effects {
        self.phase = Phase::Killing { ending, patience: Patience::from(now) };
        vec![Effect::Kill { because }]
    }

    fn reaped(&mut self, now: &Now) -> Effects {
        if let Phase::Killing { patience, .. } | Phase::KillingProgram { patience } = &mut self.phase {
            patience.renew(now);
        }
        Vec::new()
    }

    fn none_left(&mut self) -> Effects {
        match self.phase {
            Phase::Waiting { ending, .. } | Phase::Killing { ending, .. } => self.over(ending),
            _ => Vec::new(),
        }
    }

    #[cold]
    #[inline(never)]
    fn time(&mut self, now: &Now) -> Effects {
        let is_over = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now.get());
        match self.phase {
            Phase::Running => self.time_of_program(now),
            Phase::Waiting { ending, until } if is_over(until) || is_over(self.kill_at) => {
                self.kill(ending, Escalation::TimeOver, now)
            }
            Phase::Waiting { ending, .. } if is_over(self.timeout_at) => {
                self.timed_out = true;
                [vec![Effect::TellOfTimeout], self.terminate(ending, now)].concat()
            }
            Phase::KillingProgram { patience } | Phase::Killing { patience, .. }
                if patience.until <= now.get() =>
            {
                self.give_up()
            }
            _ => Vec::new(),
        }
    }

    fn give_up(&mut self) -> Effects {
        let ending = match self.phase {
            // Nobody can say how it will end; this is how it was to end.
            Phase::KillingProgram { .. } => Ending::Signaled { signal: Signal::KILL, core_dumped: false },
            Phase::Killing { ending, .. } => ending,
            _ => return Vec::new(),
        };
        self.over(ending);
        vec![Effect::NameSurvivors]
    }

    fn time_of_program(&mut self, now: &Now) -> Effects {
        let is_over = |deadline: Instant| deadline <= now.get();
        let mut effects = Vec::new();
        if self.undo_at.take_if(|at| is_over(*at)).is_some() {
            effects.push(Effect::Continue);
        }
        if let Some(held) = self.held.take_if(|held| is_over(held.until)) {
            effects.extend(self.forward(held.request));
            self.start_kill_timer(held.request, &effects, now);
        }
        if let Some(timeout) = self.policy.timeout
            && self.timeout_at.take_if(|at| is_over(*at)).is_some()
        {
            self.timed_out = true;
            let send = |signal| Effect::Forward { signal, payload: None };
            // As timeout(1) does: a stopped program must run to end.
            effects.extend([Effect::TellOfTimeout, send(timeout.signal), send(Signal::CONT)]);
            let kill_at = now.get().checked_add(timeout.kill_after);
            self.kill_at = [self.kill_at, kill_at].into_iter().flatten().min();
        }
        if self.kill_at.take_if(|at| is_over(*at)).is_some() {
            self.phase = Phase::KillingProgram { patience: Patience::from(now) };
            effects.push(Effect::Kill { because: Escalation::TimeOver });
        }
        effects
    }
}

#[cfg(test)]
mod tests;
