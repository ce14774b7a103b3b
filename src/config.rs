//! What the caller wishes: plain data, with defaults. [`plan`](crate::plan) decides what it comes to.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::signal::{Rewrites, Signal, SignalSet};
use crate::status::Remaps;
use crate::users::UserWish;

/// The caller's wishes for one run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The program: a path, or a name to look for in PATH.
    pub program: OsString,
    /// Its arguments, without its name.
    pub arguments: Vec<OsString>,
    /// Which processes get the signals.
    pub delivery: Delivery,
    /// The program's process group.
    pub group: GroupWish,
    /// Signals that are sent on as another signal.
    pub rewrites: Rewrites,
    /// Whether orphans are adopted.
    pub subreaper: Subreaper,
    /// Whether every orphan that is reaped is logged by name.
    pub warn_on_reap: bool,
    /// Exit codes that are exchanged for others.
    pub remaps: Remaps,
    /// Whether to end by the signal that ended the program.
    pub reraise: Reraise,
    /// What sexton itself receives when its parent dies.
    pub parent_death_signal: Option<Signal>,
    /// What becomes of descendants that are alive when the program has ended.
    pub leftovers: Leftovers,
    /// What the program's process group is sent when the program has ended, before anything else.
    pub parting_signal: Option<Signal>,
    /// How long leftovers have between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// The signals that ask for an end.
    pub stop_signals: SignalSet,
    /// How long the first stop request is held back.
    pub stop_delay: Duration,
    /// How long after a stop request was forwarded the program and its tree get SIGKILL; never if `None`.
    pub kill_after: Option<Duration>,
    /// How long the program may run.
    pub timeout: Option<Duration>,
    /// What the program gets when its time is over.
    pub timeout_signal: Signal,
    /// Where a report is written at the end.
    pub report: Option<ReportTo>,
    /// The user that the program runs as.
    pub user: Option<UserWish>,
    /// Whether every exec is forbidden to give the program more privileges (PR_SET_NO_NEW_PRIVS).
    pub no_new_privs: bool,
    /// The program's working directory.
    pub directory: Option<PathBuf>,
    /// Variables that are set for the program: `KEY=VALUE`.
    pub set_variables: Vec<OsString>,
    /// Variables that are removed from the program's environment.
    pub unset_variables: Vec<OsString>,
    /// Whether `${VAR}` and `${VAR:-default}` are expanded in the arguments.
    pub expand_variables: bool,
    /// Whether sexton is part of another program, which continues after the run: then it keeps its descriptors and its
    /// working directory, and puts back what it has changed of itself.
    pub embedded: bool,
    /// Variables that are sexton's own and are not passed to the program.
    pub consumed_variables: Vec<String>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            program: OsString::new(),
            arguments: Vec::new(),
            delivery: Delivery::default(),
            group: GroupWish::default(),
            rewrites: Rewrites::default(),
            subreaper: Subreaper::default(),
            warn_on_reap: false,
            remaps: Remaps::default(),
            reraise: Reraise::default(),
            parent_death_signal: None,
            leftovers: Leftovers::default(),
            parting_signal: None,
            grace: Duration::from_secs(5),
            stop_signals: SignalSet::EMPTY.with(Signal::TERM),
            stop_delay: Duration::ZERO,
            kill_after: None,
            timeout: None,
            timeout_signal: Signal::TERM,
            report: None,
            user: None,
            no_new_privs: false,
            directory: None,
            set_variables: Vec::new(),
            unset_variables: Vec::new(),
            expand_variables: false,
            embedded: false,
            consumed_variables: Vec::new(),
        }
    }
}

impl Config {
    /// The time from the time-out's signal to SIGKILL.
    pub fn kill_after_timeout(&self) -> Duration {
        self.kill_after.unwrap_or(self.grace)
    }

    /// Looks for wishes that contradict each other; the error is a sentence.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.group == GroupWish::Foreground && self.delivery == Delivery::Group {
            return Err(
                "--foreground keeps the program in sexton's process group, and --deliver group would signal sexton too",
            );
        }
        Ok(())
    }
}

/// Where a report goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReportTo {
    /// To stderr.
    Stderr,
    /// To a file, which is replaced with the whole report in one step, or not at all.
    File(PathBuf),
}

/// The values of an option that takes one of a few words.
macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $type { $($(#[$variant_doc])* $variant),* }

        impl $type {
            /// As they are written on a command line.
            const WORDS: &'static [&'static str] = &[$($word),*];
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($type::$variant => $word),* })
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(word: &str) -> Result<$type, String> {
                match word {
                    $($word => Ok($type::$variant),)*
                    _ => Err(format!("{word:?} is none of {}", $type::WORDS.join(", "))),
                }
            }
        }
    };
}

words! {
    /// Which processes get the signals.
    Delivery {
        /// To the program alone.
        #[default]
        Program = "program",
        /// To the program's process group, which is then its own.
        Group = "group",
        /// To every descendant, adopted orphans included; as PID 1, to every process of the PID namespace.
        Tree = "tree",
    }
}

words! {
    /// Whether sexton ends by the signal that ended the program instead of exiting with 128 + N.
    Reraise {
        /// Where it shares a terminal job's process group, so that a shell's loop ends on Ctrl-C.
        #[default]
        Auto = "auto",
        /// Always, except as PID 1, which cannot.
        Always = "always",
        /// Never.
        Never = "never",
    }
}

/// The program's process group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupWish {
    /// It stays in sexton's as a terminal's job, and otherwise has its own.
    #[default]
    Auto,
    /// It stays in sexton's.
    Foreground,
    /// It has its own, and the terminal if sexton has it.
    Own,
    /// It leads a session of its own, and gets the terminal if sexton led the terminal's session.
    Session,
}

words! {
    /// What becomes of leftovers: descendants that are alive when the program has ended.
    Leftovers {
        /// SIGTERM and SIGCONT, and SIGKILL to those that are left when the grace is over.
        #[default]
        Terminate = "terminate",
        /// SIGKILL at once.
        Kill = "kill",
        /// sexton waits until they end by themselves.
        Wait = "wait",
        /// Nothing: sexton exits at once. (The kernel ends them when PID 1 does.)
        Leave = "leave",
    }
}

/// Whether sexton becomes a child subreaper. PID 1 need not: orphans come to it anyway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subreaper {
    /// When it is not PID 1; a kernel that refuses is a warning.
    #[default]
    Auto,
    /// It must; a kernel that refuses is an error.
    Required,
    /// No.
    Off,
}
