//! The names `catatonit` and `podman-init`: the options, variables, messages and exit codes of catatonit.

use std::ffi::OsString;

use log::{Level, debug, error, info, warn};

use crate::config::{Delivery, Subreaper};
use crate::environment::Entry;
use crate::error::Error;
use crate::news::News;
use crate::status::Ending;

use super::getopt::{self, Getopt, variable};
use super::logging::{self, Format, LogSettings};
use super::{LICENSE, Request, Run, SEXTON};

/// Under tini's name, so that `docker info` takes it for an init it knows.
const VERSION: &str = "tini version 0.2.0_catatonit\n";
/// The exit code for every failure, of an exec too.
const FAILED: u8 = 1;

const USAGE: &str = "usage: catatonit [-ghLPV] [--] <progname> [<arguments>...]\n";

fn help() -> String {
    format!(
        "This is sexton {SEXTON}, with the options of catatonit 0.2.

{USAGE}
Options:
  -g              Send signals to the program's process group
  -P              Run no program: reap until SIGINT or SIGTERM
  -h              Print this help
  -L              Print the licence
  -V, --version   Print the version
"
    )
}

pub fn parse(arguments: &[OsString], environment: &[Entry]) -> Request {
    if variable(environment, "CATATONIT_LOG").is_some() {
        return Request::Complain(line(Level::Error, "CATATONIT_LOG is reserved for future use"), FAILED);
    }
    let mut config = getopt::config();
    config.subreaper = Subreaper::Required;
    let mut is_pause = false;
    let mut options = Getopt::new(arguments, environment, "hLVPg", &[("version", b'V')]);
    for option in options.by_ref() {
        match option {
            Ok((b'h', _)) => return Request::Complain(help(), 0),
            Ok((b'L', _)) => return Request::Print(LICENSE.to_owned()),
            Ok((b'V', _)) => return Request::Print(VERSION.to_owned()),
            Ok((b'P', _)) => is_pause = true,
            Ok((b'g', _)) => config.delivery = Delivery::Group,
            Ok(_) => unreachable!(),
            Err(what) => return Request::Complain(what + USAGE, FAILED),
        }
    }
    let verbosity = match variable(environment, "CATATONIT_DEBUG") {
        Some(_) => logging::EVERYTHING,
        None => logging::ERRORS_ONLY,
    };
    let log = LogSettings::of_verbosity(verbosity, Format(line));
    if is_pause {
        return Request::Pause(log, tell);
    }
    let Some((program, rest)) = options.program() else {
        return Request::Complain(line(Level::Error, "missing program name") + USAGE, FAILED);
    };
    (config.program, config.arguments) = (program, rest);
    Request::Run(Box::new(Run { config, tell, log, failed }))
}

fn line(level: Level, text: &str) -> String {
    format!("{level} (catatonit:{}): {text}\n", std::process::id())
}

fn tell(news: &News<'_>) {
    match news {
        News::Started(pid, plan) => debug!("pid1 ({pid}) spawned: {}", plan.config.program.display()),
        News::Forwarded { signal, program: Some(program), result: Err(errno), .. } => {
            let number = signal.number();
            warn!("forwarding of signal {number} to pid1 ({program}) failed: {}", errno.desc());
        }
        News::Reaped { pid, ending: Ending::Exited(code), .. } => {
            debug!("child process {pid} exited with code {code}");
        }
        News::Reaped { pid, ending: Ending::Signaled { signal, .. }, .. } => {
            debug!("child process {pid} exited due to signal {}", signal.number());
        }
        News::PausingBelowInit => info!("pausing, but not as PID 1: no orphans will come here"),
        _ => {}
    }
}

fn failed(error: &Error) -> u8 {
    match getopt::exec_failure(error) {
        Some((_, errno)) => error!("failed to exec pid1: {}", errno.desc()),
        None => error!("{error}"),
    }
    FAILED
}
