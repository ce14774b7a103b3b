//! With a made-up clock, and no process at all.

mod any_order;

use super::*;
use crate::plan::Timeout;
use crate::signal::{Rewrite, SignalSet};
use nix::unistd::Pid;

const SECOND: Duration = Duration::from_secs(1);
const EXITED: Ending = Ending::Exited(3);
const KILLED: Ending = Ending::Signaled { signal: Signal::KILL, core_dumped: false };

/// A state, and the made-up clock.
struct Case {
    state: State,
    now: Instant,
}

fn policy() -> EndingPolicy {
    EndingPolicy {
        leftovers: Leftovers::Terminate,
        grace: 5 * SECOND,
        stop_signals: SignalSet::EMPTY.with(Signal::TERM),
        stop_delay: Duration::ZERO,
        kill_after: None,
        timeout: None,
    }
}

fn case(change: impl FnOnce(&mut EndingPolicy)) -> Case {
    let mut policy = policy();
    change(&mut policy);
    let now = Instant::now();
    let state = State::running(policy, Stops::Undo, &now.into());
    Case { state, now }
}

impl Case {
    fn step(&mut self, event: Event) -> Effects {
        self.state.step(event, &self.now.into())
    }

    fn signal(&mut self, signal: Signal) -> Effects {
        self.step(Event::Signal(Received { signal, origin: Origin::Process(Pid::from_raw(9)) }))
    }

    /// The program ends, and leaves something behind.
    fn program_ends(&mut self) -> Effects {
        self.step(Event::ProgramEnded { ending: EXITED, leftovers: true })
    }

    /// The clock goes on to the next deadline, which must be this far away.
    fn next_deadline(&mut self, after: Duration) -> Effects {
        assert_eq!(self.state.deadline(), Some(self.now + after));
        self.now += after;
        self.step(Event::Time)
    }

    fn ending(&self) -> Option<Ending> {
        self.state.finished().map(|finished| finished.ending)
    }
}

fn forward(signal: Signal) -> Effect {
    Effect::Forward { signal, payload: None }
}

const TIME_OVER: Effect = Effect::Kill { because: Escalation::TimeOver };

#[test]
fn s1_every_signal_is_forwarded() {
    for signal in Signal::all() {
        assert_eq!(case(|_| ()).signal(signal), [forward(signal)]);
    }
}

#[test]
fn s6_rewritten_once_or_dropped() {
    let mut case = case(|_| ());
    case.state.rewrites =
        ["TERM:QUIT", "QUIT:INT", "HUP:0"].iter().map(|word| word.parse::<Rewrite>().unwrap()).collect();
    assert_eq!(case.signal(Signal::TERM), [forward(Signal::QUIT)]);
    assert_eq!(case.signal(Signal::HUP), []);
}

#[test]
fn j2_the_terminals_signal_has_reached_a_shared_group() {
    let terminal = Event::Signal(Received { signal: Signal::INT, origin: Origin::Kernel });
    let mut case = case(|_| ());
    assert_eq!(case.step(terminal), [forward(Signal::INT)]);
    case.state.shares_group = true;
    assert_eq!(case.step(terminal), []);
    assert_eq!(case.signal(Signal::INT), [forward(Signal::INT)]);
}

#[test]
fn s4_what_the_terminal_sent_before_the_start_is_sent_on_once() {
    let terminal = Event::Signal(Received { signal: Signal::INT, origin: Origin::Kernel });
    for delay in [Duration::ZERO, SECOND] {
        let mut case = case(|policy| {
            (policy.stop_signals, policy.stop_delay) = ([Signal::INT].into_iter().collect(), delay)
        });
        case.state.shares_group = true;
        case.state = case.state.having_missed(SignalSet::EMPTY.with(Signal::INT));
        let at_once = case.step(terminal);
        let sent = if delay.is_zero() { at_once } else { case.next_deadline(delay) };
        assert_eq!(sent, [forward(Signal::INT)]);
        assert_eq!(case.step(terminal), []);
    }
}

#[test]
fn j3_a_shells_sigcont_is_not_sent_again() {
    let mut case = case(|_| ());
    assert_eq!(case.signal(Signal::CONT), [forward(Signal::CONT)]);
    case.state.shares_group = true;
    assert_eq!(case.signal(Signal::CONT), [forward(Signal::CONT)], "there is no shell");
    case.state.stops = Stops::Follow;
    assert_eq!(case.signal(Signal::CONT), [Effect::ContinueIfStopped]);
}

#[test]
fn j3_a_stop_that_is_on_its_way_is_taken_back() {
    let mut case = case(|_| ());
    case.state.shares_group = true;
    case.state.stops = Stops::Follow;
    assert_eq!(case.signal(Signal::TSTP), [forward(Signal::TSTP)]);
    assert_eq!(case.signal(Signal::CONT), [Effect::Continue], "the program may stop only now");
    assert_eq!(case.signal(Signal::CONT), [Effect::ContinueIfStopped]);
    case.signal(Signal::TSTP);
    case.step(Event::ProgramStopped(Signal::TSTP));
    assert_eq!(case.signal(Signal::CONT), [Effect::ContinueIfStopped], "its stop was seen");
}

#[test]
fn s8_nothing_is_sent_to_the_program_after_its_end() {
    let mut case = case(|_| ());
    assert_eq!(case.ending(), None);
    assert_eq!(case.step(Event::ProgramEnded { ending: EXITED, leftovers: false }), []);
    assert_eq!(case.signal(Signal::USR1), []);
    assert_eq!(case.ending(), Some(EXITED));
}

#[test]
fn e3_terminate_then_kill_when_the_grace_is_over() {
    let mut case = case(|_| ());
    assert_eq!(case.program_ends(), [Effect::Terminate]);
    assert_eq!(case.signal(Signal::USR1), []);
    assert_eq!(case.next_deadline(5 * SECOND), [TIME_OVER]);
    assert_eq!(case.ending(), None);
    assert_eq!(case.step(Event::NoneLeft), []);
    assert_eq!(case.ending(), Some(EXITED));
}

#[test]
fn e3_terminate_ends_as_soon_as_none_is_left() {
    let mut case = case(|_| ());
    case.program_ends();
    case.step(Event::Reaped);
    assert_eq!(case.ending(), None);
    case.step(Event::NoneLeft);
    assert_eq!(case.ending(), Some(EXITED));
}

#[test]
fn e3_kill_at_once_and_leave() {
    let mut kill = case(|policy| policy.leftovers = Leftovers::Kill);
    assert_eq!(kill.program_ends(), [Effect::Kill { because: Escalation::Rule }]);
    let mut leave = case(|policy| policy.leftovers = Leftovers::Leave);
    assert_eq!(leave.program_ends(), []);
    assert_eq!(leave.ending(), Some(EXITED));
}

#[test]
fn e3_wait_until_they_end_or_a_stop_request_comes_and_another() {
    let mut case = case(|policy| policy.leftovers = Leftovers::Wait);
    assert_eq!(case.program_ends(), []);
    assert_eq!(case.state.deadline(), None);
    assert_eq!(case.signal(Signal::TERM), [Effect::Terminate]);
    assert_eq!(case.signal(Signal::TERM), [Effect::Kill { because: Escalation::StopRequest }]);
    case.step(Event::NoneLeft);
    assert_eq!(case.ending(), Some(EXITED));
}

#[test]
fn e3_a_stop_request_cuts_the_grace_short() {
    let mut case = case(|_| ());
    case.program_ends();
    assert_eq!(case.signal(Signal::TERM), [Effect::Kill { because: Escalation::StopRequest }]);
    assert_eq!(case.signal(Signal::TERM), []);
}

#[test]
fn e3_what_cannot_be_ended_is_named_and_left() {
    let mut case = case(|policy| policy.leftovers = Leftovers::Kill);
    case.program_ends();
    case.now += PATIENCE / 2;
    case.step(Event::Reaped);
    assert_eq!(case.next_deadline(PATIENCE), [Effect::NameSurvivors]);
    assert_eq!(case.ending(), Some(EXITED));
}

#[test]
fn e3_who_keeps_starting_others_is_not_waited_for_without_a_bound() {
    let mut case = case(|policy| policy.leftovers = Leftovers::Kill);
    case.program_ends();
    let start = case.now;
    while case.ending().is_none() {
        assert!(case.now - start <= ALL_PATIENCE);
        case.now += PATIENCE / 2;
        case.step(Event::Reaped);
        case.step(Event::Time);
    }
}

#[test]
fn e3_who_may_not_be_sent_signals_is_named_and_left_at_once() {
    let mut case = case(|policy| policy.leftovers = Leftovers::Kill);
    assert_eq!(case.step(Event::AllRefuse), []);
    case.program_ends();
    assert_eq!(case.step(Event::AllRefuse), [Effect::NameSurvivors]);
    assert_eq!(case.ending(), Some(EXITED));
}

#[test]
fn e4_the_first_stop_request_is_held_back() {
    let mut case = case(|policy| policy.stop_delay = 2 * SECOND);
    assert_eq!(case.signal(Signal::TERM), [Effect::TellOfDelay(Signal::TERM)]);
    assert_eq!(case.signal(Signal::USR1), [forward(Signal::USR1)]);
    assert_eq!(case.next_deadline(2 * SECOND), [forward(Signal::TERM)]);
    assert_eq!(case.signal(Signal::TERM), [forward(Signal::TERM)]);
}

#[test]
fn e4_the_second_stop_request_goes_through_at_once() {
    let change = |policy: &mut EndingPolicy| {
        policy.stop_delay = 2 * SECOND;
        policy.stop_signals = policy.stop_signals.with(Signal::INT);
    };
    let mut same = case(change);
    same.signal(Signal::TERM);
    assert_eq!(same.signal(Signal::TERM), [forward(Signal::TERM)]);
    assert_eq!(same.state.deadline(), None);
    let mut other = case(change);
    other.signal(Signal::TERM);
    assert_eq!(other.signal(Signal::INT), [forward(Signal::TERM), forward(Signal::INT)]);
}

#[test]
fn e4_sigkill_follows_the_forwarded_stop_request() {
    let mut case = case(|policy| {
        policy.stop_delay = SECOND;
        policy.kill_after = Some(3 * SECOND);
    });
    case.signal(Signal::TERM);
    assert_eq!(case.next_deadline(SECOND), [forward(Signal::TERM)]);
    case.now += SECOND;
    assert_eq!(case.signal(Signal::TERM), [forward(Signal::TERM)]);
    assert_eq!(case.next_deadline(2 * SECOND), [TIME_OVER]);
    case.step(Event::ProgramEnded { ending: KILLED, leftovers: true });
    assert_eq!(case.ending(), None, "its tree dies with it");
    case.step(Event::NoneLeft);
    assert_eq!(case.ending(), Some(KILLED));
}

#[test]
fn e4_a_dropped_stop_request_starts_no_timer() {
    let mut case = case(|policy| policy.kill_after = Some(SECOND));
    case.state.rewrites.insert("TERM:0".parse().unwrap());
    assert_eq!(case.signal(Signal::TERM), []);
    assert_eq!(case.state.deadline(), None);
}

#[test]
fn e4_kill_after_goes_on_for_the_leftovers() {
    let mut case = case(|policy| policy.kill_after = Some(3 * SECOND));
    case.signal(Signal::TERM);
    case.now += SECOND;
    case.program_ends();
    assert_eq!(case.next_deadline(2 * SECOND), [TIME_OVER]);
}

fn timeout(after: Duration, kill_after: Duration) -> Option<Timeout> {
    Some(Timeout { after, signal: Signal::INT, kill_after })
}

#[test]
fn e5_out_of_time() {
    let mut case = case(|policy| policy.timeout = timeout(10 * SECOND, SECOND));
    let told = [Effect::TellOfTimeout, forward(Signal::INT), forward(Signal::CONT)];
    assert_eq!(case.next_deadline(10 * SECOND), told);
    assert_eq!(case.next_deadline(SECOND), [TIME_OVER]);
    case.step(Event::ProgramEnded { ending: KILLED, leftovers: false });
    assert!(case.state.finished().unwrap().timed_out);
}

#[test]
fn e5_in_time() {
    let mut case = case(|policy| policy.timeout = timeout(10 * SECOND, SECOND));
    case.step(Event::ProgramEnded { ending: EXITED, leftovers: false });
    assert!(!case.state.finished().unwrap().timed_out);
}

#[test]
fn e5_leftovers_that_are_waited_for_can_be_out_of_time() {
    let mut case = case(|policy| {
        policy.leftovers = Leftovers::Wait;
        policy.timeout = timeout(10 * SECOND, SECOND);
    });
    case.now += 4 * SECOND;
    case.program_ends();
    assert_eq!(case.next_deadline(6 * SECOND), [Effect::TellOfTimeout, Effect::Terminate]);
    case.step(Event::NoneLeft);
    assert!(case.state.finished().unwrap().timed_out);
}

#[test]
fn a_program_that_cannot_be_ended_is_left() {
    let mut case = case(|policy| policy.timeout = timeout(SECOND, SECOND));
    case.next_deadline(SECOND);
    case.next_deadline(SECOND);
    assert_eq!(case.next_deadline(PATIENCE), [Effect::NameSurvivors]);
    assert!(case.state.finished().unwrap().timed_out);
}

#[test]
fn j3_as_a_shells_job_sexton_stops_with_the_program() {
    let mut case = case(|_| ());
    case.state.stops = Stops::Follow;
    for signal in [Signal::TSTP, Signal::STOP, Signal::TTIN] {
        assert_eq!(case.step(Event::ProgramStopped(signal)), [Effect::FollowStop(signal)]);
    }
    assert_eq!(case.step(Event::NobodyAbove), [Effect::Continue]);
}

#[test]
fn a_session_of_its_own_is_stopped_together_with_sexton() {
    let mut case = case(|_| ());
    case.state.rewrites = [Signal::TSTP, Signal::TTIN]
        .map(|from| crate::signal::Rewrite { from, to: Some(Signal::STOP) })
        .into_iter()
        .collect();
    let stop = Effect::Forward { signal: Signal::STOP, payload: None };
    for (leads_session, stops, follows) in
        [(true, Stops::Follow, true), (false, Stops::Follow, false), (true, Stops::Undo, false)]
    {
        (case.state.leads_session, case.state.stops) = (leads_session, stops);
        let expected = if follows { vec![stop, Effect::FollowStop(Signal::STOP)] } else { vec![stop] };
        assert_eq!(case.signal(Signal::TSTP), expected);
        assert!(
            !case.signal(Signal::TTOU).contains(&Effect::FollowStop(Signal::STOP)),
            "it is not made a stop"
        );
    }
}

#[test]
fn j3_a_signal_that_a_traced_program_shows_is_no_stop() {
    for stops in [Stops::Follow, Stops::Undo, Stops::Leave] {
        let mut case = case(|_| ());
        case.state.stops = stops;
        for signal in [Signal::TRAP, Signal::USR1, Signal::TERM] {
            assert_eq!(case.step(Event::ProgramStopped(signal)), [], "{stops:?} {signal}");
        }
    }
}

#[test]
fn j4_with_nobody_above_a_terminals_stop_is_undone() {
    let mut case = case(|_| ());
    assert_eq!(case.step(Event::ProgramStopped(Signal::TSTP)), [Effect::Continue]);
    assert_eq!(case.step(Event::ProgramStopped(Signal::STOP)), []);
    assert_eq!(case.state.deadline(), None);
}

#[test]
fn j4_a_stop_that_comes_again_at_once_is_undone_a_little_later() {
    let mut case = case(|_| ());
    assert_eq!(case.step(Event::ProgramStopped(Signal::TTIN)), [Effect::Continue]);
    assert_eq!(case.step(Event::ProgramStopped(Signal::TTIN)), []);
    assert_eq!(case.next_deadline(STOP_AGAIN), [Effect::Continue]);
    assert_eq!(case.state.deadline(), None);
}

#[test]
fn stops_are_left_to_whoever_is_above_where_there_is_no_terminal() {
    let mut case = case(|_| ());
    case.state.stops = Stops::Leave;
    assert_eq!(case.step(Event::ProgramStopped(Signal::STOP)), []);
    assert_eq!(case.step(Event::ProgramStopped(Signal::TSTP)), [Effect::LookAbove]);
}
