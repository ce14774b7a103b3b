//! The names `tini`, `tini-static` and `docker-init`: the options, variables, messages and exit codes of tini 0.19.0.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use log::{Level, debug, error, info, trace, warn};
use nix::errno::Errno;

use crate::config::{Delivery, Subreaper};
use crate::environment::Entry;
use crate::error::Error;
use crate::news::News;
use crate::plan::Adoption;
use crate::signal::Signal;
use crate::status::{Ending, Remap};
use crate::sys::{process, signals};

use super::getopt::{self, Getopt, variable};
use super::logging::{self, Format, LogSettings};
use super::{LICENSE, Request, Run, SEXTON, base_name};

/// dockerd takes what follows `tini version ` for the version of its init, and warns if it is missing.
const VERSION: &str = "tini version 0.19.0";
/// The exit code for every failure of tini's own.
const FAILED: u8 = 1;
/// Errors and warnings.
const DEFAULT_VERBOSITY: u32 = 1;

const NO_SUBREAPER: &str = "Tini is not running as PID 1 and isn't registered as a child subreaper.
Zombie processes will not be re-parented to Tini, so zombie reaping won't work.
To fix the problem, use the -s option or set the environment variable TINI_SUBREAPER to register Tini as a child \
subreaper, or run Tini as PID 1.";

fn help(name: &str) -> String {
    format!(
        "This is sexton {SEXTON}, with the options of tini 0.19.0.

Usage: {name} [OPTIONS] [--] PROGRAM [ARGS...]

Runs PROGRAM as a child, passes signals on to it, reaps zombies, and exits with its status.

Options:
  -s          Become a child subreaper, to reap without being PID 1
  -g          Send signals to PROGRAM's whole process group
  -p SIGNAL   Get SIGNAL when the parent dies: -p SIGTERM
  -e CODE     Exit with 0 if PROGRAM exits with CODE, from 0 to 255 (repeatable)
  -w          Warn about every zombie reaped
  -v          Log more; up to -vvv
  -h          Print this help
  -l          Print the licence
  --version   Print the version, if there is no other argument

Variables:
  TINI_SUBREAPER            If set: like -s
  TINI_KILL_PROCESS_GROUP   If set: like -g
  TINI_VERBOSITY            A number instead of -v (default {DEFAULT_VERBOSITY})
"
    )
}

pub fn parse(arguments: &[OsString], environment: &[Entry]) -> Request {
    let help = || help(&base_name(arguments).to_string_lossy());
    // An option only if it is the only argument.
    if let [_, word] = arguments
        && word == "--version"
    {
        return Request::Print(format!("{VERSION}\n"));
    }
    let mut config = getopt::config();
    let mut verbosity = DEFAULT_VERBOSITY;
    let mut options = Getopt::new(arguments, environment, "hlsgwvp:e:", &[]);
    for option in options.by_ref() {
        match option {
            Ok((b'h', _)) => return Request::Print(help()),
            Ok((b'l', _)) => return Request::Print(LICENSE.to_owned()),
            Ok((b's', _)) => config.subreaper = Subreaper::Required,
            Ok((b'g', _)) => config.delivery = Delivery::Group,
            Ok((b'w', _)) => config.warn_on_reap = true,
            Ok((b'v', _)) => verbosity += 1,
            Ok((b'p', word)) => match signal(word) {
                Some(signal) => config.parent_death_signal = Some(signal),
                None => return not_valid('p', word),
            },
            Ok((b'e', word)) => match exit_code(word) {
                Some(code) => config.remaps.insert(Remap { code, new: 0 }),
                None => return not_valid('e', word),
            },
            Ok(_) => unreachable!(),
            Err(what) => return Request::Complain(what + &help(), FAILED),
        }
    }
    let Some((program, rest)) = options.program() else {
        return Request::Complain(help(), FAILED);
    };
    (config.program, config.arguments) = (program, rest);
    if variable(environment, "TINI_SUBREAPER").is_some() {
        config.subreaper = Subreaper::Required;
    }
    if variable(environment, "TINI_KILL_PROCESS_GROUP").is_some() {
        config.delivery = Delivery::Group;
    }
    if let Some(word) = variable(environment, "TINI_VERBOSITY") {
        // Like atoi(3): what is not a number is 0. And tini takes the number for an unsigned one.
        verbosity = getopt::number(word.as_bytes()).map_or(0, |(number, _)| number as u32);
    }
    // Its 1 is sexton's 0.
    let level = i32::try_from(verbosity).map_or(logging::EVERYTHING, |verbosity| verbosity - 1);
    let log = LogSettings::of_verbosity(level, Format(line));
    Request::Run(Box::new(Run { config, tell, log, failed }))
}

/// One of the names in tini's table: full names in capitals.
fn signal(word: &OsStr) -> Option<Signal> {
    const NOT_THERE: [Signal; 3] = [Signal::STKFLT, Signal::IO, Signal::PWR];
    let signal: Signal = word.to_str()?.parse().ok()?;
    let is_there = signal <= Signal::SYS && !NOT_THERE.contains(&signal);
    (is_there && word == signal.to_string().as_str()).then_some(signal)
}

/// Reads `143` as strtol(3) does, which takes an empty word for 0.
fn exit_code(word: &OsStr) -> Option<u8> {
    match getopt::number(word.as_bytes()).unwrap_or((0, word.as_bytes())) {
        (number, b"") => u8::try_from(number).ok(),
        _ => None,
    }
}

fn not_valid(option: char, word: &OsStr) -> Request {
    let what = format!("Not a valid option for -{option}: {}", word.display());
    Request::Complain(line(Level::Error, &what), FAILED)
}

fn line(level: Level, text: &str) -> String {
    let level = match level {
        Level::Error => "FATAL",
        Level::Warn => "WARN ",
        Level::Info => "INFO ",
        Level::Debug => "DEBUG",
        Level::Trace => "TRACE",
    };
    format!("[{level} tini ({})] {text}\n", std::process::id())
}

fn tell(news: &News<'_>) {
    match news {
        News::Adopting(Adoption::None) if !process::is_child_subreaper() => warn!("{NO_SUBREAPER}"),
        News::Adopting(Adoption::Subreaper { .. }) => trace!("Registered as child subreaper"),
        News::Started(pid, plan) => {
            info!("Spawned child process '{}' with pid '{pid}'", plan.config.program.display());
        }
        News::Received { signal, becomes: Some(_) } => {
            debug!("Passing signal: '{}'", signals::description(*signal));
        }
        News::Forwarded { result: Err(Errno::ESRCH), .. } => warn!("Child was dead when forwarding signal"),
        News::Forwarded { result: Err(errno), .. } => {
            warn!("Unexpected error when forwarding signal: '{}'", errno.desc());
        }
        News::Reaped { pid, named, .. } => {
            debug!("Reaped child with pid: '{pid}'");
            if named.is_some() {
                warn!("Reaped zombie process with pid={pid}");
            }
        }
        News::Ended(pid, ending) => {
            debug!("Reaped child with pid: '{pid}'");
            match ending {
                Ending::Exited(code) => info!("Main child exited normally (with status '{code}')"),
                Ending::Signaled { signal, .. } => {
                    info!("Main child exited with signal (with signal '{}')", signals::description(*signal));
                }
            }
            trace!("Exiting: child has exited");
        }
        _ => {}
    }
}

fn failed(error: &Error) -> u8 {
    let Some((program, errno)) = getopt::exec_failure(error) else {
        error!("{error}");
        return FAILED;
    };
    error!("exec {program} failed: {}", errno.desc());
    match errno {
        Errno::ENOENT => crate::status::NOT_FOUND,
        Errno::EACCES => crate::status::CANNOT_EXECUTE,
        _ => FAILED,
    }
}
