//! Turns wishes and surroundings into a plan. Everything that is "auto" is decided here and nowhere else.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::Pid;

use crate::config::{Config, Delivery, GroupWish, Leftovers, ReportTo, Reraise, Subreaper};
use crate::environment::{Entry, Environment, expand};
use crate::error::Error;
use crate::session::Session;
use crate::signal::{Rewrites, Signal, SignalSet};
use crate::status::Remaps;
use crate::surroundings::Surroundings;
use crate::sys::terminal::Terminal;
use crate::users::Identity;

/// What is going to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// sexton itself.
    pub myself: Pid,
    /// sexton's process group.
    pub own_group: Pid,
    /// The program: a path, or a name to look for in PATH.
    pub program: OsString,
    /// The program's arguments, without its name.
    pub arguments: Vec<OsString>,
    /// The user that the program runs as.
    pub identity: Option<Identity>,
    /// Whether every exec is forbidden to give the program more privileges.
    pub no_new_privs: bool,
    /// The program's working directory, if not sexton's.
    pub directory: Option<PathBuf>,
    /// The program's environment.
    pub environment: Environment,
    /// The index of a `LISTEN_PID` in the environment that names sexton and is to name the program.
    pub listen_pid: Option<usize>,
    /// The program's signal mask.
    pub mask: SignalSet,
    /// Whether the program ignores SIGCHLD, as sexton did when it was started.
    pub ignore_child_signal: bool,
    /// The program's process group.
    pub group: Group,
    /// What sexton does when the program is stopped.
    pub stops: Stops,
    /// Which processes get the signals.
    pub delivery: Delivery,
    /// Signals that are sent on as another signal.
    pub rewrites: Rewrites,
    /// How sexton becomes the parent of orphans.
    pub adoption: Adoption,
    /// Whether every orphan that is reaped is logged by name.
    pub warn_on_reap: bool,
    /// Exit codes that are exchanged for others.
    pub remaps: Remaps,
    /// Whether sexton ends by the signal that ended the program.
    pub reraise: bool,
    /// What sexton receives when its parent dies, and which process that is.
    pub parent_death: Option<ParentDeath>,
    /// When and how an end is brought about.
    pub ending: EndingPolicy,
    /// Where a report is written.
    pub report: Option<ReportTo>,
    /// Whether sexton is part of another program, which continues after the run.
    pub embedded: bool,
}

/// When and how an end is brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndingPolicy {
    /// What becomes of leftovers.
    pub leftovers: Leftovers,
    /// How long leftovers have between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// The signals that ask for an end.
    pub stop_signals: SignalSet,
    /// How long the first stop request is held back.
    pub stop_delay: Duration,
    /// The time from the forwarded stop request to SIGKILL.
    pub kill_after: Option<Duration>,
    /// How long the program may run, and what follows.
    pub timeout: Option<Timeout>,
}

/// A limit on the program's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout {
    /// The limit.
    pub after: Duration,
    /// What the program gets when its time is over.
    pub signal: Signal,
    /// The time from that signal to SIGKILL.
    pub kill_after: Duration,
}

/// The program's process group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// It stays in sexton's, as a part of a shell's job.
    Shared,
    /// It has its own.
    Own {
        /// The terminal to hand to that group; sexton's own group has it now.
        terminal: Option<Terminal>,
    },
    /// It leads a session of its own.
    Session(Session),
}

/// What sexton does when the program is stopped. It depends on what is above and could resume it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stops {
    /// A shell with job control: sexton stops as well, so that the shell sees it, and is continued by it.
    Follow,
    /// Nothing: a stop that a terminal makes is undone at once.
    Undo,
    /// Whatever sends signals to sexton: the program stays as it is. (Where sexton's process group is orphaned, there is
    /// nothing.)
    Leave,
}

/// How sexton becomes the parent of orphans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// As PID 1 of the PID namespace.
    Init,
    /// As a child subreaper.
    Subreaper {
        /// Whether it is an error when the kernel refuses, or a warning.
        required: bool,
    },
    /// Not at all.
    None,
}

/// What is to happen when sexton's parent dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentDeath {
    /// What sexton receives.
    pub signal: Signal,
    /// The parent at the start; `None` where it is outside of this PID namespace.
    pub parent: Option<Pid>,
}

impl Plan {
    /// Decides everything. An error means that a wish cannot be fulfilled.
    pub fn new(config: Config, surroundings: &Surroundings) -> Result<Plan, Error> {
        let group = Group::new(&config, surroundings);
        let identity = identity(&config, surroundings)?;
        let mut environment = environment(&config, identity.as_ref(), &surroundings.environment)?;
        let listen_pid = hand_sockets_on(&mut environment, surroundings.pid);
        let expanded = |argument: OsString| match config.expand_variables {
            true => expand(&argument, &environment).map_err(Error::Expand),
            false => Ok(argument),
        };
        Ok(Plan {
            myself: surroundings.pid,
            own_group: surroundings.group,
            arguments: config.arguments.into_iter().map(expanded).collect::<Result<_, _>>()?,
            identity,
            no_new_privs: config.no_new_privs,
            directory: config.directory,
            listen_pid,
            environment,
            mask: surroundings.mask,
            ignore_child_signal: surroundings.child_signal_ignored,
            group,
            stops: Stops::new(config.group, surroundings),
            adoption: Adoption::new(config.subreaper, surroundings),
            reraise: match config.reraise {
                // No signal of its own ends PID 1 (pid_namespaces(7)).
                _ if surroundings.is_init() => false,
                Reraise::Auto => surroundings.is_terminal_job(),
                Reraise::Always => true,
                Reraise::Never => false,
            },
            parent_death: config
                .parent_death_signal
                .map(|signal| ParentDeath { signal, parent: surroundings.parent }),
            program: config.program,
            delivery: config.delivery,
            rewrites: config.rewrites,
            warn_on_reap: config.warn_on_reap,
            remaps: config.remaps,
            ending: EndingPolicy {
                leftovers: config.leftovers,
                grace: config.grace,
                stop_signals: config.stop_signals,
                stop_delay: config.stop_delay,
                kill_after: config.kill_after,
                timeout: config.timeout.map(|after| Timeout {
                    after,
                    signal: config.timeout_signal,
                    kill_after: config.kill_after.unwrap_or(config.grace),
                }),
            },
            report: config.report,
            embedded: config.embedded,
        })
    }
}

impl Group {
    fn new(config: &Config, surroundings: &Surroundings) -> Group {
        let shared = match config.group {
            GroupWish::Auto => surroundings.is_terminal_job() && config.delivery != Delivery::Group,
            GroupWish::Foreground => true,
            GroupWish::Own | GroupWish::Session => false,
        };
        if shared {
            return Group::Shared;
        }
        if config.group == GroupWish::Session {
            return Group::Session(Session::new(config, surroundings));
        }
        let ours = surroundings.terminal.filter(|found| found.foreground_group == surroundings.group);
        Group::Own { terminal: ours.map(|found| found.terminal) }
    }
}

impl Stops {
    fn new(group: GroupWish, surroundings: &Surroundings) -> Stops {
        // A shell above cannot see into the program's own session: it sees sexton.
        let is_seen = group == GroupWish::Session && !surroundings.is_session_leader();
        if surroundings.is_terminal_job() || is_seen && !surroundings.is_init() {
            Stops::Follow
        } else if surroundings.is_init() || surroundings.is_session_leader() {
            Stops::Undo
        } else {
            Stops::Leave
        }
    }
}

impl Adoption {
    fn new(subreaper: Subreaper, surroundings: &Surroundings) -> Adoption {
        match subreaper {
            _ if surroundings.is_init() => Adoption::Init,
            Subreaper::Auto => Adoption::Subreaper { required: false },
            Subreaper::Required => Adoption::Subreaper { required: true },
            Subreaper::Off => Adoption::None,
        }
    }
}

fn identity(config: &Config, surroundings: &Surroundings) -> Result<Option<Identity>, Error> {
    let (Some(wish), Some(users)) = (&config.user, &surroundings.users) else { return Ok(None) };
    users.look_up(wish).map(Some).map_err(Error::User)
}

/// The program's environment: without sexton's own variables and those to be unset, then with the user's, then with those
/// to be set.
fn environment(
    config: &Config,
    identity: Option<&Identity>,
    inherited: &Environment,
) -> Result<Environment, Error> {
    let mut environment = inherited.clone();
    config.consumed_variables.iter().for_each(|key| environment.remove(key.as_bytes()));
    config.unset_variables.iter().for_each(|key| environment.remove(key.as_bytes()));
    if let Some(Identity { name, home, .. }) = identity {
        for (key, value) in [("HOME", home), ("USER", name), ("LOGNAME", name)] {
            environment.set(c_string(OsStr::new(&format!("{key}={value}")))?);
        }
    }
    for entry in &config.set_variables {
        environment.set(c_string(entry)?);
    }
    Ok(environment)
}

/// The word as a C string.
pub fn c_string(word: &OsStr) -> Result<CString, Error> {
    CString::new(word.as_bytes()).map_err(|_| Error::Nul(word.to_owned()))
}

/// The index of the `LISTEN_PID` that names this process and is to name the program. Any other is not meant for the
/// program either.
///
/// Newer versions of systemd name the process by the number of its pidfd as well. The program's is not known before it
/// exists, and a process looks only at a number that it is given (sd_listen_fds(3)).
fn hand_sockets_on(environment: &mut Environment, pid: Pid) -> Option<usize> {
    let ours = format!("{}{pid}", crate::sys::exec::LISTEN_PID);
    let is_ours = |entry: &Entry| entry.to_bytes() == ours.as_bytes();
    if environment.entries().iter().any(is_ours) {
        environment.remove(b"LISTEN_PIDFDID");
    }
    environment.entries().iter().position(is_ours)
}

#[cfg(test)]
pub mod tests;
