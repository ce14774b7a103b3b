//! What job control takes: stopping as the program stops, and the terminal's foreground.

use log::{debug, warn};
use nix::errno::Errno;
use nix::unistd::{Pid, getpgid};

use crate::plan::{Group, Plan};
use crate::process_tree::{self, Process};
use crate::signal::Signal;
use crate::sys::process;
use crate::sys::signal_state::stop_self;
use crate::sys::signals::{self, Origin, Received};
use crate::sys::terminal::Terminal;

/// The program's process group, sexton's own, and the terminal between them.
#[derive(Debug)]
pub struct Foreground {
    group: Group,
    /// sexton's own.
    own_group: Pid,
}

/// What came of following a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// sexton stopped and was continued, and so was the program.
    Resumed,
    /// Nothing is there that could have resumed sexton, so it has not stopped.
    NobodyAbove,
}

impl Foreground {
    /// As the plan has it.
    pub fn new(plan: &Plan) -> Foreground {
        Foreground { group: plan.group, own_group: plan.own_group }
    }

    /// Whether a process of sexton's own group sent the signal.
    pub fn is_from_own_group(&self, received: Received) -> bool {
        let Origin::Process(sender) = received.origin else { return false };
        // A sender in an outer PID namespace is process 0, which getpgid(2) takes for the caller.
        sender.as_raw() != 0 && getpgid(Some(sender)) == Ok(self.own_group)
    }

    /// Stops as the program did, so that the shell sees it, until the shell continues sexton; and then continues
    /// the program.
    pub fn follow_stop(&self, program: Pid, signal: Signal) -> Followed {
        let wants_terminal = matches!(signal, Signal::TTIN | Signal::TTOU);
        if wants_terminal && self.hand_over_terminal(program) {
            // The shell put the job in the foreground while it ran, which it tells nobody.
            self.resume(program);
            return Followed::Resumed;
        }
        // SIGSTOP stops a process whether or not anything can resume it.
        if signal == Signal::STOP && self.is_orphaned() {
            return Followed::Resumed;
        }
        let had_terminal = self.program_has_terminal(program);
        debug!("stopping by {signal}, as the program did");
        if !stop_self(signal, || process::is_continued(program)) {
            return Followed::NobodyAbove;
        }
        if had_terminal || self.group != Group::Shared {
            self.hand_over_terminal(program);
        }
        if !process::is_continued(program) {
            self.resume(program);
        }
        Followed::Resumed
    }

    /// Whether nothing is left that could resume sexton's process group.
    pub fn is_orphaned(&self) -> bool {
        process_tree::is_orphaned(self.own_group)
    }

    /// The program's process group. One that shares sexton's may have made its own since: an interactive shell does.
    fn program_group(&self, program: Pid) -> Pid {
        match self.group {
            Group::Shared => getpgid(Some(program)).unwrap_or(self.own_group),
            Group::Own { .. } | Group::Session(_) => program,
        }
    }

    /// Continues the program, and its group where it has its own.
    pub fn resume(&self, program: Pid) {
        let group = self.program_group(program);
        let result = if group == self.own_group {
            signals::send(program, Signal::CONT, None)
        } else {
            signals::send_to_group(group, Signal::CONT)
        };
        debug!("continued the program: {result:?}");
    }

    /// Continues the program if it is still stopped though sexton was continued: then only sexton was.
    ///
    /// When the whole group is stopped again, sexton gets past its look at the program only when it is continued together
    /// with it, and then a SIGCONT is pending.
    pub fn resume_if_stopped(&self, program: Pid) {
        // In another namespace's /proc its PID is another's.
        let seen = process_tree::is_proc_ours().then(|| Process::look_up(program)).flatten();
        let is_stopped = seen.is_none_or(|program| program.state == b'T');
        if is_stopped && !signals::pending().contains(Signal::CONT) {
            self.resume(program);
        }
    }

    /// Whether the program has a group other than sexton's, and that is in the foreground.
    fn program_has_terminal(&self, program: Pid) -> bool {
        let group = self.program_group(program);
        group != self.own_group && terminal_of(group).is_some()
    }

    /// Puts the program's group in the foreground if sexton's is there; true when it has.
    fn hand_over_terminal(&self, program: Pid) -> bool {
        // A group in another session cannot have this session's terminal.
        if let Group::Session(_) = self.group {
            return false;
        }
        let group = self.program_group(program);
        group != self.own_group && self.move_foreground(self.own_group, group)
    }

    /// Takes the terminal back from the group that the program led, if that still has it.
    ///
    /// A group outside of this PID namespace is 0 here (pid_namespaces(7)), as under unshare(1), and no process in it can
    /// be put in the foreground from here. The shell that made it does so.
    pub fn take_terminal_back(&self, program_group: Pid) {
        if let Group::Own { terminal: Some(_) } = self.group
            && self.own_group.as_raw() != 0
        {
            self.move_foreground(program_group, self.own_group);
        }
    }

    /// Puts `to` in the foreground if `from` is there: the terminal is never taken from any other group.
    fn move_foreground(&self, from: Pid, to: Pid) -> bool {
        let Some(terminal) = terminal_of(from) else { return false };
        match terminal.set_foreground_group(to) {
            Ok(()) => true,
            // It was hung up.
            Err(Errno::ENOTTY | Errno::EIO | Errno::ENXIO) => false,
            Err(errno) => {
                warn!("cannot put process group {to} in the terminal's foreground: {errno}");
                false
            }
        }
    }
}

/// sexton's controlling terminal, if this process group is in its foreground.
fn terminal_of(group: Pid) -> Option<Terminal> {
    // stdin and stdout do not lead to it any more; stderr may.
    let ways = [Terminal::DevTty, Terminal::Standard(nix::libc::STDERR_FILENO)];
    ways.into_iter().find(|way| way.foreground_group() == Some(group))
}
