//! sexton's own options: one table that the parser, the help and the environment variables are made from.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use crate::config::{Config, Delivery, GroupWish, ReportTo, Subreaper};
use crate::duration::Span;
use crate::signal::{Signal, SignalSet, UnknownSignal, decimal};

use super::logging::Format;

/// What the options and variables add up to.
#[derive(Default)]
pub struct Draft {
    pub config: Config,
    pub verbosity: i32,
    pub log_format: Format,
    /// If any are named, they replace the default.
    pub stop_signals: SignalSet,
}

pub struct Opt {
    /// The long name, without the dashes. The environment variable's name is made from it.
    pub name: &'static str,
    pub short: Option<char>,
    pub takes: Takes,
    /// Options of a group override each other: the last on the command line counts, and if there is one, the group's
    /// variables are ignored.
    pub group: &'static str,
    pub help: &'static str,
    /// Puts the value into the draft. The error is a sentence without the option's name.
    pub set: Set,
}

pub type Set = fn(&mut Draft, &OsStr) -> Result<(), String>;

/// What an option takes. The word is what the help calls the value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// No value. Its variable is true or false.
    Nothing,
    /// No value; what counts is how often it is given. Its variable is a number.
    Count,
    /// A value; the last one counts.
    One(&'static str),
    /// A value each time it is given. Its variable is a list with commas.
    Many(&'static str),
    /// A value each time it is given. Its variable has one per line.
    Lines(&'static str),
}

impl Opt {
    pub fn variable(&self) -> String {
        format!("SEXTON_{}", self.name.replace('-', "_").to_ascii_uppercase())
    }
}

/// A letter that is short for another option with a value. It has no environment variable of its own.
pub struct Shorthand {
    pub short: char,
    pub group: &'static str,
    pub help: &'static str,
    pub set: fn(&mut Draft),
}

pub const GROUP: Shorthand = Shorthand {
    short: 'g',
    group: "deliver",
    help: "Short for --deliver group",
    set: |draft| draft.config.delivery = Delivery::Group,
};

/// All options, in the order of the help.
pub const OPTIONS: &[Opt] = &[
    Opt {
        name: "deliver",
        short: None,
        takes: Takes::One("program|group|tree"),
        group: "deliver",
        help: "Send signals to the program alone (default), its process group, or all descendants",
        set: |draft, word| store(&mut draft.config.delivery, word),
    },
    Opt {
        name: "foreground",
        short: None,
        takes: Takes::Nothing,
        group: "group",
        help: "Keep the program in sexton's process group (the default for a terminal's job)",
        set: |draft, _| put(&mut draft.config.group, GroupWish::Foreground),
    },
    Opt {
        name: "own-group",
        short: None,
        takes: Takes::Nothing,
        group: "group",
        help: "Give the program its own process group, and the terminal if sexton has it",
        set: |draft, _| put(&mut draft.config.group, GroupWish::Own),
    },
    Opt {
        name: "rewrite",
        short: Some('r'),
        takes: Takes::Many("FROM:TO"),
        group: "rewrite",
        help: "Send TO when FROM arrives; FROM:0 drops FROM (repeatable)",
        set: |draft, word| {
            draft.config.rewrites.insert(text(word)?.parse()?);
            Ok(())
        },
    },
    Opt {
        name: "subreaper",
        short: Some('s'),
        takes: Takes::Nothing,
        group: "subreaper",
        help: "Adopt orphans, and fail if the kernel refuses (default: adopt, and only warn)",
        set: |draft, _| put(&mut draft.config.subreaper, Subreaper::Required),
    },
    Opt {
        name: "no-subreaper",
        short: None,
        takes: Takes::Nothing,
        group: "subreaper",
        help: "Do not adopt orphans (PID 1 always does)",
        set: |draft, _| put(&mut draft.config.subreaper, Subreaper::Off),
    },
    Opt {
        name: "warn-on-reap",
        short: Some('w'),
        takes: Takes::Nothing,
        group: "warn-on-reap",
        help: "Warn about every orphan that is reaped, by name",
        set: |draft, _| put(&mut draft.config.warn_on_reap, true),
    },
    Opt {
        name: "leftovers",
        short: None,
        takes: Takes::One("terminate|kill|wait|leave"),
        group: "leftovers",
        help: "What to do with processes that outlive the program (default terminate)",
        set: |draft, word| store(&mut draft.config.leftovers, word),
    },
    Opt {
        name: "grace",
        short: None,
        takes: Takes::One("DURATION"),
        group: "grace",
        help: "How long leftovers have between SIGTERM and SIGKILL (default 5s)",
        set: |draft, word| store_duration(&mut draft.config.grace, word),
    },
    Opt {
        name: "stop-signal",
        short: None,
        takes: Takes::Many("SIG"),
        group: "stop-signal",
        help: "Treat SIG as a request to stop (default TERM; repeatable)",
        set: |draft, word| {
            let signal = signal(word)?;
            if !signal.is_catchable() {
                return Err(format!("{signal} cannot be caught, so it cannot be a stop request"));
            }
            draft.stop_signals = draft.stop_signals.with(signal);
            Ok(())
        },
    },
    Opt {
        name: "stop-delay",
        short: None,
        takes: Takes::One("DURATION"),
        group: "stop-delay",
        help: "Hold back the first stop request for this long; a second one goes through at once",
        set: |draft, word| store_duration(&mut draft.config.stop_delay, word),
    },
    Opt {
        name: "kill-after",
        short: Some('k'),
        takes: Takes::One("DURATION"),
        group: "kill-after",
        help: "Send SIGKILL to the program and its descendants this long after passing on a stop request",
        set: |draft, word| store_duration(draft.config.kill_after.insert(Duration::ZERO), word),
    },
    Opt {
        name: "timeout",
        short: None,
        takes: Takes::One("DURATION"),
        group: "timeout",
        help: "End the program after this long, and exit with 124",
        set: |draft, word| store_duration(draft.config.timeout.insert(Duration::ZERO), word),
    },
    Opt {
        name: "timeout-signal",
        short: None,
        takes: Takes::One("SIG"),
        group: "timeout-signal",
        help: "What to send when the time is up (default TERM); SIGKILL follows after --kill-after",
        set: |draft, word| put(&mut draft.config.timeout_signal, signal(word)?),
    },
    Opt {
        name: "report",
        short: None,
        takes: Takes::One("FILE"),
        group: "report",
        help: "Write a JSON report at the end; - means stderr",
        set: |draft, word| {
            let to = if word == "-" { ReportTo::Stderr } else { ReportTo::File(word.into()) };
            put(&mut draft.config.report, Some(to))
        },
    },
    Opt {
        name: "remap",
        short: Some('e'),
        takes: Takes::Many("CODE[:NEW]"),
        group: "remap",
        help: "Exit with NEW (default 0) instead of CODE, a number or a signal (repeatable)",
        set: |draft, word| {
            draft.config.remaps.insert(text(word)?.parse()?);
            Ok(())
        },
    },
    Opt {
        name: "reraise",
        short: None,
        takes: Takes::One("auto|always|never"),
        group: "reraise",
        help: "End by the signal that ended the program, not with 128+N (auto: as a terminal's job)",
        set: |draft, word| store(&mut draft.config.reraise, word),
    },
    Opt {
        name: "parent-death-signal",
        short: Some('p'),
        takes: Takes::One("SIG"),
        group: "parent-death-signal",
        help: "The signal that sexton gets, and passes on, when its parent dies",
        set: |draft, word| put(&mut draft.config.parent_death_signal, Some(signal(word)?)),
    },
    Opt {
        name: "user",
        short: Some('u'),
        takes: Takes::One("USER[:GROUP]"),
        group: "user",
        help: "Run the program as this user, by name or number",
        set: |draft, word| put(&mut draft.config.user, Some(text(word)?.parse()?)),
    },
    Opt {
        name: "no-new-privs",
        short: None,
        takes: Takes::Nothing,
        group: "no-new-privs",
        help: "Never let an exec give the program more privileges (set-user-ID, file capabilities)",
        set: |draft, _| put(&mut draft.config.no_new_privs, true),
    },
    Opt {
        name: "chdir",
        short: Some('C'),
        takes: Takes::One("DIR"),
        group: "chdir",
        help: "Run the program in this directory",
        set: |draft, word| put(&mut draft.config.directory, Some(word.into())),
    },
    Opt {
        name: "env",
        short: Some('E'),
        takes: Takes::Lines("KEY=VALUE"),
        group: "env",
        help: "Set a variable for the program (repeatable)",
        set: |draft, word| {
            let is_assignment =
                word.as_bytes().iter().position(|byte| *byte == b'=').is_some_and(|at| at > 0);
            if !is_assignment {
                return Err(format!("{word:?} is not KEY=VALUE"));
            }
            draft.config.set_variables.push(word.to_owned());
            Ok(())
        },
    },
    Opt {
        name: "unset-env",
        short: None,
        takes: Takes::Many("KEY"),
        group: "unset-env",
        help: "Remove a variable from the program's environment (repeatable)",
        set: |draft, word| {
            if word.is_empty() || word.as_bytes().contains(&b'=') {
                return Err(format!("{word:?} is not the name of a variable"));
            }
            draft.config.unset_variables.push(word.to_owned());
            Ok(())
        },
    },
    Opt {
        name: "expand-env",
        short: None,
        takes: Takes::Nothing,
        group: "expand-env",
        help: "Expand ${VAR} and ${VAR:-default} in ARGS, as a shell would",
        set: |draft, _| put(&mut draft.config.expand_variables, true),
    },
    Opt {
        name: "verbose",
        short: Some('v'),
        takes: Takes::Count,
        group: "verbosity",
        help: "Log more: -v what sexton does, -vv details, -vvv everything",
        set: |draft, word| add_verbosity(draft, 1, word),
    },
    Opt {
        name: "quiet",
        short: Some('q'),
        takes: Takes::Count,
        group: "verbosity",
        help: "Log less: -q errors only, -qq nothing",
        set: |draft, word| add_verbosity(draft, -1, word),
    },
    Opt {
        name: "log-format",
        short: None,
        takes: Takes::One("text|json"),
        group: "log-format",
        help: "Log as text (default), or as one JSON object per line",
        set: |draft, word| store(&mut draft.log_format, word),
    },
];

/// The environment variables, for the man page: name, option, and how a value is written.
pub fn variables() -> impl Iterator<Item = (String, &'static str, &'static str)> {
    let form = |takes| match takes {
        Takes::Nothing => "true or false",
        Takes::Count => "a number",
        Takes::One(word) => word,
        Takes::Many(_) => "values separated by commas",
        Takes::Lines(_) => "one value per line",
    };
    OPTIONS.iter().map(move |option| (option.variable(), option.name, form(option.takes)))
}

fn text(word: &OsStr) -> Result<&str, String> {
    word.to_str().ok_or_else(|| format!("{word:?} is not UTF-8"))
}

fn put<T>(place: &mut T, value: T) -> Result<(), String> {
    *place = value;
    Ok(())
}

fn store<T: std::str::FromStr<Err = String>>(place: &mut T, word: &OsStr) -> Result<(), String> {
    put(place, text(word)?.parse()?)
}

fn store_duration(place: &mut Duration, word: &OsStr) -> Result<(), String> {
    put(place, text(word)?.parse::<Span>()?.0)
}

fn signal(word: &OsStr) -> Result<Signal, String> {
    text(word)?.parse().map_err(|error: UnknownSignal| error.to_string())
}

fn add_verbosity(draft: &mut Draft, direction: i32, count: &OsStr) -> Result<(), String> {
    let count: u8 =
        decimal(text(count)?).ok_or_else(|| format!("{count:?} is not a number from 0 to 255"))?;
    draft.verbosity += direction * i32::from(count);
    Ok(())
}
