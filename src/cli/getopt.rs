//! What the command lines of C programs have in common: options as glibc's getopt_long(3) reads them, numbers, variables.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::slice;

use nix::errno::Errno;

use crate::config::{Config, GroupWish, Leftovers, Reraise, Subreaper};
use crate::environment::{self, Entry};
use crate::error::Error;

/// An option's letter and its value, which is empty where it takes none.
type Given<'a> = (u8, &'a OsStr);

/// Reads the options in their order. The other words are the program and its arguments.
pub struct Getopt<'a> {
    short: &'static str,
    long: &'static [(&'static str, u8)],
    stops_at_program: bool,
    name: &'a OsStr,
    words: slice::Iter<'a, OsString>,
    /// The rest of a word such as `-vvs`.
    letters: &'a [u8],
    command: Vec<OsString>,
}

impl<'a> Getopt<'a> {
    /// `short` is written as for getopt(3): a colon follows a letter that takes a value, and a plus sign in front says
    /// that options end at the program. `long` has the letter for each long name, none of which begins another; where
    /// there are none, `--word` is a bundle of letters.
    pub fn new(
        arguments: &'a [OsString],
        environment: &[Entry],
        short: &'static str,
        long: &'static [(&'static str, u8)],
    ) -> Getopt<'a> {
        let stops_at_program = short.starts_with('+') || variable(environment, "POSIXLY_CORRECT").is_some();
        let mut words = arguments.iter();
        let name = words.next().map_or(OsStr::new(""), OsString::as_os_str);
        Getopt { short, long, stops_at_program, name, words, letters: b"", command: Vec::new() }
    }

    /// The program and its arguments, if there is one. To be called when all options have been read.
    pub fn program(self) -> Option<(OsString, Vec<OsString>)> {
        let mut words = self.command.into_iter();
        Some((words.next()?, words.collect()))
    }

    /// Whether the letter takes a value; `None` if it is not an option.
    fn takes_value(&self, letter: u8) -> Option<bool> {
        let at = self.short.bytes().position(|known| known == letter && letter.is_ascii_alphabetic())?;
        Some(self.short[at + 1..].starts_with(':'))
    }

    fn read_short(&mut self, letter: u8) -> Result<Given<'a>, String> {
        let shown = String::from_utf8_lossy(slice::from_ref(&letter)).into_owned();
        let value = match self.takes_value(letter) {
            None => return Err(format!("invalid option -- '{shown}'")),
            Some(false) => Some(OsStr::new("")),
            Some(true) => match std::mem::take(&mut self.letters) {
                b"" => self.words.next().map(OsString::as_os_str),
                attached => Some(OsStr::from_bytes(attached)),
            },
        };
        Ok((letter, value.ok_or_else(|| format!("option requires an argument -- '{shown}'"))?))
    }

    fn read_long(&mut self, word: &'a [u8]) -> Result<Given<'a>, String> {
        let shown = String::from_utf8_lossy(word);
        let mut parts = word.splitn(2, |byte| *byte == b'=');
        let (start, attached) = (parts.next().unwrap_or_default(), parts.next().map(OsStr::from_bytes));
        let meant: Vec<_> = self.long.iter().filter(|(name, _)| name.as_bytes().starts_with(start)).collect();
        let (name, letter) = match meant[..] {
            [] => return Err(format!("unrecognized option '--{shown}'")),
            [(name, letter)] => (name, *letter),
            _ => {
                let names: String = meant.iter().map(|(name, _)| format!(" '--{name}'")).collect();
                return Err(format!("option '--{shown}' is ambiguous; possibilities:{names}"));
            }
        };
        let value = match (self.takes_value(letter), attached) {
            (Some(true), None) => self.words.next().map(OsString::as_os_str),
            (Some(true), _) => attached,
            (_, None) => Some(OsStr::new("")),
            (_, Some(_)) => return Err(format!("option '--{name}' doesn't allow an argument")),
        };
        Ok((letter, value.ok_or_else(|| format!("option '--{name}' requires an argument"))?))
    }
}

/// An error is getopt's complaint, as a whole line.
impl<'a> Iterator for Getopt<'a> {
    type Item = Result<Given<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let option = loop {
            if let [letter, rest @ ..] = self.letters {
                self.letters = rest;
                break self.read_short(*letter);
            }
            let word = self.words.next()?;
            match word.as_bytes() {
                b"--" => self.command.extend(self.words.by_ref().cloned()),
                [b'-', b'-', word @ ..] if !self.long.is_empty() => break self.read_long(word),
                [b'-', letters @ ..] if !letters.is_empty() => self.letters = letters,
                _ => {
                    self.command.push(word.clone());
                    if self.stops_at_program {
                        self.command.extend(self.words.by_ref().cloned());
                    }
                }
            }
        };
        Some(option.map_err(|what| format!("{}: {what}\n", self.name.display())))
    }
}

/// What these tools have in common: they leave leftovers alone, never end by a signal, and adopt orphans only if told to.
pub fn config() -> Config {
    Config {
        group: GroupWish::Own,
        leftovers: Leftovers::Leave,
        reraise: Reraise::Never,
        subreaper: Subreaper::Off,
        ..Config::default()
    }
}

/// The program that execvp(3) was asked for, and why it failed, if that is the error. It says of an empty name that there
/// is no such file.
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

/// A number as atoi(3), strtol(3) and scanf(3) read it, and what follows it; `None` if there is none.
pub fn number(text: &[u8]) -> Option<(i64, &[u8])> {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    let text = &text[blanks..];
    let sign = usize::from(matches!(text, [b'+' | b'-', ..]));
    let digits = text[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(sign + digits);
    Some((str::from_utf8(number).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    /// The letters as they come, with their values, and the command.
    fn read(short: &'static str, arguments: &[&str], environment: &[Entry]) -> Result<Read, String> {
        let arguments = words(&[&["tool"], arguments].concat());
        let long = &[("verbose", b'v'), ("rewrite", b'r'), ("version", b'V')];
        let mut getopt = Getopt::new(&arguments, environment, short, long);
        let given = getopt.by_ref().collect::<Result<Vec<_>, _>>()?;
        let given = given.into_iter().map(|(letter, value)| (char::from(letter), value.to_owned())).collect();
        let command = getopt.program().map(|(program, rest)| [vec![program], rest].concat());
        Ok((given, command.unwrap_or_default()))
    }

    type Read = (Vec<(char, OsString)>, Vec<OsString>);

    const PERMUTING: &str = "gvVr:";
    const STOPPING: &str = "+gvVr:";

    #[test]
    fn options_are_bundled_and_values_attached() {
        for (arguments, letters) in [
            (&["-vgvr1:2", "a"][..], "vgvr"),
            (&["-v", "--verb", "-r", "1:2", "a"], "vvr"),
            (&["-vvr", "1:2", "--", "a"], "vvr"),
            (&["a", "--rew=1:2", "-gv"], "rgv"),
        ] {
            let (given, command) = read(PERMUTING, arguments, &[]).unwrap();
            assert_eq!(given.iter().map(|(letter, _)| letter).collect::<String>(), letters, "{arguments:?}");
            let value = given.iter().find(|(letter, _)| *letter == 'r').unwrap();
            assert_eq!((value.1.to_str(), command), (Some("1:2"), words(&["a"])), "{arguments:?}");
        }
        let values = |arguments: &[&str]| {
            let (given, command) = read(PERMUTING, arguments, &[]).unwrap();
            (given.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), command)
        };
        assert_eq!(values(&["-r", "-v", "--rewrite", "--", "a"]), (words(&["-v", "--"]), words(&["a"])));
        assert_eq!(values(&["-r=1", "--rewrite=", "--rewrite==1"]), (words(&["=1", "", "=1"]), words(&[])));
    }

    #[test]
    fn options_end_as_glibc_says() {
        let at = |short, arguments: &[&str]| {
            let (given, command) = read(short, arguments, &[]).map_err(drop)?;
            Ok((given.len(), command))
        };
        assert_eq!(at(STOPPING, &["a", "-v", "--", "-x"]), Ok((0, words(&["a", "-v", "--", "-x"]))));
        assert_eq!(
            at(PERMUTING, &["a", "-v", "b", "--", "-x", "--"]),
            Ok((1, words(&["a", "b", "-x", "--"])))
        );
        assert_eq!(at(PERMUTING, &["a", "-x"]), Err(()));
        assert_eq!(at(STOPPING, &["--", "-v"]), Ok((0, words(&["-v"]))));
        assert_eq!(at(PERMUTING, &["-", "-v"]), Ok((1, words(&["-"]))));
        assert_eq!(at(STOPPING, &["-", "-v"]), Ok((0, words(&["-", "-v"]))));
        assert_eq!(at(PERMUTING, &["--"]), Ok((0, Vec::new())));
        let posix = [CString::new("POSIXLY_CORRECT=").unwrap().into()];
        assert_eq!(read(PERMUTING, &["a", "-v"], &posix), Ok((Vec::new(), words(&["a", "-v"]))));
    }

    #[test]
    fn complains_as_getopt_does() {
        let complaint = |arguments: &[&str]| read(PERMUTING, arguments, &[]).unwrap_err();
        for (arguments, what) in [
            (&["-vx", "a"][..], "invalid option -- 'x'"),
            (&["-v-"], "invalid option -- '-'"),
            (&["-:"], "invalid option -- ':'"),
            (&["--foo=1"], "unrecognized option '--foo=1'"),
            (&["--verbose2"], "unrecognized option '--verbose2'"),
            (&["-r"], "option requires an argument -- 'r'"),
            (&["--rewrite"], "option '--rewrite' requires an argument"),
            (&["--rew"], "option '--rewrite' requires an argument"),
            (&["--verbose=1"], "option '--verbose' doesn't allow an argument"),
            (&["--verb="], "option '--verbose' doesn't allow an argument"),
            (&["--v"], "option '--v' is ambiguous; possibilities: '--verbose' '--version'"),
            (&["--ver=1"], "option '--ver=1' is ambiguous; possibilities: '--verbose' '--version'"),
            (&["--=1"], "option '--=1' is ambiguous; possibilities: '--verbose' '--rewrite' '--version'"),
        ] {
            assert_eq!(complaint(arguments), format!("tool: {what}\n"), "{arguments:?}");
        }
        let arguments = words(&["tool", "--foo"]);
        let mut short_only = Getopt::new(&arguments, &[], PERMUTING, &[]);
        assert_eq!(short_only.next(), Some(Err("tool: invalid option -- '-'\n".to_owned())));
    }

    #[test]
    fn numbers_as_c_reads_them() {
        assert_eq!(number(b" 12"), Some((12, &b""[..])));
        assert_eq!(number(b"\x0b\r12"), Some((12, &b""[..])));
        assert_eq!(number(b"-1:2"), Some((-1, &b":2"[..])));
        assert_eq!(number(b"+7x"), Some((7, &b"x"[..])));
        assert_eq!(number(b"x"), None);
        assert_eq!(number(b"--1"), None);
        assert_eq!(number(b""), None);
    }
}
