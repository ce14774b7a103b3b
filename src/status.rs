//! How a process ended, and the exit code for it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use nix::libc;

use crate::signal::{Signal, decimal};

/// The program ran out of time (as timeout(1)).
pub const TIMED_OUT: u8 = 124;
/// sexton itself failed, before the program ran (as env(1), timeout(1)).
pub const FAILED: u8 = 125;
/// The program was found but cannot be executed (as a shell).
pub const CANNOT_EXECUTE: u8 = 126;
/// The program was not found (as a shell).
pub const NOT_FOUND: u8 = 127;
/// What a shell adds to the number of the signal that ended a program.
const SIGNALED: u8 = 128;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It called exit(2) with this status.
    Exited(u8),
    /// A signal ended it.
    Signaled {
        /// The signal, any of the 64.
        signal: Signal,
        /// Whether the kernel wrote a core file.
        core_dumped: bool,
    },
}

impl Ending {
    /// The exit code that a shell would show: the status itself, or 128 + N for signal N.
    ///
    /// ```
    /// use sexton::{Ending, Signal};
    ///
    /// assert_eq!(Ending::Exited(3).code(), 3);
    /// assert_eq!(Ending::Signaled { signal: Signal::TERM, core_dumped: false }.code(), 143);
    /// ```
    pub fn code(self) -> u8 {
        match self {
            Ending::Exited(code) => code,
            Ending::Signaled { signal, .. } => SIGNALED + signal.number(),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Exited(code) => write!(f, "exited with {code}"),
            Ending::Signaled { signal, core_dumped: false } => write!(f, "was ended by {signal}"),
            Ending::Signaled { signal, core_dumped: true } => {
                write!(f, "was ended by {signal} (core dumped)")
            }
        }
    }
}

/// What wait(2) says of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildStatus {
    /// It ended, and is reaped now.
    Ended(Ending),
    /// A signal stopped it.
    Stopped(Signal),
    /// SIGCONT resumed it.
    Continued,
}

impl ChildStatus {
    /// Reads a status word as wait(2) lays it out; `None` for a word that no Linux kernel writes.
    pub fn from_raw(status: i32) -> Option<ChildStatus> {
        if libc::WIFEXITED(status) {
            u8::try_from(libc::WEXITSTATUS(status)).ok().map(|code| ChildStatus::Ended(Ending::Exited(code)))
        } else if libc::WIFSIGNALED(status) {
            let signal = Signal::from_raw(libc::WTERMSIG(status))?;
            Some(ChildStatus::Ended(Ending::Signaled { signal, core_dumped: libc::WCOREDUMP(status) }))
        } else if libc::WIFSTOPPED(status) {
            Signal::from_raw(libc::WSTOPSIG(status)).map(ChildStatus::Stopped)
        } else if libc::WIFCONTINUED(status) {
            Some(ChildStatus::Continued)
        } else {
            None
        }
    }
}

/// An exit code that is exchanged for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remap {
    /// What the exit code would be.
    pub code: u8,
    /// What sexton exits with instead.
    pub new: u8,
}

/// Reads `CODE[:NEW]`; each is a number, or the name of a signal for 128 + N. NEW defaults to 0.
impl FromStr for Remap {
    type Err = String;

    fn from_str(word: &str) -> Result<Remap, String> {
        let (code, new) = word.split_once(':').unwrap_or((word, "0"));
        Ok(Remap { code: exit_code(code)?, new: exit_code(new)? })
    }
}

fn exit_code(word: &str) -> Result<u8, String> {
    let of_signal = |signal: Signal| SIGNALED + signal.number();
    let code = decimal(word).or_else(|| word.parse().ok().map(of_signal));
    code.ok_or_else(|| {
        format!("{word:?} is not an exit code; write 0 to 255 or a signal: 143, 143:0, TERM:0")
    })
}

/// All remaps. They do not chain: a result is not remapped again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remaps(BTreeMap<u8, u8>);

impl Remaps {
    /// Adds one; it replaces an earlier one of the same code.
    pub fn insert(&mut self, remap: Remap) {
        self.0.insert(remap.code, remap.new);
    }

    /// What the code is remapped to, if it is.
    pub fn get(&self, code: u8) -> Option<u8> {
        self.0.get(&code).copied()
    }

    /// The remaps in the order of the codes.
    #[cfg(feature = "cli")]
    pub fn iter(&self) -> impl Iterator<Item = Remap> {
        self.0.iter().map(|(code, new)| Remap { code: *code, new: *new })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_every_status_word() {
        for code in 0..=255u8 {
            let status = ChildStatus::from_raw(i32::from(code) << 8);
            assert_eq!(status, Some(ChildStatus::Ended(Ending::Exited(code))));
        }
        for signal in Signal::all() {
            for core_dumped in [false, true] {
                let word = signal.as_raw() | if core_dumped { 0x80 } else { 0 };
                let ending = Ending::Signaled { signal, core_dumped };
                assert_eq!(ChildStatus::from_raw(word), Some(ChildStatus::Ended(ending)));
                assert_eq!(ending.code(), 128 + signal.number());
            }
            let stopped = ChildStatus::from_raw(signal.as_raw() << 8 | 0x7f);
            assert_eq!(stopped, Some(ChildStatus::Stopped(signal)));
        }
        assert_eq!(ChildStatus::from_raw(0xffff), Some(ChildStatus::Continued));
    }

    #[test]
    fn an_ending_ends_a_sentence() {
        let signaled = |core_dumped| Ending::Signaled { signal: Signal::SEGV, core_dumped }.to_string();
        assert_eq!(Ending::Exited(3).to_string(), "exited with 3");
        assert_eq!(signaled(false), "was ended by SIGSEGV");
        assert_eq!(signaled(true), "was ended by SIGSEGV (core dumped)");
    }

    #[test]
    fn reads_remaps() {
        for (word, code, new) in [("143", 143, 0), ("TERM", 143, 0), ("sigint:7", 130, 7), ("0:255", 0, 255)]
        {
            assert_eq!(word.parse(), Ok(Remap { code, new }), "{word}");
        }
        for word in ["", "256", "-1", "x", "1:256", "1:", ":1", "1:2:3", "+1"] {
            assert!(word.parse::<Remap>().is_err(), "{word}");
        }
    }

    #[test]
    fn the_last_remap_of_a_code_counts_and_no_result_is_remapped() {
        let mut remaps = Remaps::default();
        for (code, new) in [(143, 0), (0, 3), (143, 7)] {
            remaps.insert(Remap { code, new });
        }
        assert_eq!((remaps.get(143), remaps.get(0), remaps.get(7)), (Some(7), Some(3), None));
        let all: Vec<_> = remaps.iter().map(|remap| (remap.code, remap.new)).collect();
        assert_eq!(all, [(0, 3), (143, 7)]);
    }

    proptest! {
        #[test]
        fn a_remap_parses_back(code: u8, new: u8) {
            prop_assert_eq!(format!("{code}:{new}").parse(), Ok(Remap { code, new }));
        }

        #[test]
        fn no_status_word_panics(word: i32) {
            let _ = ChildStatus::from_raw(word);
        }
    }
}
