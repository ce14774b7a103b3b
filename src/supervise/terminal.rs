//! Job control: stopping as the program stops, and the terminal's foreground.

use log::{debug, warn};
use nix::errno::Errno;
use nix::unistd::{Pid, getpgid, getpgrp};

use crate::plan::Group;
use crate::process_tree::{self, Process};
use crate::signal::Signal;
use crate::sys::process;
use crate::sys::signals::{self, Origin, Received};
use crate::sys::terminal::Terminal;

/// The program's process group, and the terminal that it may have.
#[derive(Debug)]
pub struct Job {
    program: Pid,
    group: Group,
    /// sexton's own.
    own_group: Pid,
}

/// What came of following a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// sexton stopped and was continued, and so was the program.
    Resumed,
    /// Nobody is there who could have resumed sexton, so it has not stopped.
    NobodyAbove,
}

impl Job {
    /// After the program was started.
    pub fn new(program: Pid, group: Group) -> Job {
        Job { program, group, own_group: getpgrp() }
    }

    /// Whether a process of the group that sexton shares with the program stops the whole group, as an editor does with
    /// `kill(0, SIGTSTP)`: then the program has the signal already.
    pub fn was_stopped_by(&self, received: Received) -> bool {
        let Origin::Process(sender) = received.origin else { return false };
        self.group == Group::Shared
            && received.signal.stops_a_job()
            // One in an outer PID namespace is process 0, which getpgid(2) takes for the caller.
            && sender.as_raw() != 0
            && getpgid(Some(sender)) == Ok(self.own_group)
    }

    /// Stops as the program did, so that the shell sees it, until the shell continues sexton; and then continues
    /// the program.
    pub fn follow_stop(&self, signal: Signal) -> Followed {
        let wants_terminal = matches!(signal, Signal::TTIN | Signal::TTOU);
        if wants_terminal && self.hand_over_terminal() {
            // The shell put the job in the foreground while it ran, which it tells nobody.
            self.resume();
            return Followed::Resumed;
        }
        // Nothing keeps SIGSTOP from stopping a process that nobody resumes.
        if signal == Signal::STOP && process_tree::is_orphaned(self.own_group) {
            return Followed::Resumed;
        }
        let had_terminal = self.program_has_terminal();
        debug!("stopping by {signal}, as the program did");
        if !signals::stop_self(signal, || process::is_continued(self.program)) {
            return Followed::NobodyAbove;
        }
        if had_terminal || self.group != Group::Shared {
            self.hand_over_terminal();
        }
        if !process::is_continued(self.program) {
            self.resume();
        }
        Followed::Resumed
    }

    /// Whether nobody is left who could resume sexton's process group.
    pub fn is_orphaned(&self) -> bool {
        process_tree::is_orphaned(self.own_group)
    }

    /// The program's process group. One that shares sexton's may have made its own since: an interactive shell does.
    fn program_group(&self) -> Pid {
        match self.group {
            Group::Shared => getpgid(Some(self.program)).unwrap_or(self.own_group),
            Group::Own { .. } | Group::Session { .. } => self.program,
        }
    }

    /// Continues the program, and its group where it has its own.
    pub fn resume(&self) {
        let group = self.program_group();
        let result = if group == self.own_group {
            signals::send(self.program, Signal::CONT, None)
        } else {
            signals::send_to_group(group, Signal::CONT)
        };
        debug!("continued the program: {result:?}");
    }

    /// Continues the program if it is still stopped though sexton was continued: then somebody continued sexton alone.
    ///
    /// When the whole group is stopped, sexton does not get past looking at the program before it is continued
    /// with it, and then a SIGCONT is pending.
    pub fn resume_if_stopped(&self) {
        // In another namespace's /proc its PID is another's.
        let seen = process_tree::is_proc_ours().then(|| Process::look_up(self.program)).flatten();
        let is_stopped = seen.is_none_or(|program| program.state == b'T');
        if is_stopped && !signals::pending().contains(Signal::CONT) {
            self.resume();
        }
    }

    /// Whether the program has a group other than sexton's, and that is in the foreground.
    fn program_has_terminal(&self) -> bool {
        let group = self.program_group();
        group != self.own_group && terminal_of(group).is_some()
    }

    /// Puts the program's group in the foreground if sexton's is there; true when it has.
    fn hand_over_terminal(&self) -> bool {
        // A group in another session cannot have this session's terminal.
        if let Group::Session { .. } = self.group {
            return false;
        }
        let group = self.program_group();
        group != self.own_group && self.move_foreground(self.own_group, group)
    }

    /// Takes the terminal back, if the program's group still has it.
    ///
    /// A group out of this PID namespace is 0 here (pid_namespaces(7)), as under unshare(1), and nothing can put it in the
    /// foreground. The shell that made it does so.
    pub fn take_terminal_back(&self) {
        if let Group::Own { terminal: Some(_) } = self.group
            && self.own_group.as_raw() != 0
        {
            self.move_foreground(self.program, self.own_group);
        }
    }

    /// Puts `to` in the foreground if `from` is there: the terminal is never taken from anybody else.
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
