//! What is true at the start, read once, before anything is changed.

use nix::unistd::{Pid, getpgrp, getpid, getppid, getsid};

use crate::config::Config;
use crate::environment::Environment;
use crate::signal::SignalSet;
use crate::sys::entry;
use crate::sys::signal_state::SignalGuard;
use crate::sys::terminal::Terminal;
use crate::users::Users;

/// Where sexton finds itself.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// sexton's PID in its own PID namespace.
    pub pid: Pid,
    /// Its parent; `None` where that is outside of this PID namespace.
    pub parent: Option<Pid>,
    /// Its process group.
    pub group: Pid,
    /// Its session.
    pub session: Pid,
    /// Its controlling terminal, if it has one.
    pub terminal: Option<ControllingTerminal>,
    /// The signal mask it was started with.
    pub mask: SignalSet,
    /// Whether it was started with SIGCHLD ignored.
    pub child_signal_ignored: bool,
    /// Its environment.
    pub environment: Environment,
    /// The users; read only if the program is to run as one.
    pub users: Option<Users>,
}

/// A controlling terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControllingTerminal {
    /// The descriptor that leads to it.
    pub terminal: Terminal,
    /// The process group in its foreground, which may be gone.
    pub foreground_group: Pid,
}

impl Surroundings {
    /// Reads them, as far as the wishes need them. The guard knows what was true before it changed it.
    pub fn read(config: &Config, signals: &SignalGuard) -> Surroundings {
        let pid = getpid();
        let parent = getppid();
        Surroundings {
            pid,
            parent: (parent.as_raw() != 0).then_some(parent),
            group: getpgrp(),
            // getsid(2) fails for another process's session only.
            session: getsid(None).unwrap_or(pid),
            terminal: ControllingTerminal::read(),
            mask: signals.inherited_mask(),
            child_signal_ignored: signals.child_signal_was_ignored(),
            environment: Environment::new(entry::environment()),
            users: config.user.as_ref().map(|_| Users::read()),
        }
    }

    /// Whether sexton is the init of its PID namespace.
    pub fn is_init(&self) -> bool {
        self.pid.as_raw() == 1
    }

    /// Whether sexton leads its session, as a program that ssh or tmux has started does.
    pub fn is_session_leader(&self) -> bool {
        self.session == self.pid
    }

    /// Whether sexton is part of a shell's job.
    pub fn is_terminal_job(&self) -> bool {
        !self.is_init() && !self.is_session_leader() && self.terminal.is_some()
    }
}

impl ControllingTerminal {
    fn read() -> Option<ControllingTerminal> {
        let terminal = Terminal::controlling()?;
        let foreground_group = terminal.foreground_group()?;
        Some(ControllingTerminal { terminal, foreground_group })
    }
}
