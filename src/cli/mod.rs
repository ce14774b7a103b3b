//! The command line: turns words into a `Request`, and carries it out.

mod catatonit;
mod dumb_init;
mod getopt;
mod install;
mod logging;
mod native;
mod options;
mod pause;
mod tini;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::environment::Entry;
use crate::error::Error;
use crate::explain;
use crate::inspect::{self, Form};
use crate::news::Tell;
use crate::outcome::End;
use crate::status::FAILED;
use crate::stderr;
use crate::sys::entry;
use crate::sys::signal_state::{self, SignalGuard};

use self::logging::LogSettings;
pub use self::native::command;
pub use self::options::variables;

/// What the caller asks for.
#[derive(Debug)]
enum Request {
    /// Run a program.
    Run(Box<Run>),
    /// Run no program, and reap.
    Pause(LogSettings, Tell),
    /// Copy this executable to this path; the second is the name it was called by.
    Install(PathBuf, String),
    /// Print what would be done.
    Explain(Box<Config>, Form),
    /// Show this PID namespace's processes and what is wrong with them.
    Inspect(Form),
    /// Print this on stdout.
    Print(String),
    /// Print this on stderr, and exit with the code. Mostly it says why the words could not be understood.
    Complain(String, u8),
}

/// A program to run, and how to log the run.
#[derive(Debug)]
struct Run {
    config: Config,
    tell: Tell,
    log: LogSettings,
    /// Logs why the program was not run, and returns the exit code for that.
    failed: fn(&Error) -> u8,
}

/// sexton's version.
const SEXTON: &str = env!("CARGO_PKG_VERSION");

/// What is printed for the options by which other tools show their licence.
const LICENSE: &str = concat!(
    "This is sexton ",
    env!("CARGO_PKG_VERSION"),
    ", standing in for the tool it was called as.\nIts licence is ",
    env!("CARGO_PKG_LICENSE"),
    ", as you prefer.\n"
);

/// Does what the arguments ask for, and returns the exit status.
pub fn main(arguments: Vec<OsString>) -> i32 {
    let code = match parse(arguments, &entry::environment()) {
        Request::Run(what) => run(*what),
        Request::Pause(log, tell) => hold(log, tell),
        Request::Install(to, called) => install(&to, &called),
        Request::Explain(config, form) => explain(*config, form),
        Request::Inspect(form) => inspect(form),
        Request::Print(text) => print(&text),
        Request::Complain(lines, code) => {
            stderr::write(lines.as_bytes());
            code
        }
    };
    i32::from(code)
}

/// The name sexton is called by chooses the front end. A name that is not another tool's is sexton's own.
#[inline(never)]
fn parse(arguments: Vec<OsString>, environment: &[Entry]) -> Request {
    match base_name(&arguments).as_bytes() {
        b"tini" | b"tini-static" | b"docker-init" => tini::parse(&arguments, environment),
        b"dumb-init" => dumb_init::parse(&arguments, environment),
        b"catatonit" | b"podman-init" => catatonit::parse(&arguments, environment),
        b"pause" => pause::parse(&arguments),
        _ => native::parse(arguments, environment),
    }
}

/// The name this process was called by, without directories.
fn base_name(arguments: &[OsString]) -> &OsStr {
    let name = arguments.first().and_then(|name| Path::new(name).file_name());
    name.unwrap_or_default()
}

/// Kept apart from `parse`, and the rare requests from both, so that a start touches fewer pages of code and stack
/// (docs/performance.md).
#[inline(never)]
fn run(Run { config, tell, log, failed }: Run) -> u8 {
    logging::init(log);
    match crate::run::run_to_end(config, tell) {
        Ok(outcome) => {
            if let End::Reraise(signal) = outcome.end {
                signal_state::die_of(signal);
            }
            outcome.exit_code()
        }
        Err(error) => failed(&error),
    }
}

#[cold]
#[inline(never)]
fn hold(log: LogSettings, tell: Tell) -> u8 {
    let signals = SignalGuard::new();
    logging::init(log);
    crate::pause::pause(tell, &signals);
    // As after a run: a signal that comes now must not change how this ends.
    signals.keep();
    0
}

#[cold]
#[inline(never)]
fn install(to: &Path, called: &str) -> u8 {
    match install::install(to, called) {
        Ok(()) => 0,
        Err(what) => complain(&what, FAILED),
    }
}

#[cold]
#[inline(never)]
fn explain(config: Config, form: Form) -> u8 {
    match crate::run::plan_only(config) {
        Ok(plan) => match form {
            Form::Text => print(&explain::text(&plan)),
            Form::Json => print(&format!("{:#}\n", explain::json(&plan))),
        },
        Err(error) => complain(&error.to_string(), error.exit_code()),
    }
}

#[cold]
#[inline(never)]
fn inspect(form: Form) -> u8 {
    match inspect::inspect(form) {
        Ok((text, code)) => match print(&text) {
            0 => code,
            _ => inspect::COULD_NOT_LOOK,
        },
        Err(why) => complain(&format!("cannot look: {why}"), inspect::COULD_NOT_LOOK),
    }
}

fn complain(what: &str, code: u8) -> u8 {
    stderr::write(format!("sexton: {what}\n").as_bytes());
    code
}

fn print(text: &str) -> u8 {
    use std::io::Write as _;
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => 0,
        Err(_) => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;

    fn request(words: &[&str], environment: &[&str]) -> Request {
        let environment: Vec<Entry> =
            environment.iter().map(|entry| CString::new(*entry).unwrap().into()).collect();
        parse(words.iter().map(OsString::from).collect(), &environment)
    }

    fn exec_failure_code(name: &str) -> Option<u8> {
        match request(&[name, "app"], &[]) {
            Request::Run(run) => Some((run.failed)(&Error::NoProgram)),
            _ => None,
        }
    }

    #[test]
    fn the_name_says_which_tool_is_meant() {
        for (name, code) in [
            ("tini", 127),
            ("/usr/bin/tini-static", 127),
            ("/sbin/docker-init", 127),
            ("dumb-init", 2),
            ("/run/podman-init", 1),
            ("catatonit", 1),
            ("/init", FAILED),
            ("sexton", FAILED),
            ("", FAILED),
            ("Tini", FAILED),
        ] {
            assert_eq!(exec_failure_code(name), Some(code), "{name}");
        }
        assert!(matches!(request(&["/pause"], &[]), Request::Pause(..)));
        assert!(matches!(request(&["catatonit", "-P"], &[]), Request::Pause(..)));
    }

    #[test]
    fn only_sexton_reads_its_own_variables() {
        let bad = ["SEXTON_DELIVER=nonsense"];
        assert!(matches!(request(&["/init", "app"], &bad), Request::Complain(_, FAILED)));
        for name in ["tini", "dumb-init", "catatonit"] {
            let Request::Run(run) = request(&[name, "app"], &bad) else { panic!("{name}") };
            assert_eq!(run.config.consumed_variables, Vec::<String>::new(), "{name}");
        }
        assert!(matches!(request(&["pause"], &bad), Request::Pause(..)));
    }
}
