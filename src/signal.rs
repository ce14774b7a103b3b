//! Signals by number and by name, sets of them, and rewrites from one to another.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

use nix::sys::signal::Signal as StandardSignal;

/// The first real-time signal as `kill -l` on a glibc system numbers it. The kernel's own first is 32,
/// but C libraries keep 32 and 33 (glibc) or 32 to 34 (musl) to themselves; see signal(7). The number
/// is fixed here, so that a name means the same signal in every build.
const RTMIN: u8 = 34;
/// The last signal there is on Linux (`_NSIG`), except on MIPS.
const RTMAX: u8 = 64;

/// A signal, 1 to 64.
///
/// ```
/// use sexton::Signal;
///
/// assert_eq!("rtmin+1".parse::<Signal>().unwrap().number(), 35);
/// assert_eq!(Signal::TERM.to_string(), "SIGTERM");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(NonZeroU8);

impl Signal {
    /// Every signal, in the order of the numbers.
    pub fn all() -> impl Iterator<Item = Signal> {
        (1..=RTMAX).filter_map(Signal::new)
    }

    /// The signal with this number, if there is one: 1 to 64.
    pub const fn new(number: u8) -> Option<Signal> {
        match NonZeroU8::new(number) {
            Some(number) if number.get() <= RTMAX => Some(Signal(number)),
            _ => None,
        }
    }

    /// The signal with this number as system calls give it.
    pub fn from_raw(number: i32) -> Option<Signal> {
        u8::try_from(number).ok().and_then(Signal::new)
    }

    const fn standard(signal: StandardSignal) -> Signal {
        match Signal::new(signal as u8) {
            Some(signal) => signal,
            None => unreachable!(),
        }
    }

    /// The number, 1 to 64.
    pub const fn number(self) -> u8 {
        self.0.get()
    }

    /// The number as system calls take it.
    pub const fn as_raw(self) -> i32 {
        self.number() as i32
    }

    /// Whether a process can block, ignore or handle it: all but SIGKILL and SIGSTOP.
    pub fn is_catchable(self) -> bool {
        self != Signal::KILL && self != Signal::STOP
    }

    /// Whether a terminal stops jobs with it: on a key, or on background reading or writing (signal(7)).
    pub(crate) fn stops_a_job(self) -> bool {
        matches!(self, Signal::TSTP | Signal::TTIN | Signal::TTOU)
    }
}

macro_rules! standard_signals {
    ($($name:ident = $standard:ident),* $(,)?) => {
        impl Signal {
            $(#[doc = concat!("`", stringify!($standard), "`, see signal(7).")]
            pub const $name: Signal = Signal::standard(StandardSignal::$standard);)*
        }

        #[cfg(test)]
        const STANDARD: &[Signal] = &[$(Signal::$name),*];
    };
}

standard_signals! {
    HUP = SIGHUP, INT = SIGINT, QUIT = SIGQUIT, ILL = SIGILL, TRAP = SIGTRAP, ABRT = SIGABRT, BUS = SIGBUS,
    FPE = SIGFPE, KILL = SIGKILL, USR1 = SIGUSR1, SEGV = SIGSEGV, USR2 = SIGUSR2, PIPE = SIGPIPE,
    ALRM = SIGALRM, TERM = SIGTERM, STKFLT = SIGSTKFLT, CHLD = SIGCHLD, CONT = SIGCONT, STOP = SIGSTOP,
    TSTP = SIGTSTP, TTIN = SIGTTIN, TTOU = SIGTTOU, URG = SIGURG, XCPU = SIGXCPU, XFSZ = SIGXFSZ,
    VTALRM = SIGVTALRM, PROF = SIGPROF, WINCH = SIGWINCH, IO = SIGIO, PWR = SIGPWR, SYS = SIGSYS,
}

/// Writes the full name (`SIGTERM`, `SIGRTMIN+3`), or the number where there is none (32 and 33).
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number() {
            RTMIN => f.write_str("SIGRTMIN"),
            RTMAX => f.write_str("SIGRTMAX"),
            // As `kill -l` does: counted from the nearer end.
            number @ RTMIN..=49 => write!(f, "SIGRTMIN+{}", number - RTMIN),
            number @ 50..=RTMAX => write!(f, "SIGRTMAX-{}", RTMAX - number),
            number => match StandardSignal::try_from(i32::from(number)) {
                Ok(signal) => f.write_str(signal.as_str()),
                Err(_) => write!(f, "{number}"),
            },
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A word that names no signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSignal(String);

impl fmt::Display for UnknownSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no signal is called {:?}; write a name or a number: TERM, SIGTERM, 15, RTMIN+1", self.0)
    }
}

impl std::error::Error for UnknownSignal {}

/// Reads `TERM`, `SIGTERM`, `15`, `RTMIN+3` or `SIGRTMAX-1`, in any case.
impl FromStr for Signal {
    type Err = UnknownSignal;

    fn from_str(word: &str) -> Result<Signal, UnknownSignal> {
        let signal = match decimal(word) {
            Some(number) => Signal::new(number),
            None => by_name(&word.to_ascii_uppercase()),
        };
        signal.ok_or_else(|| UnknownSignal(word.to_owned()))
    }
}

fn by_name(upper: &str) -> Option<Signal> {
    let short = upper.strip_prefix("SIG").unwrap_or(upper);
    if let Some(offset) = short.strip_prefix("RTMIN") {
        let offset = if offset.is_empty() { 0 } else { decimal(offset.strip_prefix('+')?)? };
        return Signal::new(RTMIN.checked_add(offset)?);
    }
    if let Some(offset) = short.strip_prefix("RTMAX") {
        let offset = if offset.is_empty() { 0 } else { decimal(offset.strip_prefix('-')?)? };
        return RTMAX.checked_sub(offset).filter(|number| *number >= RTMIN).and_then(Signal::new);
    }
    // The other names that signal(7) lists for the same numbers.
    let short = match short {
        "CLD" => "CHLD",
        "IOT" => "ABRT",
        "POLL" => "IO",
        "UNUSED" => "SYS",
        other => other,
    };
    Some(Signal::standard(format!("SIG{short}").parse().ok()?))
}

/// A number of digits only: `from_str` would also take a plus sign.
pub fn decimal<T: FromStr>(word: &str) -> Option<T> {
    word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok())?
}

/// A set of signals, as the kernel has it: bit N-1 stands for signal N.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(u64);

impl SignalSet {
    /// No signal.
    pub const EMPTY: SignalSet = SignalSet(0);
    /// All 64. (The kernel takes SIGKILL and SIGSTOP out of any mask by itself.)
    pub const ALL: SignalSet = SignalSet(u64::MAX);

    /// The set with these bits.
    pub const fn from_bits(bits: u64) -> SignalSet {
        SignalSet(bits)
    }

    /// The bits; signal N is bit N-1.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// This set with the signal.
    #[must_use]
    pub const fn with(self, signal: Signal) -> SignalSet {
        SignalSet(self.0 | 1 << (signal.number() - 1))
    }

    /// This set without the signal.
    #[must_use]
    pub(crate) const fn without(self, signal: Signal) -> SignalSet {
        SignalSet(self.0 & !(1 << (signal.number() - 1)))
    }

    /// Whether the signal is in the set.
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & (1 << (signal.number() - 1)) != 0
    }
}

impl FromIterator<Signal> for SignalSet {
    fn from_iter<I: IntoIterator<Item = Signal>>(signals: I) -> SignalSet {
        signals.into_iter().fold(SignalSet::EMPTY, SignalSet::with)
    }
}

/// What is sent when a signal arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// The signal that sexton receives.
    pub from: Signal,
    /// The signal that is sent instead; `None` drops it.
    pub to: Option<Signal>,
}

/// Reads `FROM:TO`; `FROM:0` and `FROM:` drop the signal.
impl FromStr for Rewrite {
    type Err = String;

    fn from_str(word: &str) -> Result<Rewrite, String> {
        let Some((from, to)) = word.split_once(':') else {
            return Err(format!("{word:?} is not FROM:TO; write TERM:QUIT, or HUP:0 to drop SIGHUP"));
        };
        let signal = |word: &str| word.parse::<Signal>().map_err(|error| error.to_string());
        let from = signal(from)?;
        if !from.is_catchable() {
            return Err(format!("{from} cannot be caught, so it cannot be rewritten"));
        }
        let to = match to {
            "" | "0" => None,
            to => Some(signal(to)?),
        };
        Ok(Rewrite { from, to })
    }
}

/// All rewrites. They do not chain: a result is not rewritten again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrites(BTreeMap<Signal, Option<Signal>>);

impl Rewrites {
    /// Adds one; it replaces an earlier one of the same signal.
    pub fn insert(&mut self, rewrite: Rewrite) {
        self.0.insert(rewrite.from, rewrite.to);
    }

    /// What is sent when `signal` arrives; `None` when it is dropped.
    pub fn apply(&self, signal: Signal) -> Option<Signal> {
        self.0.get(&signal).copied().unwrap_or(Some(signal))
    }

    /// The rewrites in the order of the signals' numbers.
    #[cfg(feature = "cli")]
    pub fn iter(&self) -> impl Iterator<Item = Rewrite> {
        self.0.iter().map(|(from, to)| Rewrite { from: *from, to: *to })
    }
}

#[cfg(test)]
impl FromIterator<Rewrite> for Rewrites {
    fn from_iter<I: IntoIterator<Item = Rewrite>>(rewrites: I) -> Rewrites {
        let mut all = Rewrites::default();
        rewrites.into_iter().for_each(|rewrite| all.insert(rewrite));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signals() -> impl Strategy<Value = Signal> {
        (1..=64u8).prop_map(|number| Signal::new(number).unwrap())
    }

    #[test]
    fn names_as_kill_l_writes_them() {
        let written = |number| Signal::new(number).unwrap().to_string();
        assert_eq!(written(1), "SIGHUP");
        assert_eq!(written(16), "SIGSTKFLT");
        assert_eq!(written(30), "SIGPWR");
        assert_eq!(written(32), "32");
        assert_eq!(written(34), "SIGRTMIN");
        assert_eq!(written(49), "SIGRTMIN+15");
        assert_eq!(written(50), "SIGRTMAX-14");
        assert_eq!(written(64), "SIGRTMAX");
        assert_eq!(format!("{:?}", [Signal::TERM]), "[SIGTERM]");
    }

    #[test]
    fn every_standard_signal_has_a_constant() {
        assert_eq!(STANDARD, Signal::all().take(31).collect::<Vec<_>>());
    }

    #[test]
    fn reads_every_way_of_writing() {
        for word in ["TERM", "SIGTERM", "15", "sigterm", "Term", "015"] {
            assert_eq!(word.parse(), Ok(Signal::TERM), "{word}");
        }
        for (word, number) in [("RTMIN+3", 37), ("SIGRTMAX-1", 63), ("rtmin+30", 64), ("iot", 6), ("CLD", 17)]
        {
            assert_eq!(word.parse::<Signal>().unwrap().number(), number, "{word}");
        }
    }

    #[test]
    fn refuses_what_is_no_signal() {
        for word in
            ["", "0", "65", "+15", "-1", "SIG", "SIGSIGTERM", "RTMIN+31", "RTMAX-31", "RTMIN-1", "FOO"]
        {
            assert!(word.parse::<Signal>().is_err(), "{word}");
        }
    }

    #[test]
    fn rewrites_are_applied_once() {
        let rewrites: Rewrites = ["TERM:QUIT", "QUIT:INT", "HUP:0", "USR1:"]
            .iter()
            .map(|word| word.parse::<Rewrite>().unwrap())
            .collect();
        assert_eq!(rewrites.apply(Signal::TERM), Some(Signal::QUIT));
        assert_eq!(rewrites.apply(Signal::QUIT), Some(Signal::INT));
        assert_eq!(rewrites.apply(Signal::HUP), None);
        assert_eq!(rewrites.apply(Signal::USR1), None);
        assert_eq!(rewrites.apply(Signal::INT), Some(Signal::INT));
        let all: Vec<Signal> = rewrites.iter().map(|rewrite| rewrite.from).collect();
        assert_eq!(all, [Signal::HUP, Signal::QUIT, Signal::USR1, Signal::TERM]);
    }

    #[test]
    fn refuses_rewrites_that_cannot_be() {
        for word in ["TERM", "KILL:TERM", "STOP:0", "FOO:TERM", "TERM:FOO", "", ":", ":TERM"] {
            assert!(word.parse::<Rewrite>().is_err(), "{word}");
        }
    }

    proptest! {
        #[test]
        fn a_signal_parses_back(signal in signals()) {
            prop_assert_eq!(signal.to_string().parse(), Ok(signal));
            prop_assert_eq!(signal.to_string().to_lowercase().parse(), Ok(signal));
            prop_assert_eq!(signal.number().to_string().parse(), Ok(signal));
        }

        #[test]
        fn a_rewrite_parses_back(from in signals(), to in proptest::option::of(signals())) {
            prop_assume!(from.is_catchable());
            let written = to.map_or("0".to_owned(), |to| to.to_string());
            prop_assert_eq!(format!("{from}:{written}").parse(), Ok(Rewrite { from, to }));
        }

        #[test]
        fn no_word_panics(word in "\\PC*") {
            let _ = word.parse::<Signal>();
            let _ = word.parse::<Rewrite>();
        }

        #[test]
        fn a_set_holds_what_it_was_given(members in proptest::collection::vec(signals(), 0..64)) {
            let set: SignalSet = members.iter().copied().collect();
            for signal in Signal::all() {
                prop_assert_eq!(set.contains(signal), members.contains(&signal));
            }
        }
    }
}
