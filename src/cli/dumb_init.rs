//! The name `dumb-init`: the options, variables, messages and exit codes of dumb-init 1.2.5.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use log::{debug, error};
use nix::unistd::Pid;

use crate::config::{Delivery, GroupWish};
use crate::environment::Entry;
use crate::error::Error;
use crate::news::News;
use crate::plan::{Group, Plan};
use crate::signal::{Rewrite, Signal};
use crate::status::Ending;

use super::getopt::{self, Getopt, variable};
use super::logging::{self, Format, LogSettings};
use super::{Request, Run, SEXTON};

const VERSION: &str = "dumb-init v1.2.5\n";
/// The exit code for a command line that it does not understand.
const MISUSE: u8 = 1;
/// The exit code for a program that cannot be executed, whatever the reason.
const CANNOT_EXECUTE: u8 = 2;
/// dumb-init knows no real-time signals.
const LAST_SIGNAL: i32 = 31;
/// These stop a terminal's job, but not a program in a session without that terminal (`is_current_pgrp_orphaned` in the
/// kernel). It gets SIGSTOP instead, so that it stops all the same.
const STOPS: [Signal; 3] = [Signal::TSTP, Signal::TTOU, Signal::TTIN];

const LONG_OPTIONS: [(&str, u8); 5] =
    [("help", b'h'), ("single-child", b'c'), ("rewrite", b'r'), ("verbose", b'v'), ("version", b'V')];

const REWRITE_HELP: &str = "\
Usage: -r option takes <signum>:<signum>, where <signum> is between 1 and 31.
This option can be specified multiple times.
Use --help for full usage.
";

fn help(name: &str) -> String {
    format!(
        "This is sexton {SEXTON}, with the options of dumb-init 1.2.5.

Usage: {name} [OPTIONS] [--] PROGRAM [ARGS...]

Runs PROGRAM as a child that leads a session of its own, and passes signals on to its process group.

Options:
  -c, --single-child      Pass signals on to PROGRAM alone, which stays in this session
  -r, --rewrite FROM:TO   Send signal TO when FROM arrives; both are numbers, and TO 0 drops FROM (repeatable)
  -v, --verbose           Log to stderr
  -h, --help              Print this help
  -V, --version           Print the version

Variables:
  DUMB_INIT_SETSID=0      Like --single-child
  DUMB_INIT_DEBUG=1       Like --verbose
"
    )
}

pub fn parse(arguments: &[OsString], environment: &[Entry]) -> Request {
    let name = arguments.first().map(|name| name.to_string_lossy()).unwrap_or_default();
    let is_variable = |name, value| variable(environment, name).is_some_and(|is| is == value);
    let mut is_single = is_variable("DUMB_INIT_SETSID", "0");
    let mut is_verbose = is_variable("DUMB_INIT_DEBUG", "1");
    let mut rewrites = Vec::new();
    let mut options = Getopt::new(arguments, environment, "+hVvcr:", &LONG_OPTIONS);
    for option in options.by_ref() {
        match option {
            Ok((b'h', _)) => return Request::Complain(help(&name), 0),
            Ok((b'V', _)) => return Request::Complain(VERSION.to_owned(), 0),
            Ok((b'v', _)) => is_verbose = true,
            Ok((b'c', _)) => is_single = true,
            Ok((b'r', word)) => match rewrite(word.as_bytes()) {
                Some(rewrite) => rewrites.push(rewrite),
                None => return Request::Complain(REWRITE_HELP.to_owned(), MISUSE),
            },
            Ok(_) => unreachable!(),
            Err(what) => return Request::Complain(what, MISUSE),
        }
    }
    let Some((program, rest)) = options.program() else {
        let usage = format!("Usage: {name} [option] program [args]\nTry {name} --help for full usage.\n");
        return Request::Complain(usage, MISUSE);
    };
    let mut config = getopt::config();
    if is_single {
        config.group = GroupWish::Foreground;
    } else {
        config.group = GroupWish::Session;
        config.delivery = Delivery::Group;
        STOPS.iter().for_each(|stop| config.rewrites.insert(Rewrite { from: *stop, to: Some(Signal::STOP) }));
    }
    rewrites.into_iter().for_each(|rewrite| config.rewrites.insert(rewrite));
    if !is_single {
        // It is rewritten or dropped like any other signal.
        config.parting_signal = config.rewrites.apply(Signal::TERM);
    }
    (config.program, config.arguments) = (program, rest);
    let verbosity = if is_verbose { logging::EVERYTHING } else { logging::ERRORS_ONLY };
    let log = LogSettings::of_verbosity(verbosity, Format(|_, text| format!("[dumb-init] {text}\n")));
    Request::Run(Box::new(Run { config, tell, log, failed }))
}

/// Reads `15:2` as `sscanf("%d:%d")` does, which ignores what follows.
fn rewrite(word: &[u8]) -> Option<Rewrite> {
    let known = |number| (0..=LAST_SIGNAL).contains(&number).then(|| Signal::from_raw(number));
    let (from, rest) = getopt::number(word)?;
    let (to, _) = getopt::number(rest.strip_prefix(b":")?)?;
    Some(Rewrite { from: known(from as i32)??, to: known(to as i32)? })
}

fn tell(news: &News<'_>) {
    match news {
        News::Started(pid, plan) => tell_of_start(*pid, plan),
        News::Received { signal, becomes } => {
            let number = signal.number();
            debug!("Received signal {number}.");
            let sent = becomes.map_or(0, Signal::number);
            if sent != number {
                debug!("Translating signal {number} to {sent}.");
            }
            if sent == 0 {
                debug!("Not forwarding signal 0 to children (ignored).");
            }
        }
        News::Forwarded { signal, .. } => tell_of_signal(*signal),
        News::Parted(signal) => {
            if *signal != Signal::TERM {
                debug!("Translating signal {} to {}.", Signal::TERM.number(), signal.number());
            }
            tell_of_signal(*signal);
        }
        News::Reaped { pid, ending, .. } => tell_of_end(*pid, *ending),
        News::Ended(pid, ending) => {
            tell_of_end(*pid, *ending);
            debug!("Child exited with status {}. Goodbye.", ending.code());
        }
        _ => {}
    }
}

fn tell_of_start(pid: Pid, plan: &Plan) {
    if plan.environment.get(b"DUMB_INIT_DEBUG") == Some(b"1") {
        debug!("Running in debug mode.");
    }
    if plan.environment.get(b"DUMB_INIT_SETSID") == Some(b"0") {
        debug!("Not running in setsid mode.");
    }
    if let Group::Session(session) = plan.group {
        if session.terminal.is_some() {
            debug!("Detached from controlling tty, ignoring the first SIGHUP and SIGCONT we receive.");
        }
        debug!("setsid complete.");
    }
    debug!("Child spawned with PID {pid}.");
}

fn tell_of_signal(signal: Signal) {
    debug!("Forwarded signal {} to children.", signal.number());
}

fn tell_of_end(pid: Pid, ending: Ending) {
    match ending {
        Ending::Exited(code) => debug!("A child with PID {pid} exited with exit status {code}."),
        Ending::Signaled { signal, .. } => {
            debug!("A child with PID {pid} was terminated by signal {}.", signal.number());
        }
    }
}

fn failed(error: &Error) -> u8 {
    match getopt::exec_failure(error) {
        Some((program, errno)) => {
            error!("{program}: {}", errno.desc());
            CANNOT_EXECUTE
        }
        None => {
            error!("{error}");
            MISUSE
        }
    }
}
