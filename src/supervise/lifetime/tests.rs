//! The two machines together, with a made-up clock and no process at all.

mod any_order;
mod job;

use nix::unistd::Pid;

use super::*;
use crate::plan::{self, Group, Stops};
use crate::session::Session;
use crate::signal::{Rewrite, SignalSet};
use crate::sys::signals::{Origin, Received};
use crate::sys::terminal::Terminal;

const SECOND: Duration = Duration::from_secs(1);
const EXITED: Ending = Ending::Exited(3);
const KILLED: Ending = Ending::Signaled { signal: Signal::KILL, core_dumped: false };
const MYSELF: Pid = Pid::from_raw(7);
const LEADS_SESSION: Group = Group::Session(Session { terminal: None, parting_signal: None });

/// The machines, and the made-up clock.
struct Case {
    lifetime: Lifetime<'static>,
    now: Instant,
}

/// A program of its own group, with nothing above it that could resume it, and a grace of 5 seconds.
fn plan() -> Plan {
    Plan { stops: Stops::Undo, myself: MYSELF, ..plan::tests::plain() }
}

fn case(change: impl FnOnce(&mut Config)) -> Case {
    case_of(|plan| change(&mut plan.config))
}

fn case_of(change: impl FnOnce(&mut Plan)) -> Case {
    let mut plan = plan();
    change(&mut plan);
    let now = Instant::now();
    Case { lifetime: Lifetime::new(Box::leak(Box::new(plan)), &now.into()), now }
}

impl Case {
    fn step(&mut self, event: impl FnOnce(&mut Lifetime<'static>, &Now, &mut Effects)) -> Effects {
        let mut effects = Effects::new();
        event(&mut self.lifetime, &self.now.into(), &mut effects);
        effects
    }

    fn received(&mut self, received: Received) -> Effects {
        self.step(|lifetime, now, effects| {
            if let Some(arrival) = lifetime.job.arrival(received, false) {
                lifetime.signal(arrival, now, effects);
            }
        })
    }

    fn signal(&mut self, signal: Signal) -> Effects {
        self.received(Received { signal, origin: Origin::Process(Pid::from_raw(9)) })
    }

    fn key(&mut self, signal: Signal) -> Effects {
        self.received(Received { signal, origin: Origin::Kernel })
    }

    fn program_stops(&mut self, signal: Signal) -> Effects {
        self.step(|lifetime, now, effects| lifetime.job.program_stopped(signal, now, effects))
    }

    fn program_ends(&mut self, ending: Ending, leftovers: bool) -> Effects {
        self.step(|lifetime, now, effects| lifetime.program_ended(ending, leftovers, now, effects))
    }

    fn leaves_leftovers(&mut self) -> Effects {
        self.program_ends(EXITED, true)
    }

    fn reaped(&mut self) {
        self.lifetime.reaped(&self.now.into());
    }

    fn give_up(&mut self) -> Effects {
        self.step(|lifetime, _, effects| lifetime.give_up(effects))
    }

    /// The clock goes on to the next deadline, which must be this far away.
    fn next_deadline(&mut self, after: Duration) -> Effects {
        assert_eq!(self.lifetime.deadline(), Some(self.now + after));
        self.now += after;
        self.step(|lifetime, now, effects| lifetime.time(now, effects))
    }

    fn ending(&self) -> Option<Ending> {
        self.lifetime.finished().map(|finished| finished.ending)
    }
}

fn forward(signal: Signal) -> Effect {
    Effect::Forward { signal, payload: None }
}

const TIME_OVER: Effect = Effect::Kill { because: Escalation::TimeOver };

#[test]
fn s8_nothing_is_sent_to_the_program_after_its_end() {
    let mut case = case(|_| ());
    assert_eq!(case.ending(), None);
    assert_eq!(case.program_ends(EXITED, false), []);
    assert_eq!(case.signal(Signal::USR1), []);
    assert_eq!(case.ending(), Some(EXITED));
}

#[test]
fn e3_terminate_then_kill_when_the_grace_is_over() {
    let mut case = case(|_| ());
    assert_eq!(case.leaves_leftovers(), [Effect::Terminate]);
    assert_eq!(case.signal(Signal::USR1), []);
    assert_eq!(case.next_deadline(5 * SECOND), [TIME_OVER]);
    assert_eq!(case.ending(), None);
    case.lifetime.none_left();
    assert_eq!(case.ending(), Some(EXITED));
}

#[test]
fn e3_terminate_ends_as_soon_as_none_is_left() {
    let mut case = case(|_| ());
    case.leaves_leftovers();
    case.reaped();
    assert_eq!(case.ending(), None);
    case.lifetime.none_left();
    assert_eq!(case.ending(), Some(EXITED));
}

#[test]
fn e3_kill_at_once_and_leave() {
    let mut kill = case(|config| config.leftovers = Leftovers::Kill);
    assert_eq!(kill.leaves_leftovers(), [Effect::Kill { because: Escalation::Rule }]);
    let mut leave = case(|config| config.leftovers = Leftovers::Leave);
    assert_eq!(leave.leaves_leftovers(), []);
    assert_eq!(leave.ending(), Some(EXITED));
}

#[test]
fn e3_wait_until_they_end_or_a_stop_request_comes_and_another() {
    let mut case = case(|config| config.leftovers = Leftovers::Wait);
    assert_eq!(case.leaves_leftovers(), []);
    assert_eq!(case.lifetime.deadline(), None);
    assert_eq!(case.signal(Signal::TERM), [Effect::Terminate]);
    assert_eq!(case.signal(Signal::TERM), [Effect::Kill { because: Escalation::StopRequest }]);
    case.lifetime.none_left();
    assert_eq!(case.ending(), Some(EXITED));
}

#[test]
fn e3_leftovers_get_other_signals_only_as_a_tree() {
    for (delivery, sent) in [(Delivery::Tree, vec![forward(Signal::USR1)]), (Delivery::Program, vec![])] {
        for leftovers in [Leftovers::Wait, Leftovers::Terminate] {
            let mut case = case(|config| (config.delivery, config.leftovers) = (delivery, leftovers));
            assert!(case.lifetime.is_running());
            case.leaves_leftovers();
            assert!(!case.lifetime.is_running());
            let deadline = case.lifetime.deadline();
            assert_eq!(case.signal(Signal::USR1), sent);
            assert_eq!(case.lifetime.deadline(), deadline, "it is no stop request");
        }
    }
}

#[test]
fn e3_the_leftovers_get_a_request_that_the_program_did_not_live_to_see() {
    let mut case = case(|config| (config.leftovers, config.stop_delay) = (Leftovers::Wait, SECOND));
    case.signal(Signal::TERM);
    assert_eq!(case.leaves_leftovers(), [Effect::Terminate]);
}

#[test]
fn e3_a_grace_too_long_for_the_clock_is_for_ever() {
    let mut case = case(|config| config.grace = Duration::MAX);
    case.leaves_leftovers();
    assert!(case.lifetime.deadline().unwrap() > case.now + 1_000_000 * SECOND);
}

#[test]
fn before_a_deadline_nothing_follows() {
    let time = |case: &mut Case| case.step(|lifetime, now, effects| lifetime.time(now, effects));
    for leftovers in [Leftovers::Wait, Leftovers::Terminate, Leftovers::Kill] {
        let mut case = case(|config| {
            config.leftovers = leftovers;
            timeout(config, 10 * SECOND, SECOND);
        });
        assert_eq!(time(&mut case), []);
        case.leaves_leftovers();
        assert_eq!(time(&mut case), [], "{leftovers:?}");
        assert_eq!(case.ending(), None);
    }
}

#[test]
fn e3_a_stop_request_cuts_the_grace_short() {
    let mut case = case(|_| ());
    case.leaves_leftovers();
    assert_eq!(case.signal(Signal::TERM), [Effect::Kill { because: Escalation::StopRequest }]);
    assert_eq!(case.signal(Signal::TERM), []);
}

#[test]
fn e3_what_cannot_be_ended_is_named_and_left() {
    let mut case = case(|config| config.leftovers = Leftovers::Kill);
    case.leaves_leftovers();
    case.now += PATIENCE / 2;
    case.reaped();
    assert_eq!(case.next_deadline(PATIENCE), [Effect::NameSurvivors]);
    assert_eq!(case.ending(), Some(EXITED));
}

#[test]
fn e3_who_keeps_starting_others_is_not_waited_for_without_a_bound() {
    let mut case = case(|config| config.leftovers = Leftovers::Kill);
    case.leaves_leftovers();
    let start = case.now;
    while case.ending().is_none() {
        assert!(case.now - start <= ALL_PATIENCE);
        case.now += PATIENCE / 2;
        case.reaped();
        case.step(|lifetime, now, effects| lifetime.time(now, effects));
    }
}

#[test]
fn e3_who_may_not_be_sent_signals_is_named_and_left_at_once() {
    let mut case = case(|config| config.leftovers = Leftovers::Kill);
    assert_eq!(case.give_up(), []);
    case.leaves_leftovers();
    assert_eq!(case.give_up(), [Effect::NameSurvivors]);
    assert_eq!(case.ending(), Some(EXITED));
}

#[test]
fn e4_the_first_stop_request_is_held_back() {
    let mut case = case(|config| config.stop_delay = 2 * SECOND);
    assert_eq!(case.signal(Signal::TERM), [Effect::TellOfDelay(Signal::TERM)]);
    assert_eq!(case.signal(Signal::USR1), [forward(Signal::USR1)]);
    assert_eq!(case.next_deadline(2 * SECOND), [forward(Signal::TERM)]);
    assert_eq!(case.signal(Signal::TERM), [forward(Signal::TERM)]);
}

#[test]
fn e4_the_second_stop_request_goes_through_at_once() {
    let change = |config: &mut Config| {
        config.stop_delay = 2 * SECOND;
        config.stop_signals = config.stop_signals.with(Signal::INT);
    };
    let mut same = case(change);
    same.signal(Signal::TERM);
    assert_eq!(same.signal(Signal::TERM), [forward(Signal::TERM)]);
    assert_eq!(same.lifetime.deadline(), None);
    let mut other = case(change);
    other.signal(Signal::TERM);
    assert_eq!(other.signal(Signal::INT), [forward(Signal::TERM), forward(Signal::INT)]);
}

#[test]
fn e4_sigkill_follows_the_forwarded_stop_request() {
    let mut case = case(|config| {
        config.stop_delay = SECOND;
        config.kill_after = Some(3 * SECOND);
    });
    case.signal(Signal::TERM);
    assert_eq!(case.next_deadline(SECOND), [forward(Signal::TERM)]);
    case.now += SECOND;
    assert_eq!(case.signal(Signal::TERM), [forward(Signal::TERM)]);
    assert_eq!(case.next_deadline(2 * SECOND), [TIME_OVER]);
    assert_eq!(case.program_ends(KILLED, true), [], "SIGKILL is on its way");
    assert_eq!(case.ending(), None, "its tree dies with it");
    case.lifetime.none_left();
    assert_eq!(case.ending(), Some(KILLED));
}

#[test]
fn e4_a_dropped_stop_request_starts_no_timer() {
    let mut case = case_of(|plan| {
        plan.config.kill_after = Some(SECOND);
        plan.config.rewrites.insert("TERM:0".parse().unwrap());
    });
    assert_eq!(case.signal(Signal::TERM), []);
    assert_eq!(case.lifetime.deadline(), None);
}

#[test]
fn e4_kill_after_goes_on_for_the_leftovers() {
    let mut case = case(|config| config.kill_after = Some(3 * SECOND));
    case.signal(Signal::TERM);
    case.now += SECOND;
    case.leaves_leftovers();
    assert_eq!(case.next_deadline(2 * SECOND), [TIME_OVER]);
}

fn timeout(config: &mut Config, after: Duration, kill_after: Duration) {
    (config.timeout, config.timeout_signal) = (Some(after), Signal::INT);
    config.kill_after = Some(kill_after);
}

#[test]
fn e5_out_of_time() {
    let mut case = case(|config| timeout(config, 10 * SECOND, SECOND));
    let told = [Effect::TellOfTimeout, forward(Signal::INT), forward(Signal::CONT)];
    assert_eq!(case.next_deadline(10 * SECOND), told);
    assert_eq!(case.next_deadline(SECOND), [TIME_OVER]);
    case.program_ends(KILLED, false);
    assert!(case.lifetime.finished().unwrap().timed_out);
}

#[test]
fn e5_in_time() {
    let mut case = case(|config| timeout(config, 10 * SECOND, SECOND));
    case.program_ends(EXITED, false);
    assert!(!case.lifetime.finished().unwrap().timed_out);
}

#[test]
fn e5_leftovers_that_are_waited_for_can_be_out_of_time() {
    let mut case = case(|config| {
        config.leftovers = Leftovers::Wait;
        timeout(config, 10 * SECOND, SECOND);
    });
    case.now += 4 * SECOND;
    case.leaves_leftovers();
    assert_eq!(case.next_deadline(6 * SECOND), [Effect::TellOfTimeout, Effect::Terminate]);
    case.lifetime.none_left();
    assert!(case.lifetime.finished().unwrap().timed_out);
}

#[test]
fn a_program_that_cannot_be_ended_is_left() {
    let mut case = case(|config| timeout(config, SECOND, SECOND));
    case.next_deadline(SECOND);
    case.next_deadline(SECOND);
    assert_eq!(case.next_deadline(PATIENCE), [Effect::NameSurvivors]);
    assert!(case.lifetime.finished().unwrap().timed_out);
}
