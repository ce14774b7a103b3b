//! The loop: waits for a signal or a deadline, asks the two pure machines, [`job`] and [`lifetime`], what follows, and
//! does it.
//!
//! Nothing here ends sexton but the plan: what fails is a warning.

mod clock;
mod delivery;
mod effect;
mod job;
mod lifetime;
mod reap;
mod teardown;
mod terminal;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use log::{info, warn};
use nix::errno::Errno;
use nix::time::ClockId;
use nix::unistd::Pid;

use self::clock::Now;
use self::delivery::Delivery;
use self::effect::{Effect, Effects, Escalation};
use self::lifetime::Lifetime;
pub use self::reap::Reaper;
use self::reap::{BATCH, Batch};
use self::teardown::Teardown;
use self::terminal::{Followed, Foreground};
use crate::config;
use crate::news::{News, Tell};
use crate::outcome::{Outcome, Tally};
use crate::plan::Plan;
use crate::signal::{Signal, SignalSet};
use crate::status::{ChildStatus, Ending};
use crate::sys::exec::Failure;
use crate::sys::signals::{Origin, Payload, Received, SignalQueue};

/// How many signals are taken in a row before stop requests and children get their turn: the kernel hands out the lowest
/// signal first, and in a flood of it everything else would wait.
const BURST: u32 = 32;

/// How long to wait before something is tried again: a signal for which the program's queue had no room, and reaping,
/// where thousands die together.
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// How long to let leftovers gather before they are reaped, as a multiple of the last batch's CPU time, and at most.
const GATHER: u32 = 8;
const GATHER_AT_MOST: Duration = Duration::from_millis(100);

/// The CPU time that reaping one child takes at most, unless most of it is the search for a dead one among the living.
const WITHOUT_SEARCH: Duration = Duration::from_micros(20);

/// A run, from just before the program is started.
pub struct Supervisor<'a> {
    plan: &'a Plan,
    tell: Tell,
    /// The program, until it is reaped: from then on its PID may be another process's. This is the only place that has it.
    program: Option<Pid>,
    lifetime: Lifetime<'a>,
    /// Empty between two events, so that an event need not allocate.
    effects: Effects,
    queue: SignalQueue,
    /// How many signals were waited for since the last look at stop requests and children.
    in_a_row: u32,
    delivery: Delivery,
    reaper: Reaper,
    reaping: Reaping,
    /// How many leftovers have been reaped, once the program has ended.
    died_since_the_end: Option<usize>,
    teardown: Box<dyn Teardown>,
    foreground: Foreground,
    forwarded: BTreeMap<Signal, u64>,
    /// When to try again what could not be done yet.
    try_again: Option<Instant>,
}

/// When children are reaped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reaping {
    /// At once: there may be more.
    Now,
    /// When a child's end is told.
    WhenTold,
    /// When it is tried again.
    Later,
}

impl<'a> Supervisor<'a> {
    /// To be made before the program is started, and its time begins now.
    pub fn new(plan: &'a Plan, tell: Tell) -> Supervisor<'a> {
        Supervisor {
            plan,
            tell,
            program: None,
            lifetime: Lifetime::new(plan, &Now::when_asked()),
            effects: Effects::new(),
            queue: SignalQueue::without_descriptor(),
            in_a_row: 0,
            delivery: Delivery::new(plan.config.delivery),
            reaper: Reaper::new(plan, tell),
            reaping: Reaping::Now,
            died_since_the_end: None,
            teardown: teardown::strategy(plan),
            foreground: Foreground::new(plan),
            forwarded: BTreeMap::new(),
            try_again: None,
        }
    }

    /// Takes note of signals that have come before the program is in the group that it shares.
    pub fn missed(&mut self, pending: SignalSet) {
        self.lifetime.job.missed(pending);
    }

    /// Passes signals on, reaps children and brings about an end as the plan says.
    ///
    /// `early` is a signal that counts as received although no process sent it. `failure` tells whether a child that ended
    /// so has failed to become the program.
    pub fn supervise(
        mut self,
        program: Pid,
        early: Option<Received>,
        failure: &dyn Fn(Ending) -> Option<Failure>,
    ) -> Result<Outcome, Failure> {
        self.program = Some(program);
        self.queue = SignalQueue::open(SignalSet::ALL);
        if let Some(received) = early {
            self.signal(received);
        }
        let result = self.run(failure);
        self.foreground.take_terminal_back(program);
        let finished = result?;
        let (orphans_reaped, leftovers) = self.reaper.finish();
        let tally = Tally { orphans_reaped, forwarded: self.forwarded, leftovers };
        Ok(Outcome::new(self.plan, finished.ending, finished.timed_out, tally))
    }

    fn run(&mut self, failure: &dyn Fn(Ending) -> Option<Failure>) -> Result<lifetime::Finished, Failure> {
        loop {
            let is_due = self.time_left() == Some(Duration::ZERO);
            if is_due {
                self.try_again = None;
            }
            // Before a deadline is acted on, too: what is late here may have come in time.
            if is_due || self.reaping == Reaping::Now {
                self.reap(failure)?;
            }
            if is_due {
                self.time_passed();
            }
            if let Some(finished) = self.lifetime.finished() {
                return Ok(finished);
            }
            match self.next_signal() {
                Some(Received { origin: Origin::Child, .. }) => self.child_has_news(),
                Some(received) => {
                    // A SIGCHLD from a process may have taken the place of the kernel's: only one is kept.
                    if received.signal == Signal::CHLD {
                        self.child_has_news();
                    }
                    self.signal(received);
                }
                None => {}
            }
        }
    }

    fn child_has_news(&mut self) {
        if self.reaping == Reaping::WhenTold {
            self.reaping = Reaping::Now;
        }
    }

    /// Waits for the next signal, unless there is more to reap. When many signals have come in a row, children are looked
    /// at and a stop request is taken first.
    fn next_signal(&mut self) -> Option<Received> {
        if self.reaping == Reaping::Now {
            return self.queue.take(SignalSet::ALL);
        }
        // To look for the whole tree takes as long as hundreds of other signals.
        let burst = if self.plan.config.delivery == config::Delivery::Tree { 1 } else { BURST };
        if self.in_a_row < burst {
            self.in_a_row += 1;
            return self.queue.wait(self.time_left(), &mut []);
        }
        self.in_a_row = 0;
        self.child_has_news();
        self.queue.take(self.plan.config.stop_signals)
    }

    fn signal(&mut self, received: Received) {
        let Received { signal, .. } = received;
        let from_own_group =
            self.lifetime.job.asks_for_senders_group(signal) && self.foreground.is_from_own_group(received);
        let Some(arrival) = self.lifetime.job.arrival(received, from_own_group) else { return };
        (self.tell)(&News::Received { signal, becomes: arrival.becomes });
        self.step(|lifetime, now, effects| lifetime.signal(arrival, now, effects));
    }

    fn time_left(&self) -> Option<Duration> {
        let deadlines = [self.lifetime.deadline(), self.teardown.next_look(), self.try_again];
        let next = deadlines.into_iter().flatten().min();
        next.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    fn time_passed(&mut self) {
        let now = Now::when_asked();
        self.send_what_was_kept(&now);
        self.teardown.go_on(0, self.program, now.get());
        if self.teardown.is_refused_by_all() {
            self.step(|lifetime, _, effects| lifetime.give_up(effects));
        }
        self.step(|lifetime, now, effects| lifetime.time(now, effects));
    }

    fn try_again(&mut self, now: &Now) {
        self.try_again.get_or_insert_with(|| now.get() + TRY_AGAIN);
    }

    /// Reaps one batch. An error means that the child that ended has failed to become the program.
    fn reap(&mut self, failure: &dyn Fn(Ending) -> Option<Failure>) -> Result<(), Failure> {
        let before = self.cpu_time();
        let batch = self.reaper.reap(self.program);
        let took = self.cpu_time().saturating_sub(before);
        if let Some(ChildStatus::Ended(ending)) = batch.program
            && let Some(failure) = failure(ending)
        {
            return Err(failure);
        }
        self.tell_state_of(&batch);
        self.reaping = self.when_to_go_on(&batch, took);
        if batch.reaped > 0 && self.teardown.next_look().is_some() {
            self.teardown.go_on(batch.reaped, self.program, Instant::now());
        }
        if batch.is_childless || self.teardown.only_strangers_are_left(self.program) {
            self.lifetime.none_left();
        }
        Ok(())
    }

    /// What sexton has used of the processor, once the program has ended; nothing asks for it before.
    fn cpu_time(&self) -> Duration {
        let time = self.died_since_the_end.and_then(|_| ClockId::CLOCK_THREAD_CPUTIME_ID.now().ok());
        time.map_or(Duration::ZERO, Duration::from)
    }

    /// wait(2) looks through the list of children, the oldest first, until it finds a dead one (`do_wait_thread` in the
    /// kernel). To reap each of N at the moment of its death, while most of them live, would cost the square of N. So
    /// when the program has ended and many die together, they are left to gather, the longer the more the last search has
    /// cost.
    fn when_to_go_on(&mut self, batch: &Batch, took: Duration) -> Reaping {
        let go_on = if batch.is_full { Reaping::Now } else { Reaping::WhenTold };
        let Some(died) = &mut self.died_since_the_end else { return go_on };
        *died += batch.reaped;
        let searched = took > WITHOUT_SEARCH * batch.reaped as u32;
        if *died <= BATCH || batch.reaped == 0 || batch.is_childless || batch.is_full && !searched {
            return go_on;
        }
        let pause = (took * GATHER).clamp(TRY_AGAIN, GATHER_AT_MOST);
        self.try_again = Some(Instant::now() + pause);
        Reaping::Later
    }

    fn tell_state_of(&mut self, batch: &Batch) {
        match batch.program {
            Some(ChildStatus::Ended(ending)) => self.program_ended(ending, batch.is_childless),
            Some(ChildStatus::Stopped(signal)) if self.lifetime.is_running() => {
                self.step(|lifetime, now, effects| lifetime.job.program_stopped(signal, now, effects));
            }
            Some(ChildStatus::Stopped(_) | ChildStatus::Continued) | None => {}
        }
        if batch.reaped > 0 {
            self.lifetime.reaped(&Now::when_asked());
        }
    }

    fn program_ended(&mut self, ending: Ending, is_childless: bool) {
        if let Some(program) = self.program.take() {
            (self.tell)(&News::Ended(program, ending));
        }
        self.delivery.forget();
        self.queue.want(SignalSet::ALL);
        self.died_since_the_end = Some(0);
        let leftovers = !is_childless && !self.teardown.only_strangers_are_left(None);
        if leftovers && self.plan.config.report.is_some() {
            self.reaper.note_leftovers(self.teardown.descendants());
        }
        self.step(|lifetime, now, effects| lifetime.program_ended(ending, leftovers, now, effects));
    }

    fn step(&mut self, event: impl FnOnce(&mut Lifetime<'a>, &Now, &mut Effects)) {
        let now = Now::when_asked();
        let mut effects = std::mem::take(&mut self.effects);
        event(&mut self.lifetime, &now, &mut effects);
        for effect in effects.drain(..) {
            self.perform(effect, &now);
        }
        self.effects = effects;
    }

    fn perform(&mut self, effect: Effect, now: &Now) {
        match (effect, self.program) {
            (Effect::Forward { signal, payload }, _) => self.forward(signal, payload, now),
            (Effect::FollowStop(signal), Some(program)) => {
                if self.foreground.follow_stop(program, signal) == Followed::NobodyAbove {
                    self.step(|lifetime, now, effects| lifetime.job.nobody_above(now, effects));
                }
            }
            (Effect::LookAbove, _) => {
                if self.foreground.is_orphaned() {
                    self.step(|lifetime, now, effects| lifetime.job.nobody_above(now, effects));
                }
            }
            (Effect::Continue, Some(program)) => self.foreground.resume(program),
            (Effect::ContinueIfStopped, Some(program)) => self.foreground.resume_if_stopped(program),
            (Effect::FollowStop(_) | Effect::Continue | Effect::ContinueIfStopped, None) => {}
            (Effect::TellOfDelay(signal), _) => info!("holding {signal} back for the stop delay"),
            (Effect::TellOfTimeout, _) => warn!("the program's time is over"),
            (Effect::Terminate, _) => match self.teardown.terminate() {
                Ok(()) | Err(Errno::ESRCH) => info!("sent SIGTERM to what the program left behind"),
                Err(errno) => warn!("cannot send SIGTERM to all that the program left behind: {errno}"),
            },
            (Effect::Kill { because }, program) => {
                if because == Escalation::TimeOver {
                    teardown::tell_of_stubborn_leftovers(&*self.teardown, program);
                }
                self.teardown.kill(program, now.get());
            }
            (Effect::NameSurvivors, program) => teardown::tell_of_survivors(&*self.teardown, program),
        }
    }

    fn forward(&mut self, signal: Signal, payload: Option<Payload>, now: &Now) {
        *self.forwarded.entry(signal).or_default() += 1;
        let result = match (self.plan.config.delivery, self.program) {
            (config::Delivery::Tree, program) => Some(self.teardown.signal_all(signal, program)),
            (_, Some(program)) => self.delivery.send(program, signal, payload),
            (_, None) => return,
        };
        match result {
            Some(result) => self.tell_of_forwarding(signal, result),
            None => {
                self.queue.want(self.delivery.wanted(&self.plan.config.rewrites));
                self.try_again(now);
            }
        }
    }

    fn send_what_was_kept(&mut self, now: &Now) {
        let Some(program) = self.program.filter(|_| self.delivery.is_waiting()) else { return };
        while let Some((signal, result)) = self.delivery.retry(program) {
            self.tell_of_forwarding(signal, result);
        }
        self.queue.want(self.delivery.wanted(&self.plan.config.rewrites));
        if self.delivery.is_waiting() {
            self.try_again(now);
        }
    }

    fn tell_of_forwarding(&self, signal: Signal, result: Result<(), Errno>) {
        (self.tell)(&News::Forwarded {
            signal,
            to: self.plan.config.delivery,
            program: self.program,
            result,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Leftovers;
    use crate::plan;

    /// However long thousands of leftovers take to die.
    #[test]
    fn e3_a_death_renews_the_patience_and_nothing_else_does() {
        let mut plan = plan::tests::plain();
        plan.config.leftovers = Leftovers::Kill;
        let mut supervisor = Supervisor::new(&plan, |_| {});
        let (now, mut effects) = (Now::when_asked(), Effects::new());
        // The effects, which would kill the test's own children, are not performed.
        supervisor.lifetime.program_ended(Ending::Exited(0), true, &now, &mut effects);
        let first = supervisor.lifetime.deadline();
        supervisor.tell_state_of(&Batch::default());
        assert_eq!(supervisor.lifetime.deadline(), first);
        supervisor.tell_state_of(&Batch { reaped: 1, ..Batch::default() });
        assert!(supervisor.lifetime.deadline() > first);
    }
}
