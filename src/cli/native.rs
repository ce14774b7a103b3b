//! sexton's own command line and environment variables.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};

use crate::config::{Config, Delivery};
use crate::environment::{self, Entry};
use crate::error::Error;
use crate::inspect::Form;
use crate::news;
use crate::signal::SignalSet;
use crate::status::FAILED;

use super::logging::LogSettings;
use super::options::{Draft, OPTIONS, Opt, Takes, group};
use super::{Request, Run};

const USAGE: &str = "sexton [OPTIONS] [--] PROGRAM [ARGS...]";
const COMMAND: &str = "command";
const PAUSE: &str = "pause";
const INSTALL: &str = "install";
const INSPECT: &str = "inspect";
const EXPLAIN: &str = "explain";
const JSON: &str = "json";
/// The variable that filters logs. It has no option.
const LOG_VARIABLE: &str = "SEXTON_LOG";

const AFTER_HELP: &str = "\
Options end at PROGRAM; everything after it belongs to the program.

Every option also has an environment variable: SEXTON_DELIVER=group, SEXTON_REWRITE=TERM:QUIT,HUP:0,
SEXTON_WARN_ON_REAP=true, SEXTON_VERBOSE=2. The command line wins. SEXTON_LOG filters logs as env_logger does.

DURATION: 10, 10s, 1.5s, 500ms, 2m, 1h; a bare number means seconds.

Exit status: the program's own; 128+N if signal N ended it; 124 if it timed out; 125 if sexton failed before
it ran; 126 if it cannot be executed; 127 if it was not found.";

/// Reads the command line, which begins with sexton's own name, and the environment.
pub fn parse(arguments: Vec<OsString>, environment: &[Entry]) -> Request {
    let request = match without_options(&arguments) {
        Some(words) => finish(Draft::default(), words.iter().cloned(), &Given(None), environment).map(run),
        None => parse_options(arguments, environment),
    };
    request.unwrap_or_else(|what| {
        let lines = format!("sexton: {what}\nusage: {USAGE} (see sexton --help)\n");
        Request::Complain(lines, FAILED)
    })
}

fn run((config, log): (Config, LogSettings)) -> Request {
    Request::Run(Box::new(Run { config, tell: news::tell, log, failed }))
}

/// Kept apart so that a start without options has nothing of clap on its stack.
#[cold]
#[inline(never)]
fn parse_options(arguments: Vec<OsString>, environment: &[Entry]) -> Result<Request, String> {
    let called = match super::base_name(&arguments) {
        name if name.is_empty() => "sexton".to_owned(),
        name => name.to_string_lossy().into_owned(),
    };
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Ok(Request::Print(error.render().to_string()));
        }
        Err(error) => {
            let rendered = error.render().to_string();
            let line = rendered.lines().next().unwrap_or_default();
            return Err(line.strip_prefix("error: ").unwrap_or(line).to_owned());
        }
    };
    request(&matches, called, environment)
}

fn request(matches: &ArgMatches, called: String, environment: &[Entry]) -> Result<Request, String> {
    let given = Given(Some(matches));
    let deed = [PAUSE, INSTALL, INSPECT].into_iter().find(|deed| given.has(deed));
    if let Some(deed) = deed.filter(|_| matches.contains_id(COMMAND)) {
        return Err(format!("--{deed} runs no program"));
    }
    let form = if matches.get_flag(JSON) { Form::Json } else { Form::Text };
    match matches.get_one::<OsString>(INSTALL) {
        Some(to) if to.is_empty() => return Err("--install: the path is empty".to_owned()),
        Some(to) => return Ok(Request::Install(to.into(), called)),
        None => {}
    }
    if matches.get_flag(INSPECT) {
        return Ok(Request::Inspect(form));
    }
    if form == Form::Json && !matches.get_flag(EXPLAIN) {
        return Err("--json is for --inspect and --explain".to_owned());
    }
    let mut draft = Draft::default();
    take_arguments(&mut draft, matches)?;
    if matches.get_flag(PAUSE) {
        take_variables(&mut draft, &given, environment)?;
        return Ok(Request::Pause(log_settings(&draft, &given, environment)?, news::tell));
    }
    let words = matches.get_many::<OsString>(COMMAND).into_iter().flatten().cloned();
    let (config, log) = finish(draft, words, &given, environment)?;
    Ok(match matches.get_flag(EXPLAIN) {
        true => Request::Explain(Box::new(config), form),
        false => run((config, log)),
    })
}

/// The program and its arguments, if no option comes before them, as in `/init -- app`. clap is not needed then, and
/// setting it up would be most of the work of a start.
fn without_options(arguments: &[OsString]) -> Option<&[OsString]> {
    match arguments.get(1)?.as_bytes() {
        b"--" => Some(&arguments[2..]),
        word if word.starts_with(b"-") => None,
        _ => Some(&arguments[1..]),
    }
}

/// Adds the program to what the options said, and what variables say where no option did.
fn finish(
    mut draft: Draft,
    mut words: impl Iterator<Item = OsString>,
    given: &Given<'_>,
    environment: &[Entry],
) -> Result<(Config, LogSettings), String> {
    take_variables(&mut draft, given, environment)?;
    draft.config.program = words.next().ok_or("no program is named; write it after the options")?;
    if draft.config.program.is_empty() {
        return Err("the program's name is empty".to_owned());
    }
    draft.config.arguments = words.collect();
    if draft.stop_signals != SignalSet::EMPTY {
        draft.config.stop_signals = draft.stop_signals;
    }
    draft.config.check()?;
    if has_own_variables(environment) {
        draft.config.consumed_variables =
            OPTIONS.iter().map(Opt::variable).chain([LOG_VARIABLE.to_owned()]).collect();
    }
    let log = log_settings(&draft, given, environment)?;
    Ok((draft.config, log))
}

/// The options on the command line, if there are any.
struct Given<'a>(Option<&'a ArgMatches>);

impl Given<'_> {
    fn has(&self, id: &str) -> bool {
        self.0.is_some_and(|matches| matches.value_source(id) == Some(ValueSource::CommandLine))
    }

    /// Whether this option or one that overrides it is given.
    fn has_group_of(&self, name: &'static str) -> bool {
        self.0.is_some() && group(name).into_iter().any(|name| self.has(name))
    }
}

/// Whether any variable might be sexton's.
fn has_own_variables(environment: &[Entry]) -> bool {
    environment.iter().any(|entry| entry.to_bytes().starts_with(b"SEXTON_"))
}

fn failed(error: &Error) -> u8 {
    log::error!("{error}");
    error.exit_code()
}

/// The command line as clap reads it. The man page and the completions are generated from it too.
pub fn command() -> Command {
    let options = OPTIONS.iter().map(|option| {
        let arg = Arg::new(option.name).long(option.name).help(option.help);
        let arg = option.short.into_iter().fold(arg, Arg::short);
        match option.takes {
            Takes::Nothing => arg.action(ArgAction::SetTrue).overrides_with_all(group(option.name)),
            Takes::Count => arg.action(ArgAction::Count),
            Takes::One(word) => value(arg, word).action(ArgAction::Set).overrides_with(option.name),
            Takes::Many(word) | Takes::Lines(word) => value(arg, word).action(ArgAction::Append),
        }
    });
    // It has no variable of its own.
    let short_for_deliver_group = Arg::new("group")
        .short('g')
        .help("Short for --deliver group")
        .action(ArgAction::SetTrue)
        .overrides_with_all(group("group"));
    Command::new("sexton")
        .version(env!("CARGO_PKG_VERSION"))
        .about(env!("CARGO_PKG_DESCRIPTION"))
        .override_usage(USAGE)
        .after_help(AFTER_HELP)
        .args_override_self(true)
        .arg(short_for_deliver_group)
        .args(options)
        .arg(flag(PAUSE, "Run no program: hold the PID namespace and reap until SIGINT or SIGTERM"))
        .arg(
            value(Arg::new(INSTALL).long(INSTALL), "PATH")
                .help("Copy this executable to PATH, a file or a directory, atomically and with mode 0755"),
        )
        .arg(flag(
            INSPECT,
            "Show this PID namespace's processes and what is wrong with them; exit with 1 if there are zombies",
        ))
        .arg(flag(
            EXPLAIN,
            "Print what the options, the environment and the surroundings amount to, and run nothing",
        ))
        // Each excludes the others.
        .group(ArgGroup::new("deed").args([PAUSE, INSTALL, INSPECT, EXPLAIN]))
        .arg(flag(JSON, "With --inspect or --explain: print JSON"))
        .arg(
            Arg::new(COMMAND)
                // The usage line shows it.
                .hide(true)
                .num_args(1..)
                .trailing_var_arg(true)
                .value_parser(value_parser!(OsString)),
        )
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
}

fn value(arg: Arg, word: &'static str) -> Arg {
    arg.value_name(word).value_parser(value_parser!(OsString)).allow_hyphen_values(true)
}

fn take_arguments(draft: &mut Draft, matches: &ArgMatches) -> Result<(), String> {
    let given = Given(Some(matches));
    for option in OPTIONS.iter().filter(|option| given.has(option.name)) {
        let mut set =
            |word: &OsStr| (option.set)(draft, word).map_err(|what| format!("--{}: {what}", option.name));
        match option.takes {
            Takes::Nothing => set(OsStr::new(""))?,
            Takes::Count => set(matches.get_count(option.name).to_string().as_ref())?,
            Takes::One(_) | Takes::Many(_) | Takes::Lines(_) => {
                matches
                    .get_many::<OsString>(option.name)
                    .into_iter()
                    .flatten()
                    .try_for_each(|word| set(word))?;
            }
        }
    }
    if given.has("group") {
        draft.config.delivery = Delivery::Group;
    }
    Ok(())
}

fn take_variables(draft: &mut Draft, given: &Given<'_>, environment: &[Entry]) -> Result<(), String> {
    if !has_own_variables(environment) {
        return Ok(());
    }
    for option in OPTIONS {
        let variable = option.variable();
        let Some(value) = variable_value(environment, &variable) else { continue };
        if given.has_group_of(option.name) {
            continue;
        }
        take_variable(draft, option, value).map_err(|what| format!("{variable}: {what}"))?;
    }
    Ok(())
}

fn take_variable(draft: &mut Draft, option: &Opt, value: &OsStr) -> Result<(), String> {
    let mut set_each = |separator: u8, trim: fn(&[u8]) -> &[u8]| {
        let words = value.as_bytes().split(|byte| *byte == separator).map(trim);
        words
            .filter(|word| !word.is_empty())
            .try_for_each(|word| (option.set)(draft, OsStr::from_bytes(word)))
    };
    match option.takes {
        Takes::Nothing if !yes_or_no(value)? => Ok(()),
        Takes::Count if yes_or_no(value).is_ok_and(|yes| yes) => (option.set)(draft, OsStr::new("1")),
        Takes::Count if yes_or_no(value).is_ok_and(|yes| !yes) => Ok(()),
        Takes::Many(_) => set_each(b',', <[u8]>::trim_ascii),
        // Blanks at the end of a line belong to the value.
        Takes::Lines(_) => set_each(b'\n', <[u8]>::trim_ascii_start),
        Takes::Nothing | Takes::Count | Takes::One(_) => (option.set)(draft, value),
    }
}

fn yes_or_no(word: &OsStr) -> Result<bool, String> {
    match word.to_ascii_lowercase().as_bytes() {
        b"1" | b"true" | b"yes" | b"on" => Ok(true),
        b"0" | b"false" | b"no" | b"off" => Ok(false),
        _ => Err(format!("{word:?} is neither true nor false")),
    }
}

/// The value of a variable; an empty one counts as not set.
fn variable_value<'a>(environment: &'a [Entry], variable: &str) -> Option<&'a OsStr> {
    let value = environment::find(environment, variable.as_bytes());
    value.filter(|value| !value.is_empty()).map(OsStr::from_bytes)
}

fn log_settings(draft: &Draft, given: &Given<'_>, environment: &[Entry]) -> Result<LogSettings, String> {
    let directives = variable_value(environment, LOG_VARIABLE).filter(|_| !given.has_group_of("verbose"));
    match directives {
        Some(directives) => LogSettings::of_directives(directives, draft.log_format)
            .map_err(|what| format!("{LOG_VARIABLE}: {what}")),
        None => Ok(LogSettings::of_verbosity(draft.verbosity, draft.log_format)),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;
    use crate::config::Subreaper;
    use crate::signal::Signal;

    fn request(arguments: &[&str], environment: &[&str]) -> Request {
        let arguments = ["sexton"].iter().chain(arguments).map(OsString::from).collect();
        let environment: Vec<Entry> =
            environment.iter().map(|entry| CString::new(*entry).unwrap().into()).collect();
        parse(arguments, &environment)
    }

    fn config(arguments: &[&str], environment: &[&str]) -> Config {
        match request(arguments, environment) {
            Request::Run(run) => run.config,
            other => panic!("{other:?}"),
        }
    }

    fn misuse_of(arguments: &[&str], environment: &[&str]) -> String {
        match request(arguments, environment) {
            Request::Complain(lines, FAILED) => lines,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn p5_options_end_at_the_program() {
        for arguments in [&["-g", "app", "-v", "--", "-r"][..], &["-g", "--", "app", "-v", "--", "-r"]] {
            let config = config(arguments, &[]);
            assert_eq!(config.program, "app");
            assert_eq!(config.arguments, ["-v", "--", "-r"]);
            assert_eq!(config.delivery, Delivery::Group);
        }
        assert_eq!(config(&["--", "-x"], &[]).program, "-x");
        assert_eq!(config(&["app", "--"], &[]).arguments, ["--"]);
        assert_eq!(config(&["app", "--help"], &[]).arguments, ["--help"]);
    }

    #[test]
    fn p4_the_command_line_wins_over_the_environment() {
        let variables =
            ["SEXTON_DELIVER=group", "SEXTON_NO_SUBREAPER=yes", "SEXTON_REWRITE=TERM:QUIT, HUP:0"];
        let from_variables = config(&["app"], &variables);
        assert_eq!(from_variables.delivery, Delivery::Group);
        assert_eq!(from_variables.subreaper, Subreaper::Off);
        assert_eq!(from_variables.rewrites.apply(Signal::HUP), None);
        let from_both = config(&["--deliver=program", "-s", "-r", "INT:0", "app"], &variables);
        assert_eq!(from_both.delivery, Delivery::Program);
        assert_eq!(from_both.subreaper, Subreaper::Required);
        assert_eq!(from_both.rewrites.apply(Signal::HUP), Some(Signal::HUP));
        assert_eq!(config(&["-g", "app"], &["SEXTON_DELIVER=program"]).delivery, Delivery::Group);
        let set = config(&["app"], &["SEXTON_ENV=PS1=$ \n\n  B=2"]).set_variables;
        assert_eq!(set, ["PS1=$ ", "B=2"], "as --env has it");
    }

    #[test]
    fn the_last_of_options_that_overrule_one_another_counts() {
        assert_eq!(config(&["-s", "--no-subreaper", "app"], &[]).subreaper, Subreaper::Off);
        assert_eq!(config(&["--no-subreaper", "-s", "app"], &[]).subreaper, Subreaper::Required);
        assert_eq!(config(&["-g", "--deliver", "program", "app"], &[]).delivery, Delivery::Program);
        assert_eq!(config(&["--deliver", "program", "-g", "app"], &[]).delivery, Delivery::Group);
    }

    #[test]
    fn p5_misuse_is_one_line_and_the_usage() {
        let cases: [(&[&str], &[&str], &str); 13] = [
            (&["--pause", "--explain"], &[], "--explain"),
            (&["--install", "/nowhere/at/all", "--inspect"], &[], "--inspect"),
            (&["-g", "--foreground", "app"], &[], "--foreground"),
            (&[], &[], "no program"),
            (&[""], &[], "empty"),
            (&["--frobnicate", "app"], &[], "--frobnicate"),
            (&["-r", "FOO:TERM", "app"], &[], "FOO"),
            (&["-r"], &[], "--rewrite"),
            (&["--stop-signal", "KILL", "app"], &[], "SIGKILL cannot be caught"),
            (&["-e", "256", "app"], &[], "256"),
            (&["app"], &["SEXTON_DELIVER=all"], "SEXTON_DELIVER"),
            (&["app"], &["SEXTON_SUBREAPER=maybe"], "SEXTON_SUBREAPER"),
            (&["app"], &["SEXTON_LOG=sexton=loud"], "SEXTON_LOG"),
        ];
        for (arguments, environment, about) in cases {
            let lines = misuse_of(arguments, environment);
            assert!(lines.contains(about), "{lines}");
            assert_eq!(lines.lines().count(), 2, "{lines}");
        }
    }

    #[test]
    fn i1_inspect_is_a_request_of_its_own() {
        assert!(matches!(request(&["--inspect"], &[]), Request::Inspect(Form::Text)));
        assert!(matches!(request(&["--json", "--inspect"], &[]), Request::Inspect(Form::Json)));
        assert!(misuse_of(&["--json", "app"], &[]).contains("--json is for --inspect"));
        assert!(misuse_of(&["--inspect", "app"], &[]).contains("runs no program"));
        assert_eq!(config(&["app", "--inspect"], &[]).arguments, ["--inspect"]);
    }

    #[test]
    fn t3_only_its_own_variables_are_consumed() {
        let consumed = config(&["app"], &["SEXTON_QUIET=1"]).consumed_variables;
        assert!(consumed.contains(&"SEXTON_WARN_ON_REAP".to_owned()));
        assert!(consumed.contains(&"SEXTON_LOG".to_owned()));
        assert_eq!(consumed.len(), OPTIONS.len() + 1);
    }
}
