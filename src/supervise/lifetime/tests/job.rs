//! The program as a job: which signals it has got and is to get, and what follows when it stops.

use super::super::super::job::STOP_AGAIN;
use super::*;

#[test]
fn s1_every_signal_is_forwarded() {
    for signal in Signal::all() {
        assert_eq!(case(|_| ()).signal(signal), [forward(signal)]);
    }
}

#[test]
fn s6_rewritten_once_or_dropped() {
    let rewrites = ["TERM:QUIT", "QUIT:INT", "HUP:0"];
    let mut case = case_of(|plan| {
        plan.config.rewrites = rewrites.iter().map(|word| word.parse::<Rewrite>().unwrap()).collect();
    });
    assert_eq!(case.signal(Signal::TERM), [forward(Signal::QUIT)]);
    assert_eq!(case.signal(Signal::HUP), []);
}

#[test]
fn j2_the_terminals_signal_has_reached_a_shared_group() {
    assert_eq!(case(|_| ()).key(Signal::INT), [forward(Signal::INT)]);
    let mut case = case_of(|plan| plan.group = Group::Shared);
    assert_eq!(case.key(Signal::INT), []);
    assert_eq!(case.signal(Signal::INT), [forward(Signal::INT)]);
}

#[test]
fn s4_what_the_terminal_sent_before_the_start_is_sent_on_once() {
    for delay in [Duration::ZERO, SECOND] {
        let mut case = case_of(|plan| {
            plan.group = Group::Shared;
            plan.config.stop_signals = [Signal::INT].into_iter().collect();
            plan.config.stop_delay = delay;
        });
        case.lifetime.job.missed(SignalSet::EMPTY.with(Signal::INT));
        let at_once = case.key(Signal::INT);
        let sent = if delay.is_zero() { at_once } else { case.next_deadline(delay) };
        assert_eq!(sent, [forward(Signal::INT)]);
        assert_eq!(case.key(Signal::INT), []);
    }
}

#[test]
fn what_sexton_brings_on_itself_is_not_sent_on() {
    let own = |signal| Received { signal, origin: Origin::Process(MYSELF) };
    let mut plain = case(|_| ());
    for signal in [Signal::PIPE, Signal::XFSZ] {
        assert_eq!(plain.received(own(signal)), []);
        assert_eq!(plain.signal(signal), [forward(signal)], "another process sends it");
    }
    for signal in [Signal::HUP, Signal::CONT] {
        let session = |terminal| Group::Session(Session { terminal, parting_signal: None });
        let mut gave_up = case_of(|plan| plan.group = session(Some(Terminal::Standard(0))));
        assert_eq!(gave_up.received(own(signal)), []);
        assert_eq!(case_of(|plan| plan.group = session(None)).received(own(signal)), [forward(signal)]);
        assert_eq!(plain.received(own(signal)), [forward(signal)]);
    }
}

#[test]
fn j3_a_shells_sigcont_is_not_sent_again() {
    let mut own_group = case(|_| ());
    assert_eq!(own_group.signal(Signal::CONT), [forward(Signal::CONT)]);
    let mut no_shell = case_of(|plan| plan.group = Group::Shared);
    assert_eq!(no_shell.signal(Signal::CONT), [forward(Signal::CONT)]);
    let mut case = shells_job();
    assert_eq!(case.signal(Signal::CONT), [Effect::ContinueIfStopped]);
}

/// In sexton's group, with a shell above.
fn shells_job() -> Case {
    case_of(|plan| (plan.group, plan.stops) = (Group::Shared, Stops::Follow))
}

#[test]
fn j3_a_stop_that_is_on_its_way_is_taken_back() {
    let mut case = shells_job();
    assert_eq!(case.signal(Signal::TSTP), [forward(Signal::TSTP)]);
    assert_eq!(case.signal(Signal::CONT), [Effect::Continue], "the program may stop only now");
    assert_eq!(case.signal(Signal::CONT), [Effect::ContinueIfStopped]);
    case.signal(Signal::TSTP);
    case.program_stops(Signal::TSTP);
    assert_eq!(case.signal(Signal::CONT), [Effect::ContinueIfStopped], "its stop was seen");
}

#[test]
fn j3_as_a_shells_job_sexton_stops_with_the_program() {
    let mut case = case_of(|plan| plan.stops = Stops::Follow);
    for signal in [Signal::TSTP, Signal::STOP, Signal::TTIN] {
        assert_eq!(case.program_stops(signal), [Effect::FollowStop(signal)]);
    }
    assert_eq!(
        case.step(|lifetime, now, effects| lifetime.job.nobody_above(now, effects)),
        [Effect::Continue]
    );
}

#[test]
fn a_session_of_its_own_is_stopped_together_with_sexton() {
    let stop = forward(Signal::STOP);
    let own_group = Group::Own { terminal: None };
    for (group, stops, follows) in [
        (LEADS_SESSION, Stops::Follow, true),
        (own_group, Stops::Follow, false),
        (LEADS_SESSION, Stops::Undo, false),
    ] {
        let mut case = case_of(|plan| {
            (plan.group, plan.stops) = (group, stops);
            plan.config.rewrites = [Signal::TSTP, Signal::TTIN]
                .map(|from| Rewrite { from, to: Some(Signal::STOP) })
                .into_iter()
                .collect();
        });
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
        let mut case = case_of(|plan| plan.stops = stops);
        for signal in [Signal::TRAP, Signal::USR1, Signal::TERM] {
            assert_eq!(case.program_stops(signal), [], "{stops:?} {signal}");
        }
    }
}

#[test]
fn j4_with_nobody_above_a_terminals_stop_is_undone() {
    let mut case = case(|_| ());
    assert_eq!(case.program_stops(Signal::TSTP), [Effect::Continue]);
    assert_eq!(case.program_stops(Signal::STOP), []);
    assert_eq!(case.lifetime.deadline(), None);
}

#[test]
fn j4_a_stop_that_comes_again_at_once_is_undone_a_little_later() {
    let mut case = case(|_| ());
    assert_eq!(case.program_stops(Signal::TTIN), [Effect::Continue]);
    assert_eq!(case.program_stops(Signal::TTIN), []);
    assert_eq!(case.next_deadline(STOP_AGAIN), [Effect::Continue]);
    assert_eq!(case.lifetime.deadline(), None);
    assert_eq!(case.program_stops(Signal::TTIN), [Effect::Continue], "it has run for long enough");
}

#[test]
fn stops_are_left_to_whoever_is_above_where_there_is_no_terminal() {
    let mut case = case_of(|plan| plan.stops = Stops::Leave);
    assert_eq!(case.program_stops(Signal::STOP), []);
    assert_eq!(case.program_stops(Signal::TSTP), [Effect::LookAbove]);
}
