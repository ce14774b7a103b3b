//! Whatever happens in whatever order, against a model that says what must be sent.

use proptest::prelude::*;

use super::*;
use crate::sys::signals::Payload;

/// What may happen, in any order.
#[derive(Clone, Debug)]
enum Happening {
    Signal {
        signal: Signal,
        from: From,
        from_own_group: bool,
    },
    /// The same signal again and again.
    Flood {
        signal: Signal,
        count: usize,
    },
    Time,
    Reaped,
    NoneLeft,
    AllRefuse,
    ProgramStops(Signal),
    NobodyAbove,
    ProgramEnds {
        leftovers: bool,
    },
}

/// Where a signal comes from.
#[derive(Clone, Copy, Debug)]
enum From {
    Process,
    Kernel,
    Myself,
    Queue(usize),
}

impl From {
    fn origin(self) -> Origin {
        match self {
            From::Process => Origin::Process(Pid::from_raw(9)),
            From::Kernel => Origin::Kernel,
            From::Myself => Origin::Process(MYSELF),
            From::Queue(value) => Origin::Queued(Payload::with_value(value)),
        }
    }
}

fn catchable() -> impl Strategy<Value = Signal> {
    let any = (1..=64u8)
        .prop_filter_map("catchable", |number| Signal::new(number).filter(|signal| signal.is_catchable()));
    let of_interest = prop::sample::select(vec![
        Signal::TERM,
        Signal::INT,
        Signal::CONT,
        Signal::TSTP,
        Signal::HUP,
        Signal::PIPE,
        Signal::XFSZ,
    ]);
    prop_oneof![3 => of_interest, 1 => any]
}

fn happening() -> impl Strategy<Value = Happening> {
    let from = prop_oneof![
        4 => Just(From::Process),
        2 => Just(From::Kernel),
        1 => Just(From::Myself),
        1 => any::<usize>().prop_map(From::Queue),
    ];
    let signal = (catchable(), from, any::<bool>())
        .prop_map(|(signal, from, from_own_group)| Happening::Signal { signal, from, from_own_group });
    prop_oneof![
        6 => signal,
        1 => (catchable(), 1..40usize).prop_map(|(signal, count)| Happening::Flood { signal, count }),
        4 => Just(Happening::Time),
        1 => Just(Happening::Reaped),
        1 => Just(Happening::NoneLeft),
        1 => Just(Happening::AllRefuse),
        1 => prop_oneof![Just(Signal::TSTP), Just(Signal::STOP)].prop_map(Happening::ProgramStops),
        1 => Just(Happening::NobodyAbove),
        1 => any::<bool>().prop_map(|leftovers| Happening::ProgramEnds { leftovers }),
    ]
}

fn configs() -> impl Strategy<Value = Config> {
    let seconds = || (0..4u32).prop_map(|count| count * SECOND);
    let leftovers = prop_oneof![
        Just(Leftovers::Terminate),
        Just(Leftovers::Kill),
        Just(Leftovers::Wait),
        Just(Leftovers::Leave)
    ];
    let delivery = prop_oneof![Just(Delivery::Program), Just(Delivery::Group), Just(Delivery::Tree)];
    let rewrites = prop::collection::vec((catchable(), prop::option::of(catchable())), 0..3);
    let times = (seconds(), seconds(), prop::option::of(seconds()), prop::option::of(seconds()));
    let stop_signals = prop::collection::vec(catchable(), 0..3);
    (leftovers, delivery, rewrites, times, stop_signals).prop_map(
        |(leftovers, delivery, rewrites, (grace, stop_delay, kill_after, timeout), stop_signals)| Config {
            leftovers,
            delivery,
            rewrites: rewrites.into_iter().map(|(from, to)| Rewrite { from, to }).collect(),
            grace,
            stop_delay,
            kill_after,
            timeout,
            stop_signals: stop_signals.into_iter().chain([Signal::TERM]).collect(),
            ..Config::default()
        },
    )
}

prop_compose! {
    fn plans()(
        config in configs(),
        group in prop_oneof![Just(Group::Shared), Just(Group::Own { terminal: None }), Just(LEADS_SESSION)],
        stops in prop_oneof![Just(Stops::Follow), Just(Stops::Undo), Just(Stops::Leave)],
    ) -> Plan {
        Plan { config, group, stops, ..plan() }
    }
}

/// What must be sent, told in another way than the machines have it.
struct Model {
    plan: Plan,
    missed: SignalSet,
    /// The stop request that is held back, and what it becomes.
    held: Option<(Signal, Effect)>,
    stop_requested: bool,
}

/// Whether a signal has to be sent to the program.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sent {
    /// The terminal has sent it already.
    Reached,
    /// It is dropped.
    Dropped,
    /// One SIGCONT at most, if the program is stopped.
    Continue,
    Forward(Effect),
}

impl Model {
    /// What a signal that comes while the program runs has to lead to, if it is not held back.
    fn due(&mut self, signal: Signal, from: From, from_own_group: bool) -> Option<Sent> {
        let shared = self.plan.group == Group::Shared;
        let is_stop = matches!(signal, Signal::TSTP | Signal::TTIN | Signal::TTOU);
        if shared && is_stop && from_own_group {
            return None;
        }
        if matches!((from, signal), (From::Myself, Signal::PIPE | Signal::XFSZ)) {
            return None;
        }
        let missed = shared && self.missed.contains(signal);
        self.missed = self.missed.without(signal);
        let is_key = FROM_KEYS.contains(&signal);
        if shared && is_key && matches!(from, From::Kernel) && !missed {
            return Some(Sent::Reached);
        }
        let Some(to) = self.plan.config.rewrites.apply(signal) else { return Some(Sent::Dropped) };
        let follows = self.plan.stops == Stops::Follow && self.plan.config.delivery != Delivery::Tree;
        if shared && follows && (signal, to) == (Signal::CONT, Signal::CONT) {
            return Some(Sent::Continue);
        }
        let payload = match from {
            From::Queue(value) => Some(Payload::with_value(value)),
            From::Process | From::Kernel | From::Myself => None,
        };
        Some(Sent::Forward(Effect::Forward { signal: to, payload }))
    }
}

const FROM_KEYS: [Signal; 8] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::CONT,
    Signal::TSTP,
    Signal::TTIN,
    Signal::TTOU,
    Signal::WINCH,
];

fn sent(effects: &[Effect]) -> Vec<Effect> {
    let is_sent = |effect: &&Effect| matches!(effect, Effect::Forward { .. });
    effects.iter().filter(is_sent).copied().collect()
}

impl Case {
    fn any_signal(&mut self, signal: Signal, from: From, from_own_group: bool) -> Effects {
        let received = Received { signal, origin: from.origin() };
        self.step(|lifetime, now, effects| {
            if let Some(arrival) = lifetime.job.arrival(received, from_own_group) {
                lifetime.signal(arrival, now, effects);
            }
        })
    }

    /// A signal while the program runs: what must be sent is sent, exactly once.
    fn signal_to_program(
        &mut self,
        model: &mut Model,
        (signal, from, from_own_group): (Signal, From, bool),
    ) -> Result<(), TestCaseError> {
        let effects = self.any_signal(signal, from, from_own_group);
        let Some(due) = model.due(signal, from, from_own_group) else {
            prop_assert_eq!(effects, []);
            return Ok(());
        };
        let mut expected = Vec::new();
        if model.plan.config.stop_signals.contains(signal) {
            let is_first = !std::mem::replace(&mut model.stop_requested, true);
            if is_first && !model.plan.config.stop_delay.is_zero() && due != Sent::Reached {
                prop_assert_eq!(effects, [Effect::TellOfDelay(signal)]);
                if let Sent::Forward(effect) = due {
                    model.held = Some((signal, effect));
                }
                return Ok(());
            }
            expected.extend(model.held.take().filter(|(held, _)| *held != signal).map(|(_, effect)| effect));
        }
        match due {
            Sent::Reached | Sent::Dropped => {}
            Sent::Continue => {
                let is_continue =
                    |effect: &Effect| matches!(effect, Effect::Continue | Effect::ContinueIfStopped);
                prop_assert_eq!(effects.iter().filter(|effect| is_continue(effect)).count(), 1);
            }
            Sent::Forward(effect) => expected.push(effect),
        }
        prop_assert_eq!(sent(&effects), expected);
        Ok(())
    }

    /// Goes on to the next deadline, if there is one, and through all that are due then.
    fn pass_time(&mut self) -> Effects {
        let Some(deadline) = self.lifetime.deadline() else { return Vec::new() };
        self.now = self.now.max(deadline);
        let mut effects = Vec::new();
        // One after the other: the stop delay, the time-out, the grace, the patience.
        for _ in 0..4 {
            effects.extend(self.step(|lifetime, now, effects| lifetime.time(now, effects)));
        }
        let next = self.lifetime.deadline();
        assert!(next.is_none_or(|next| next > self.now), "due for ever: {:?}", self.lifetime);
        effects
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Whatever happens in whatever order: what must be forwarded is forwarded, exactly once; nothing is sent to a program
    /// that is reaped, no effect follows the end, the status is the program's, a deadline that has passed is not due again,
    /// and two stop requests and time bring any run to its end.
    #[test]
    fn any_order_of_events(
        plan in plans(),
        missed in any::<u64>(),
        happenings in prop::collection::vec(happening(), 0..40),
    ) {
        let missed = SignalSet::from_bits(missed);
        let is_tree = plan.config.delivery == Delivery::Tree;
        let mut case = case_of(|mine| *mine = plan.clone());
        // Elsewhere nothing is missed, and the loop does not tell of it.
        if plan.group == Group::Shared {
            case.lifetime.job.missed(missed);
        }
        let mut model = Model { plan, missed, held: None, stop_requested: false };
        let mut ended = None;
        for happening in happenings {
            let before = case.lifetime.finished();
            let effects = match happening {
                Happening::Signal { signal, from, from_own_group } if case.lifetime.is_running() => {
                    case.signal_to_program(&mut model, (signal, from, from_own_group))?;
                    continue;
                }
                Happening::Signal { signal, from, from_own_group } => {
                    case.any_signal(signal, from, from_own_group)
                }
                Happening::Flood { signal, count } if case.lifetime.is_running() => {
                    for _ in 0..count {
                        case.signal_to_program(&mut model, (signal, From::Process, false))?;
                    }
                    continue;
                }
                Happening::Flood { signal, count } => {
                    (0..count).flat_map(|_| case.any_signal(signal, From::Process, false)).collect()
                }
                Happening::Reaped => {
                    case.reaped();
                    Vec::new()
                }
                Happening::NoneLeft => {
                    if ended.is_some() {
                        case.lifetime.none_left();
                    }
                    Vec::new()
                }
                Happening::ProgramEnds { leftovers } if ended.is_none() && before.is_none() => {
                    ended = Some(EXITED);
                    case.program_ends(EXITED, leftovers)
                }
                Happening::Time => {
                    let was_running = case.lifetime.is_running();
                    let held = model.held.map(|(_, effect)| effect);
                    let effects = case.pass_time();
                    if was_running && case.lifetime.held.is_none() {
                        // What the time-out sends has no payload either, and comes after.
                        prop_assert!(held.is_none_or(|held| sent(&effects).first() == Some(&held)), "{effects:?}");
                        model.held = None;
                    }
                    effects
                }
                Happening::AllRefuse => case.give_up(),
                // The loop tells of the program only what was before its end.
                Happening::ProgramStops(signal) if case.lifetime.is_running() => case.program_stops(signal),
                Happening::NobodyAbove if case.lifetime.is_running() => {
                    case.step(|lifetime, now, effects| lifetime.job.nobody_above(now, effects))
                }
                Happening::ProgramStops(_) | Happening::NobodyAbove | Happening::ProgramEnds { .. } => Vec::new(),
            };
            let is_to_program = |effect: &Effect| match effect {
                // As long as leftovers are waited for, the tree gets signals.
                Effect::Forward { .. } => !is_tree,
                Effect::Continue | Effect::ContinueIfStopped | Effect::FollowStop(_) => !is_tree,
                _ => false,
            };
            prop_assert!(ended.is_none() || !effects.iter().any(is_to_program), "{effects:?}");
            if let Some(finished) = before {
                prop_assert_eq!(&effects, &[]);
                prop_assert_eq!(case.lifetime.finished(), Some(finished));
            }
        }
        if ended.is_none() && case.lifetime.finished().is_none() {
            case.program_ends(EXITED, true);
            ended = Some(EXITED);
        }
        case.signal(Signal::TERM);
        case.signal(Signal::TERM);
        for _ in 0..4 {
            case.pass_time();
        }
        let finished = case.lifetime.finished();
        prop_assert!(finished.is_some(), "{:?}", case.lifetime);
        if ended.is_some() {
            prop_assert_eq!(finished.unwrap().ending, EXITED);
        }
    }
}
