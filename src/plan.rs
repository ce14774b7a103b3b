//! Turns wishes and surroundings into a plan. Everything that is "auto" is decided here and nowhere else.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt as _;

use nix::unistd::Pid;

use crate::config::{Config, Delivery, GroupWish, Reraise, Subreaper};
use crate::environment::{Entry, Environment, expand};
use crate::error::Error;
use crate::session::Session;
use crate::signal::{Signal, SignalSet};
use crate::surroundings::Surroundings;
use crate::sys::terminal::Terminal;
use crate::users::Identity;

/// What is going to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The caller's wishes, with variables in the arguments expanded.
    pub config: Config,
    /// sexton itself.
    pub myself: Pid,
    /// sexton's process group.
    pub own_group: Pid,
    /// The user that the program runs as.
    pub identity: Option<Identity>,
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
    /// How sexton becomes the parent of orphans.
    pub adoption: Adoption,
    /// Whether sexton ends by the signal that ended the program.
    pub reraise: bool,
    /// What sexton receives when its parent dies, and which process that is.
    pub parent_death: Option<ParentDeath>,
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
    pub fn new(mut config: Config, surroundings: &Surroundings) -> Result<Plan, Error> {
        let identity = identity(&config, surroundings)?;
        let mut environment = environment(&config, identity.as_ref(), &surroundings.environment)?;
        let listen_pid = hand_sockets_on(&mut environment, surroundings.pid);
        if config.expand_variables {
            for argument in &mut config.arguments {
                *argument = expand(argument, &environment).map_err(Error::Expand)?;
            }
        }
        Ok(Plan {
            myself: surroundings.pid,
            own_group: surroundings.group,
            identity,
            environment,
            listen_pid,
            mask: surroundings.mask,
            ignore_child_signal: surroundings.child_signal_ignored,
            group: Group::new(&config, surroundings),
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
            config,
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
