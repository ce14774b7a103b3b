//! The loop: waits for a signal or a deadline, asks the state what follows, and does it.
//!
//! Nothing here ends sexton but the plan: what fails is a warning.

mod clock;
mod delivery;
mod event;
mod reap;
mod state;
mod tally;
mod teardown;
mod terminal;

use std::time::{Duration, Instant};

use log::{info, warn};
use nix::unistd::Pid;

use self::clock::Now;
use self::delivery::Delivery;
use self::event::{Effect, Escalation, Event, Finished};
use self::reap::{Batch, Pace, Reaper};
use self::state::State;
use self::tally::Tallying;
use self::teardown::Teardown;
use self::terminal::{Followed, Job};
use crate::config;
use crate::news::News;
use crate::outcome::Outcome;
use crate::plan::{Group, Plan};
use crate::signal::{Signal, SignalSet};
use crate::status::ChildStatus;
use crate::sys::signals::{self, Origin, Payload, Received};

/// What has to be ready before the program is started.
pub struct Supervisor<'a> {
    plan: &'a Plan,
    state: State,
    teardown: Teardown,
}

impl<'a> Supervisor<'a> {
    /// The program's time begins now.
    pub fn new(plan: &'a Plan) -> Supervisor<'a> {
        Supervisor { plan, state: State::new(plan, &Now::when_asked()), teardown: Teardown::new() }
    }

    /// Passes signals on, reaps children and brings about an end as the plan says.
    ///
    /// `early` is a signal that counts as received although nobody sent it; `missed` are those that were pending when the
    /// program was not there yet.
    pub fn supervise(self, program: Pid, early: Option<Received>, missed: SignalSet) -> Outcome {
        let mut running = Running {
            plan: self.plan,
            state: self.state.having_missed(missed),
            teardown: self.teardown,
            delivery: Delivery::new(self.plan, program),
            pace: Pace::default(),
            reaper: Reaper::new(self.plan, program),
            job: Job::new(program, self.plan.group),
            tally: Tallying::new(self.plan.report.is_some()),
            myself: nix::unistd::getpid(),
        };
        running.teardown.begin(program);
        if let Some(received) = early {
            running.signal(received);
        }
        let finished = running.run();
        running.job.take_terminal_back();
        Outcome::new(self.plan, finished.ending, finished.timed_out, running.tally.finish())
    }
}

struct Running<'a> {
    plan: &'a Plan,
    state: State,
    teardown: Teardown,
    delivery: Delivery,
    reaper: Reaper,
    pace: Pace,
    job: Job,
    tally: Tallying,
    myself: Pid,
}

impl Running<'_> {
    fn run(&mut self) -> Finished {
        // A child may have died before the first SIGCHLD was waited for.
        let mut more_to_reap = true;
        loop {
            if let Some(finished) = self.state.finished() {
                return finished;
            }
            let time_left = self.time_left();
            if time_left == Some(Duration::ZERO) {
                // First of all the news: who is late here may have died in time.
                more_to_reap = self.reap();
                self.time_passed();
            }
            match signals::wait(if more_to_reap { Some(Duration::ZERO) } else { time_left }) {
                Some(Received { origin: Origin::Child, .. }) if self.pace.is_on() => {}
                Some(Received { origin: Origin::Child, .. }) => more_to_reap = self.reap(),
                Some(received) if self.is_own_doing(received) || self.job.was_stopped_by(received) => {}
                Some(received) => {
                    // A SIGCHLD from a process may have taken the place of the kernel's: only one is kept.
                    more_to_reap |= received.signal == Signal::CHLD;
                    self.signal(received);
                }
                None if more_to_reap => more_to_reap = self.reap(),
                None => {}
            }
        }
    }

    fn signal(&mut self, received: Received) {
        let Received { signal, .. } = received;
        (self.plan.tell)(&News::Received { signal, becomes: self.plan.rewrites.apply(signal) });
        self.step(Event::Signal(received));
    }

    /// Whether sexton itself brought the signal on, when it logged to a pipe without a reader or to a file at its
    /// limit (write(2)), or when it gave the terminal up: a program in its own session has nothing to do with that
    /// (dumb-init's issue 136).
    fn is_own_doing(&self, received: Received) -> bool {
        received.origin == Origin::Process(self.myself)
            && match received.signal {
                Signal::PIPE | Signal::XFSZ => true,
                Signal::HUP | Signal::CONT => matches!(self.plan.group, Group::Session { terminal: Some(_) }),
                _ => false,
            }
    }

    fn time_left(&self) -> Option<Duration> {
        let deadlines =
            [self.state.deadline(), self.delivery.deadline(), self.teardown.deadline(), self.pace.deadline()];
        let next = deadlines.into_iter().flatten().min();
        next.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    fn time_passed(&mut self) {
        let now = Now::when_asked();
        self.delivery.retry(&now);
        self.teardown.continue_killing(0, &now);
        if self.teardown.is_refused_by_all() {
            self.step(Event::AllRefuse);
        }
        self.step(Event::Time);
    }

    /// Reaps one batch; true when there may be more.
    fn reap(&mut self) -> bool {
        let before = self.pace.cpu_time();
        let batch = self.reaper.reap(&mut self.tally);
        let took = self.pace.cpu_time().saturating_sub(before);
        self.tell_state_of(&batch);
        let now = Now::when_asked();
        self.pace.after(&batch, took, &now);
        if batch.reaped > 0 {
            self.teardown.continue_killing(batch.reaped, &now);
        }
        if batch.childless || self.teardown.only_strangers_are_left() {
            self.step(Event::NoneLeft);
        }
        batch.full && !self.pace.is_on()
    }

    fn tell_state_of(&mut self, batch: &Batch) {
        match batch.program {
            Some(ChildStatus::Ended(ending)) => {
                self.delivery.forget_program();
                self.teardown.forget_program();
                self.pace.begin();
                let leftovers = !batch.childless && !self.teardown.only_strangers_are_left();
                if leftovers && self.tally.wants_leftovers() {
                    self.tally.note_leftovers(self.teardown.descendants());
                }
                self.step(Event::ProgramEnded { ending, leftovers });
            }
            Some(ChildStatus::Stopped(signal)) => self.step(Event::ProgramStopped(signal)),
            Some(ChildStatus::Continued) | None => {}
        }
        if batch.reaped > 0 {
            self.step(Event::Reaped);
        }
    }

    fn step(&mut self, event: Event) {
        let now = Now::when_asked();
        for effect in self.state.step(event, &now) {
            self.perform(effect, &now);
        }
    }

    fn perform(&mut self, effect: Effect, now: &Now) {
        match effect {
            Effect::Forward { signal, payload } => self.forward(signal, payload, now),
            Effect::FollowStop(signal) => {
                if self.job.follow_stop(signal) == Followed::NobodyAbove {
                    self.step(Event::NobodyAbove);
                }
            }
            Effect::LookAbove => {
                if self.job.is_orphaned() {
                    self.step(Event::NobodyAbove);
                }
            }
            Effect::Continue => self.job.resume(),
            Effect::ContinueIfStopped => self.job.resume_if_stopped(),
            Effect::TellOfDelay(signal) => info!("holding {signal} back for the stop delay"),
            Effect::TellOfTimeout => warn!("the program's time is over"),
            Effect::Terminate => self.teardown.terminate(),
            Effect::Kill { because } => {
                if because == Escalation::TimeOver {
                    self.teardown.tell_of_stubborn_leftovers();
                }
                self.teardown.kill(now.get());
            }
            Effect::NameSurvivors => self.teardown.tell_of_survivors(),
        }
    }

    fn forward(&mut self, signal: Signal, payload: Option<Payload>, now: &Now) {
        self.tally.forwarded(signal);
        match self.plan.delivery {
            config::Delivery::Tree => {
                let result = self.teardown.signal_all(&[signal]);
                self.delivery.report(signal, result);
            }
            config::Delivery::Program | config::Delivery::Group => self.delivery.send(signal, payload, now),
        }
    }
}
