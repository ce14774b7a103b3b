//! How a run comes to its end: stop requests, deadlines, leftovers. A pure machine: it is told what happened and what
//! time it is, and answers with effects.

use std::time::{Duration, Instant};

use crate::config::{Config, Delivery, Leftovers};
use crate::plan::Plan;
use crate::signal::Signal;
use crate::status::Ending;

use super::clock::Now;
use super::effect::{Effect, Effects, Escalation};
use super::job::{Arrival, Job};

/// How long sexton waits for what it has sent SIGKILL, from the last death on: a process that does not die within this
/// is in an uninterruptible wait. (When 10,000 processes die together, the first is gone after more than half a second:
/// they share locks.)
pub const PATIENCE: Duration = Duration::from_secs(3);

/// How long sexton waits for them in all: some may be beyond its permission to kill, and start others for ever.
pub const ALL_PATIENCE: Duration = Duration::from_secs(30);

/// Where a run stands.
#[derive(Debug)]
pub struct Lifetime<'a> {
    /// The program, as long as it runs.
    pub job: Job<'a>,
    config: &'a Config,
    phase: Phase,
    /// The first stop request, while it is held back.
    held: Option<Held>,
    stop_requested: bool,
    timeout_at: Option<Instant>,
    timed_out: bool,
    kill_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    request: Arrival,
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
        /// The end of the grace; `None` where they were not asked to end, and may take for ever.
        until: Option<Instant>,
    },
    /// Leftovers are sent SIGKILL.
    Killing { ending: Ending, patience: Patience },
    /// Nothing is left to do.
    Over { ending: Ending },
}

/// How long processes that were sent SIGKILL are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Patience {
    until: Instant,
    at_most_until: Instant,
}

impl Patience {
    fn from(now: &Now) -> Patience {
        Patience { until: now.get() + PATIENCE, at_most_until: now.get() + ALL_PATIENCE }
    }

    /// A process has died.
    fn renew(&mut self, now: &Now) {
        self.until = self.at_most_until.min(now.get() + PATIENCE);
    }
}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How the program ended.
    pub ending: Ending,
    /// Whether it ran out of time.
    pub timed_out: bool,
}

impl<'a> Lifetime<'a> {
    /// The program is about to be started, and its time begins.
    pub fn new(plan: &'a Plan, now: &Now) -> Lifetime<'a> {
        let config = &plan.config;
        Lifetime {
            job: Job::new(plan),
            timeout_at: config.timeout.and_then(|timeout| now.get().checked_add(timeout)),
            config,
            phase: Phase::Running,
            held: None,
            stop_requested: false,
            timed_out: false,
            kill_at: None,
        }
    }

    /// What came of the run, when nothing is left to do.
    pub fn finished(&self) -> Option<Finished> {
        match self.phase {
            Phase::Over { ending } => Some(Finished { ending, timed_out: self.timed_out }),
            _ => None,
        }
    }

    /// Whether the program runs and is not being killed.
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// When to call `time`, if at all.
    pub fn deadline(&self) -> Option<Instant> {
        let held_until = self.held.map(|held| held.until);
        match self.phase {
            Phase::Running => {
                [self.job.deadline(), held_until, self.timeout_at, self.kill_at].into_iter().flatten().min()
            }
            Phase::Waiting { until, .. } => {
                [until, self.timeout_at, self.kill_at].into_iter().flatten().min()
            }
            Phase::KillingProgram { patience } | Phase::Killing { patience, .. } => Some(patience.until),
            Phase::Over { .. } => None,
        }
    }

    /// A signal came.
    pub fn signal(&mut self, arrival: Arrival, now: &Now, effects: &mut Effects) {
        let is_stop_request = self.config.stop_signals.contains(arrival.received.signal);
        match self.phase {
            Phase::Running if is_stop_request => self.stop_request(arrival, now, effects),
            Phase::Running => self.job.pass(arrival, effects),
            Phase::Waiting { ending, until: None } if is_stop_request => self.terminate(ending, now, effects),
            Phase::Waiting { ending, .. } if is_stop_request => {
                self.kill(ending, Escalation::StopRequest, now, effects);
            }
            Phase::Waiting { .. } if self.config.delivery == Delivery::Tree => {
                self.job.pass(arrival, effects)
            }
            // The program is reaped or as good as dead, and processes that are being killed need no more.
            _ => {}
        }
    }

    fn stop_request(&mut self, request: Arrival, now: &Now, effects: &mut Effects) {
        let is_first = !std::mem::replace(&mut self.stop_requested, true);
        if is_first && !self.config.stop_delay.is_zero() && !request.has_arrived {
            // A delay too long for the clock is for ever.
            if let Some(until) = now.get().checked_add(self.config.stop_delay) {
                self.held = Some(Held { request, until });
            }
            effects.push(Effect::TellOfDelay(request.received.signal));
            return;
        }
        // The second goes through at once, and in place of a first that says the same.
        let held = self.held.take().map(|held| held.request);
        if let Some(held) = held.filter(|held| held.received.signal != request.received.signal) {
            self.pass_request(held, now, effects);
        }
        self.pass_request(request, now, effects);
    }

    fn pass_request(&mut self, request: Arrival, now: &Now, effects: &mut Effects) {
        self.job.pass(request, effects);
        if request.reaches_program() && self.kill_at.is_none() {
            self.kill_at = self.config.kill_after.and_then(|kill_after| now.get().checked_add(kill_after));
        }
    }

    /// The program ended, and is reaped. `leftovers` says whether it may have left descendants.
    pub fn program_ended(&mut self, ending: Ending, leftovers: bool, now: &Now, effects: &mut Effects) {
        let was_killed = matches!(self.phase, Phase::KillingProgram { .. });
        let held = self.held.take();
        match self.config.leftovers {
            _ if !leftovers => self.phase = Phase::Over { ending },
            // Its tree was to die with it.
            _ if was_killed => self.phase = Phase::Killing { ending, patience: Patience::from(now) },
            Leftovers::Leave => self.phase = Phase::Over { ending },
            Leftovers::Kill => self.kill(ending, Escalation::Rule, now, effects),
            Leftovers::Terminate => self.terminate(ending, now, effects),
            // The request that the program did not live to see is the leftovers'.
            Leftovers::Wait if held.is_some() => self.terminate(ending, now, effects),
            Leftovers::Wait => self.phase = Phase::Waiting { ending, until: None },
        }
    }

    fn terminate(&mut self, ending: Ending, now: &Now, effects: &mut Effects) {
        self.timeout_at = None;
        // A grace too long for the clock ends with the next stop request.
        let far = now.get() + Duration::from_secs(u64::from(u32::MAX));
        let until = now.get().checked_add(self.config.grace).unwrap_or(far);
        self.phase = Phase::Waiting { ending, until: Some(until) };
        effects.push(Effect::Terminate);
    }

    fn kill(&mut self, ending: Ending, because: Escalation, now: &Now, effects: &mut Effects) {
        self.phase = Phase::Killing { ending, patience: Patience::from(now) };
        effects.push(Effect::Kill { because });
    }

    /// Other descendants died, and are reaped.
    pub fn reaped(&mut self, now: &Now) {
        if let Phase::Killing { patience, .. } | Phase::KillingProgram { patience } = &mut self.phase {
            patience.renew(now);
        }
    }

    /// No descendant is left.
    pub fn none_left(&mut self) {
        if let Phase::Waiting { ending, .. } | Phase::Killing { ending, .. } = self.phase {
            self.phase = Phase::Over { ending };
        }
    }

    /// None is left that sexton has the permission to signal; or it has waited long enough.
    pub fn give_up(&mut self, effects: &mut Effects) {
        let ending = match self.phase {
            // How it will end is not known yet; this is how it should.
            Phase::KillingProgram { .. } => Ending::Signaled { signal: Signal::KILL, core_dumped: false },
            Phase::Killing { ending, .. } => ending,
            _ => return,
        };
        self.phase = Phase::Over { ending };
        effects.push(Effect::NameSurvivors);
    }

    /// A deadline may have passed.
    #[cold]
    #[inline(never)]
    pub fn time(&mut self, now: &Now, effects: &mut Effects) {
        let is_over = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now.get());
        match self.phase {
            Phase::Running => self.time_of_program(now, effects),
            Phase::Waiting { ending, until } if is_over(until) || is_over(self.kill_at) => {
                self.kill(ending, Escalation::TimeOver, now, effects);
            }
            Phase::Waiting { ending, .. } if is_over(self.timeout_at) => {
                self.timed_out = true;
                effects.push(Effect::TellOfTimeout);
                self.terminate(ending, now, effects);
            }
            Phase::KillingProgram { patience } | Phase::Killing { patience, .. }
                if patience.until <= now.get() =>
            {
                self.give_up(effects);
            }
            _ => {}
        }
    }

    fn time_of_program(&mut self, now: &Now, effects: &mut Effects) {
        let is_over = |deadline: Instant| deadline <= now.get();
        self.job.time(now, effects);
        if let Some(held) = self.held.take_if(|held| is_over(held.until)) {
            self.pass_request(held.request, now, effects);
        }
        if self.timeout_at.take_if(|at| is_over(*at)).is_some() {
            self.timed_out = true;
            let send = |signal| Effect::Forward { signal, payload: None };
            // As timeout(1) does: a stopped program must run to end.
            effects.extend([Effect::TellOfTimeout, send(self.config.timeout_signal), send(Signal::CONT)]);
            let kill_at = now.get().checked_add(self.config.kill_after_timeout());
            self.kill_at = [self.kill_at, kill_at].into_iter().flatten().min();
        }
        if self.kill_at.take_if(|at| is_over(*at)).is_some() {
            self.phase = Phase::KillingProgram { patience: Patience::from(now) };
            effects.push(Effect::Kill { because: Escalation::TimeOver });
        }
    }
}

#[cfg(test)]
mod tests;
