//! What the command lines of C programs have in common: options as getopt(3) reads them, by means of clap.
//!
//! clap differs from getopt in little that anybody writes: `-e=5` is `-e 5` to it, and it says of an ambiguous
//! abbreviation that it does not know it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use nix::errno::Errno;

use crate::environment::{self, Entry};
use crate::error::Error;

/// The program and its arguments.
const COMMAND: &str = "command";

/// Where options end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OptionsEnd {
    /// At the first word that is none.
    AtFirstOther,
    /// At `--`, or where there are no more words: glibc's getopt looks behind the words that are none too.
    AtSeparator,
}

impl OptionsEnd {
    /// As glibc decides it for a program that does not.
    pub fn of_glibc(environment: &[Entry]) -> OptionsEnd {
        match variable(environment, "POSIXLY_CORRECT") {
            Some(_) => OptionsEnd::AtFirstOther,
            None => OptionsEnd::AtSeparator,
        }
    }
}

/// An option without a value. It counts how often it is given.
pub fn flag(id: &'static str, short: char) -> Arg {
    Arg::new(id).short(short).action(ArgAction::Count)
}

/// An option that ends the reading of options there and then: clap's `ErrorKind::DisplayHelp`.
pub fn help(short: char) -> Arg {
    Arg::new("help").short(short).action(ArgAction::Help)
}

/// The same, as `ErrorKind::DisplayVersion`.
pub fn version(short: char) -> Arg {
    Arg::new("version").short(short).action(ArgAction::Version)
}

/// An option with a value, which may begin with a hyphen.
pub fn value(id: &'static str, short: char) -> Arg {
    Arg::new(id)
        .short(short)
        .action(ArgAction::Append)
        .value_parser(value_parser!(OsString))
        .allow_hyphen_values(true)
}

/// A parser that knows these options only, and where they end.
pub fn command(options: impl IntoIterator<Item = Arg>, end: OptionsEnd) -> Command {
    let words = Arg::new(COMMAND)
        .num_args(1..)
        .action(ArgAction::Append)
        .value_parser(value_parser!(OsString))
        .trailing_var_arg(end == OptionsEnd::AtFirstOther);
    Command::new("")
        // Never shown, but clap wants one.
        .version("")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .infer_long_args(true)
        .args(options)
        .arg(words)
}

/// The program and its arguments, if there is one.
pub fn program(matches: &mut ArgMatches) -> Option<(OsString, Vec<OsString>)> {
    let mut words = matches.remove_many::<OsString>(COMMAND)?;
    Some((words.next()?, words.collect()))
}

/// Which program complains.
#[derive(Clone, Copy)]
pub enum Getopt {
    /// getopt(3), which takes `--word` for an option that is called `-`.
    Short,
    /// getopt_long(3).
    Long,
}

/// getopt's line about a command line that it does not understand.
pub fn complaint(getopt: Getopt, arguments: &[OsString], error: &clap::Error) -> String {
    let name = arguments.first().map(|name| name.to_string_lossy()).unwrap_or_default();
    let last_is_long = arguments.last().is_some_and(|word| word.as_bytes().starts_with(b"--"));
    let word = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) => word.split([' ', '=', '.']).next().unwrap_or_default(),
        _ => "",
    };
    let letter = |word: &str| word.trim_start_matches('-').chars().next().unwrap_or('-');
    let what = match (error.kind(), getopt) {
        (ErrorKind::UnknownArgument, Getopt::Long) if word.starts_with("--") => {
            let is_it = |argument: &&OsString| argument.as_bytes().starts_with(word.as_bytes());
            let whole = arguments.iter().find(is_it).map(|whole| whole.to_string_lossy());
            format!("unrecognized option '{}'", whole.unwrap_or(word.into()))
        }
        (ErrorKind::UnknownArgument, _) if word.starts_with("--") => "invalid option -- '-'".to_owned(),
        (ErrorKind::UnknownArgument, _) => format!("invalid option -- '{}'", letter(word)),
        (ErrorKind::TooManyValues, _) => format!("option '{word}' doesn't allow an argument"),
        (_, Getopt::Long) if last_is_long => format!("option '{word}' requires an argument"),
        _ => format!("option requires an argument -- '{}'", letter(word.trim_start_matches("--"))),
    };
    format!("{name}: {what}\n")
}

/// What execvp(3) was asked for and why it failed, where that is the error: of an empty name it says that there is no
/// such file.
pub fn exec_failure(error: &Error) -> Option<(String, Errno)> {
    match error {
        Error::Exec(failure) => Some((failure.program.display().to_string(), Errno::from_raw(failure.errno))),
        Error::NoProgram => Some((String::new(), Errno::ENOENT)),
        _ => None,
    }
}

/// The value of an environment variable, as getenv(3) gives it.
pub fn variable<'a>(environment: &'a [Entry], name: &str) -> Option<&'a OsStr> {
    environment::find(environment, name.as_bytes()).map(OsStr::from_bytes)
}

/// A number as atoi(3), strtol(3) and scanf(3) read it, and what follows it; `None` where there is none.
pub fn number(text: &[u8]) -> Option<(i64, &[u8])> {
    let text = text.trim_ascii_start();
    let sign = usize::from(text.first().is_some_and(|byte| matches!(byte, b'+' | b'-')));
    let digits = text[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(sign + digits);
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    fn parse(end: OptionsEnd, arguments: &[&str]) -> Result<(u8, Vec<OsString>, Vec<OsString>), String> {
        let arguments = words(&[&["tool"], arguments].concat());
        let options = [flag("g", 'g'), flag("v", 'v').long("verbose"), value("rewrite", 'r').long("rewrite")];
        let mut matches = command(options, end)
            .try_get_matches_from(&arguments)
            .map_err(|error| complaint(Getopt::Long, &arguments, &error))?;
        let values = matches.remove_many("rewrite").into_iter().flatten().collect();
        let command = program(&mut matches).map(|(program, rest)| [vec![program], rest].concat());
        Ok((matches.get_count("v"), values, command.unwrap_or_default()))
    }

    #[test]
    fn options_are_bundled_and_values_attached() {
        for arguments in
            [&["-vgvr1:2", "a"][..], &["-v", "--verb", "-r", "1:2", "a"], &["-vvr", "1:2", "--", "a"]]
        {
            let result = parse(OptionsEnd::AtSeparator, arguments);
            assert_eq!(result, Ok((2, words(&["1:2"]), words(&["a"]))), "{arguments:?}");
        }
        let hyphens = parse(OptionsEnd::AtSeparator, &["-r", "-v", "--rewrite", "--", "a"]);
        assert_eq!(hyphens, Ok((0, words(&["-v", "--"]), words(&["a"]))));
    }

    #[test]
    fn options_end_as_glibc_says() {
        let at = |end, arguments: &[&str]| {
            parse(end, arguments).map(|(verbose, _, command)| (verbose, command)).map_err(drop)
        };
        let (first, separator) = (OptionsEnd::AtFirstOther, OptionsEnd::AtSeparator);
        assert_eq!(at(first, &["a", "-v", "--", "-x"]), Ok((0, words(&["a", "-v", "--", "-x"]))));
        assert_eq!(
            at(separator, &["a", "-v", "b", "--", "-x", "--"]),
            Ok((1, words(&["a", "b", "-x", "--"])))
        );
        assert_eq!(at(separator, &["a", "-x"]), Err(()));
        assert_eq!(at(first, &["--", "-v"]), Ok((0, words(&["-v"]))));
        assert_eq!(at(separator, &["-", "-v"]), Ok((1, words(&["-"]))));
    }

    #[test]
    fn complains_as_getopt_does() {
        let complaint = |arguments: &[&str]| parse(OptionsEnd::AtSeparator, arguments).unwrap_err();
        assert_eq!(complaint(&["-vx", "a"]), "tool: invalid option -- 'x'\n");
        assert_eq!(complaint(&["--foo=1"]), "tool: unrecognized option '--foo=1'\n");
        assert_eq!(complaint(&["-r"]), "tool: option requires an argument -- 'r'\n");
        assert_eq!(complaint(&["--rewrite"]), "tool: option '--rewrite' requires an argument\n");
        assert_eq!(complaint(&["--verbose=1"]), "tool: option '--verbose' doesn't allow an argument\n");
    }

    #[test]
    fn numbers_as_c_reads_them() {
        assert_eq!(number(b" 12"), Some((12, &b""[..])));
        assert_eq!(number(b"-1:2"), Some((-1, &b":2"[..])));
        assert_eq!(number(b"+7x"), Some((7, &b"x"[..])));
        assert_eq!(number(b"x"), None);
        assert_eq!(number(b""), None);
    }
}
