//! The names `catatonit` and `podman-init`: the options, variables, messages and exit codes of catatonit.

use std::ffi::OsString;

use clap::error::ErrorKind;
use log::{Level, Record, debug, error, info, warn};

use crate::config::{Config, Delivery, GroupWish, Leftovers, Reraise, Subreaper};
use crate::environment::Entry;
use crate::error::Error;
use crate::news::News;
use crate::status::Ending;

use super::getopt::{self, Getopt, OptionsEnd, flag, variable};
use super::logging::{self, LogFormat, LogSettings};
use super::{LICENSE, Pause, Request, Run};

/// So that `docker info` takes it for an init that it knows.
const VERSION: &str = "tini version 0.2.0_catatonit\n";
/// What every failure comes to, of an exec too.
const FAILED: u8 = 1;

const USAGE: &str = "usage: catatonit [-ghLPV] [--] <progname> [<arguments>...]\n";

const OPTIONS_HELP: &str = "
options:
  -g              Forward signals to pid1's process group.
  -h              Print this help page.
  -L              Print license information.
  -P              Run in pause mode (no program is run and quit on SIGINT).
  -V, --version   Print version information.

The source code can be found at <https://github.com/openSUSE/catatonit/>.
For bug reporting instructions, please see: <https://bugs.opensuse.org/>.
";

/// Reads catatonit's command line and environment.
pub fn parse(arguments: &[OsString], environment: &[Entry]) -> Request {
    if variable(environment, "CATATONIT_LOG").is_some() {
        return Request::Complain(line(Level::Error, "CATATONIT_LOG is reserved for future use"), FAILED);
    }
    let options = [
        flag("g", 'g'),
        flag("L", 'L'),
        flag("P", 'P'),
        getopt::help('h'),
        getopt::version('V').long("version"),
    ];
    let command = getopt::command(options, OptionsEnd::of_glibc(environment));
    let mut matches = match command.try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            return Request::Complain([USAGE, OPTIONS_HELP].concat(), 0);
        }
        Err(error) if error.kind() == ErrorKind::DisplayVersion => return Request::Print(VERSION.to_owned()),
        Err(error) => {
            return Request::Complain(getopt::complaint(Getopt::Long, arguments, &error) + USAGE, FAILED);
        }
    };
    let is_given = |option| matches.get_count(option) > 0;
    if is_given("L") {
        return Request::Print(LICENSE.to_owned());
    }
    let verbosity = match variable(environment, "CATATONIT_DEBUG") {
        Some(_) => logging::EVERYTHING,
        None => logging::ERRORS_ONLY,
    };
    let log = LogSettings { which: logging::of_verbosity(verbosity), format: LogFormat::Other(format) };
    if is_given("P") {
        return Request::Pause(Pause { log, tell });
    }
    let delivery = if is_given("g") { Delivery::Group } else { Delivery::Program };
    let Some((program, arguments)) = getopt::program(&mut matches) else {
        return Request::Complain(line(Level::Error, "missing program name") + USAGE, FAILED);
    };
    let config = Config {
        program,
        arguments,
        delivery,
        group: GroupWish::Own,
        leftovers: Leftovers::Leave,
        reraise: Reraise::Never,
        subreaper: Subreaper::Required,

        ..Config::default()
    };
    Request::Run(Box::new(Run { config, tell, log, failed }))
}

fn format(record: &Record<'_>) -> String {
    line(record.level(), &record.args().to_string())
}

fn line(level: Level, text: &str) -> String {
    format!("{level} (catatonit:{}): {text}\n", std::process::id())
}

fn tell(news: &News<'_>) {
    match news {
        News::Started(pid, plan) => debug!("pid1 ({pid}) spawned: {}", plan.program.display()),
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
        News::PausingBelowInit => info!("pausing, but not as PID 1: orphans do not come here"),
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
