//! sexton's own options: one table that the parser, the help and the environment variables are made from.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::str::FromStr;

use crate::config::{Config, GroupWish, ReportTo, Subreaper};
use crate::duration::Span;
use crate::signal::{Signal, SignalSet, decimal};

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
    pub help: &'static str,
    /// Puts the value into the draft. The error is a sentence without the option's name.
    pub set: Set,
}

pub type Set = fn(&mut Draft, &OsStr) -> Result<(), String>;

/// Options of a group override each other: the last on the command line counts, and if there is one, the group's variables
/// are ignored. Every other option is a group of its own.
const GROUPS: [&[&str]; 4] = [
    &["deliver", "group"],
    &["foreground", "own-group"],
    &["subreaper", "no-subreaper"],
    &["verbose", "quiet"],
];

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
    const fn new(name: &'static str, takes: Takes, help: &'static str, set: Set) -> Opt {
        Opt { name, short: None, takes, help, set }
    }

    const fn short(self, letter: char) -> Opt {
        Opt { short: Some(letter), ..self }
    }

    pub fn variable(&self) -> String {
        format!("SEXTON_{}", self.name.replace('-', "_").to_ascii_uppercase())
    }
}

/// The options that override this one, itself among them.
pub fn group(name: &'static str) -> Vec<&'static str> {
    GROUPS.iter().find(|group| group.contains(&name)).map_or(vec![name], |group| group.to_vec())
}

/// All options, in the order of the help.
pub const OPTIONS: &[Opt] = &[
    Opt::new(
        "deliver",
        Takes::One("program|group|tree"),
        "Send signals to the program alone (default), its process group, or all descendants",
        |draft, word| put(&mut draft.config.delivery, parse(word)?),
    ),
    Opt::new(
        "foreground",
        Takes::Nothing,
        "Keep the program in sexton's process group (the default for a terminal's job)",
        |draft, _| put(&mut draft.config.group, GroupWish::Foreground),
    ),
    Opt::new(
        "own-group",
        Takes::Nothing,
        "Give the program its own process group, and the terminal if sexton has it",
        |draft, _| put(&mut draft.config.group, GroupWish::Own),
    ),
    Opt::new(
        "rewrite",
        Takes::Many("FROM:TO"),
        "Send TO when FROM arrives; FROM:0 drops FROM (repeatable)",
        |draft, word| {
            draft.config.rewrites.insert(parse(word)?);
            Ok(())
        },
    )
    .short('r'),
    Opt::new(
        "subreaper",
        Takes::Nothing,
        "Adopt orphans, and fail if the kernel refuses (default: adopt, and only warn)",
        |draft, _| put(&mut draft.config.subreaper, Subreaper::Required),
    )
    .short('s'),
    Opt::new("no-subreaper", Takes::Nothing, "Do not adopt orphans (PID 1 always does)", |draft, _| {
        put(&mut draft.config.subreaper, Subreaper::Off)
    }),
    Opt::new(
        "warn-on-reap",
        Takes::Nothing,
        "Warn about every orphan that is reaped, by name",
        |draft, _| put(&mut draft.config.warn_on_reap, true),
    )
    .short('w'),
    Opt::new(
        "leftovers",
        Takes::One("terminate|kill|wait|leave"),
        "What to do with processes that outlive the program (default terminate)",
        |draft, word| put(&mut draft.config.leftovers, parse(word)?),
    ),
    Opt::new(
        "grace",
        Takes::One("DURATION"),
        "How long leftovers have between SIGTERM and SIGKILL (default 5s)",
        |draft, word| put(&mut draft.config.grace, parse::<Span>(word)?.0),
    ),
    Opt::new(
        "stop-signal",
        Takes::Many("SIG"),
        "Treat SIG as a request to stop (default TERM; repeatable)",
        |draft, word| {
            let signal: Signal = parse(word)?;
            if !signal.is_catchable() {
                return Err(format!("{signal} cannot be caught, so it cannot be a stop request"));
            }
            draft.stop_signals = draft.stop_signals.with(signal);
            Ok(())
        },
    ),
    Opt::new(
        "stop-delay",
        Takes::One("DURATION"),
        "Hold back the first stop request for this long; a second one goes through at once",
        |draft, word| put(&mut draft.config.stop_delay, parse::<Span>(word)?.0),
    ),
    Opt::new(
        "kill-after",
        Takes::One("DURATION"),
        "Send SIGKILL to the program and its descendants this long after passing on a stop request",
        |draft, word| put(&mut draft.config.kill_after, Some(parse::<Span>(word)?.0)),
    )
    .short('k'),
    Opt::new(
        "timeout",
        Takes::One("DURATION"),
        "End the program after this long, and exit with 124",
        |draft, word| put(&mut draft.config.timeout, Some(parse::<Span>(word)?.0)),
    ),
    Opt::new(
        "timeout-signal",
        Takes::One("SIG"),
        "What to send when the time is up (default TERM); SIGKILL follows after --kill-after",
        |draft, word| put(&mut draft.config.timeout_signal, parse(word)?),
    ),
    Opt::new(
        "report",
        Takes::One("FILE"),
        "Write a JSON report at the end; - means stderr",
        |draft, word| {
            let to = if word == "-" { ReportTo::Stderr } else { ReportTo::File(word.into()) };
            put(&mut draft.config.report, Some(to))
        },
    ),
    Opt::new(
        "remap",
        Takes::Many("CODE[:NEW]"),
        "Exit with NEW (default 0) instead of CODE, a number or a signal (repeatable)",
        |draft, word| {
            draft.config.remaps.insert(parse(word)?);
            Ok(())
        },
    )
    .short('e'),
    Opt::new(
        "reraise",
        Takes::One("auto|always|never"),
        "End by the signal that ended the program, not with 128+N (auto: as a terminal's job)",
        |draft, word| put(&mut draft.config.reraise, parse(word)?),
    ),
    Opt::new(
        "parent-death-signal",
        Takes::One("SIG"),
        "The signal that sexton gets, and passes on, when its parent dies",
        |draft, word| put(&mut draft.config.parent_death_signal, Some(parse(word)?)),
    )
    .short('p'),
    Opt::new(
        "user",
        Takes::One("USER[:GROUP]"),
        "Run the program as this user, by name or number",
        |draft, word| put(&mut draft.config.user, Some(parse(word)?)),
    )
    .short('u'),
    Opt::new(
        "no-new-privs",
        Takes::Nothing,
        "Never let an exec give the program more privileges (set-user-ID, file capabilities)",
        |draft, _| put(&mut draft.config.no_new_privs, true),
    ),
    Opt::new("chdir", Takes::One("DIR"), "Run the program in this directory", |draft, word| {
        put(&mut draft.config.directory, Some(word.into()))
    })
    .short('C'),
    Opt::new(
        "env",
        Takes::Lines("KEY=VALUE"),
        "Set a variable for the program (repeatable)",
        |draft, word| {
            let is_assignment =
                word.as_bytes().iter().position(|byte| *byte == b'=').is_some_and(|at| at > 0);
            if !is_assignment {
                return Err(format!("{word:?} is not KEY=VALUE"));
            }
            draft.config.set_variables.push(word.to_owned());
            Ok(())
        },
    )
    .short('E'),
    Opt::new(
        "unset-env",
        Takes::Many("KEY"),
        "Remove a variable from the program's environment (repeatable)",
        |draft, word| {
            if word.is_empty() || word.as_bytes().contains(&b'=') {
                return Err(format!("{word:?} is not the name of a variable"));
            }
            draft.config.unset_variables.push(word.to_owned());
            Ok(())
        },
    ),
    Opt::new(
        "expand-env",
        Takes::Nothing,
        "Expand ${VAR} and ${VAR:-default} in ARGS, as a shell would",
        |draft, _| put(&mut draft.config.expand_variables, true),
    ),
    Opt::new(
        "verbose",
        Takes::Count,
        "Log more: -v what sexton does, -vv details, -vvv everything",
        |draft, word| add_verbosity(draft, 1, word),
    )
    .short('v'),
    Opt::new("quiet", Takes::Count, "Log less: -q errors only, -qq nothing", |draft, word| {
        add_verbosity(draft, -1, word)
    })
    .short('q'),
    Opt::new(
        "log-format",
        Takes::One("text|json"),
        "Log as text (default), or as one JSON object per line",
        |draft, word| put(&mut draft.log_format, parse(word)?),
    ),
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

fn parse<T: FromStr<Err: ToString>>(word: &OsStr) -> Result<T, String> {
    let text = word.to_str().ok_or_else(|| format!("{word:?} is not UTF-8"))?;
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn put<T>(place: &mut T, value: T) -> Result<(), String> {
    *place = value;
    Ok(())
}

fn add_verbosity(draft: &mut Draft, direction: i32, count: &OsStr) -> Result<(), String> {
    let number = decimal(&parse::<String>(count)?);
    let count: u8 = number.ok_or_else(|| format!("{count:?} is not a number from 0 to 255"))?;
    draft.verbosity += direction * i32::from(count);
    Ok(())
}
