//! Whatever happens in whatever order.

use proptest::prelude::*;

use super::*;

/// What may happen, in any order.
#[derive(Clone, Debug)]
enum Happening {
    Signal(Signal),
    Time,
    Reaped,
    NoneLeft,
    AllRefuse,
    ProgramStops(Signal),
    NobodyAbove,
    ProgramEnds { leftovers: bool },
}

fn happening() -> impl Strategy<Value = Happening> {
    let signal = (1..=64u8)
        .prop_filter_map("catchable", |number| Signal::new(number).filter(|signal| signal.is_catchable()));
    prop_oneof![
        3 => Just(Happening::Signal(Signal::TERM)),
        2 => signal.prop_map(Happening::Signal),
        4 => Just(Happening::Time),
        1 => Just(Happening::Reaped),
        1 => Just(Happening::NoneLeft),
        1 => Just(Happening::AllRefuse),
        1 => prop_oneof![Just(Signal::TSTP), Just(Signal::STOP)].prop_map(Happening::ProgramStops),
        1 => Just(Happening::NobodyAbove),
        1 => any::<bool>().prop_map(|leftovers| Happening::ProgramEnds { leftovers }),
    ]
}

fn policies() -> impl Strategy<Value = EndingPolicy> {
    let seconds = || (0..4u32).prop_map(|count| count * SECOND);
    let leftovers = prop_oneof![
        Just(Leftovers::Terminate),
        Just(Leftovers::Kill),
        Just(Leftovers::Wait),
        Just(Leftovers::Leave)
    ];
    let timeout = (seconds(), seconds()).prop_map(|(after, kill_after)| timeout(after, kill_after).unwrap());
    let parts =
        (leftovers, seconds(), seconds(), proptest::option::of(seconds()), proptest::option::of(timeout));
    parts.prop_map(|(leftovers, grace, stop_delay, kill_after, timeout)| EndingPolicy {
        leftovers,
        grace,
        stop_delay,
        kill_after,
        timeout,
        ..policy()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever happens in whatever order: nothing is sent to a program that is reaped, no effect follows the end,
    /// the status is the program's, a deadline that has passed is not due again, and two stop requests and time
    /// bring any run to its end.
    #[test]
    fn any_order_of_events(policy in policies(), happenings in proptest::collection::vec(happening(), 0..40)) {
        let mut case = case(|mine| *mine = policy);
        let mut ended = None;
        for happening in happenings {
            let before = case.state.finished();
            let effects = match happening {
                Happening::Signal(signal) => case.signal(signal),
                Happening::Reaped => case.step(Event::Reaped),
                Happening::NoneLeft if ended.is_some() => case.step(Event::NoneLeft),
                Happening::ProgramEnds { leftovers } if ended.is_none() && before.is_none() => {
                    ended = Some(EXITED);
                    case.step(Event::ProgramEnded { ending: EXITED, leftovers })
                }
                Happening::Time => pass_time(&mut case),
                Happening::AllRefuse => case.step(Event::AllRefuse),
                // The loop tells of the program only what was before its end.
                Happening::ProgramStops(signal) if ended.is_none() => case.step(Event::ProgramStopped(signal)),
                Happening::NobodyAbove if ended.is_none() && before.is_none() => case.step(Event::NobodyAbove),
                Happening::ProgramStops(_) | Happening::NobodyAbove => Vec::new(),
                Happening::NoneLeft | Happening::ProgramEnds { .. } => Vec::new(),
            };
            let is_to_program = |effect: &Effect| {
                matches!(effect, Effect::Forward { .. } | Effect::Continue | Effect::FollowStop(_))
            };
            prop_assert!(ended.is_none() || !effects.iter().any(is_to_program), "{effects:?}");
            if let Some(finished) = before {
                prop_assert_eq!(&effects, &[]);
                prop_assert_eq!(case.state.finished(), Some(finished));
            }
        }
        if ended.is_none() && case.state.finished().is_none() {
            case.step(Event::ProgramEnded { ending: EXITED, leftovers: true });
            ended = Some(EXITED);
        }
        case.signal(Signal::TERM);
        case.signal(Signal::TERM);
        for _ in 0..4 {
            pass_time(&mut case);
        }
        let finished = case.state.finished();
        prop_assert!(finished.is_some(), "{:?}", case.state);
        if ended.is_some() {
            prop_assert_eq!(finished.unwrap().ending, EXITED);
        }
    }
}

/// Goes on to the next deadline, if there is one, and through all that are due then.
fn pass_time(case: &mut Case) -> Effects {
    let Some(deadline) = case.state.deadline() else { return Vec::new() };
    case.now = case.now.max(deadline);
    let mut effects = Vec::new();
    // One after the other: the stop delay, the time-out, the grace, the patience.
    for _ in 0..4 {
        effects.extend(case.step(Event::Time));
    }
    assert!(case.state.deadline().is_none_or(|next| next > case.now), "due for ever: {:?}", case.state);
    effects
}
