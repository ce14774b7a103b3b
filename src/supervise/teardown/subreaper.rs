//! As a child subreaper: there is no call that reaches all descendants, but sexton has the orphans: whatever dies
//! leaves its children to it. So it sends SIGKILL to its own children, reaps them, finds their children among its own,
//! and goes on until it has none: no fork, daemon or change of session gets around that. It only has to be faster
//! than a process that forks a successor and exits, so it looks at nothing but its own children, and looks again as soon
//! as one of them has died.
//!
//! That alone does not end a tree that grows at its tips while its root is being killed: a fork bomb, whose many
//! processes also keep the dying one from the processors and from the locks that it needs for that. So from time to time
//! it looks through all of /proc as well, and sends SIGKILL to every descendant at once.

use std::cell::OnceCell;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::Teardown;
use crate::process_tree::{self, Process, Set};
use crate::signal::Signal;
use crate::sys::{process, signals};

/// How long to go on with the children before all descendants are looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long not to look for them after that, as a multiple of what the look has taken: thousands of processes need the
/// processors for dying.
const PAUSE_AFTER_LOOK: u32 = 4;

/// How often descendants that could be stopped are looked for: a process that forks and exits all the time cannot be.
const STOP_ROUNDS: usize = 8;

/// A subreaper's strategy.
#[derive(Debug)]
pub struct Subreaper {
    /// sexton itself.
    myself: Pid,
    /// Children from before the program: a shell's, which became sexton by exec. They are left alone.
    strangers: Vec<Process>,
    /// Whether /proc tells of sexton's children; found out when it is needed.
    is_proc_ours: OnceCell<bool>,
    killing: Option<Killing>,
}

/// SIGKILL goes out in rounds.
#[derive(Debug)]
struct Killing {
    /// How many children there were in the last round.
    found: usize,
    /// How many have died since.
    reaped: usize,
    next_look: Instant,
    /// Whether all that the last look found refused the signal.
    all_refused: bool,
}

impl Subreaper {
    /// To be called before the program is started.
    pub fn new(myself: Pid) -> Subreaper {
        let mut subreaper =
            Subreaper { myself, strangers: Vec::new(), is_proc_ours: OnceCell::new(), killing: None };
        if process::has_children() {
            subreaper.strangers = subreaper.children(None).into_iter().filter_map(Process::look_up).collect();
        }
        subreaper
    }

    fn is_proc_ours(&self) -> bool {
        *self.is_proc_ours.get_or_init(process_tree::is_proc_ours)
    }

    fn is_stranger(&self, process: &Process) -> bool {
        self.strangers.iter().any(|stranger| stranger.is_same_as(process))
    }

    /// Where nothing tells which they are, there is the program.
    fn children(&self, program: Option<Pid>) -> Vec<Pid> {
        if !self.is_proc_ours() {
            return program.into_iter().collect();
        }
        let mut children = process_tree::own_children();
        if !self.strangers.is_empty() {
            children.retain(|child| !Process::look_up(*child).is_some_and(|child| self.is_stranger(&child)));
        }
        children
    }

    /// Sends signals to each process, one after the other.
    fn signal_each(&self, processes: &[Process], all: &[Signal]) -> Result<(), Errno> {
        let mut result = Ok(());
        for process in processes {
            match self.signal_one(process, all) {
                // It is gone by now, which is as well.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => result = Err(errno),
            }
        }
        result
    }

    /// The PID of another's child may be given to a stranger at any moment. So the process is held by a descriptor first,
    /// and then looked at again: if it is still the same one, the descriptor is its (pidfd_open(2)).
    fn signal_one(&self, process: &Process, all: &[Signal]) -> Result<(), Errno> {
        if process.parent == self.myself {
            return all.iter().try_for_each(|signal| signals::send(process.pid, *signal, None));
        }
        let handle = process::Handle::open(process.pid)?;
        match Process::look_up(process.pid) {
            Some(now) if now.is_same_as(process) => all.iter().try_for_each(|signal| handle.send(*signal)),
            _ => Err(Errno::ESRCH),
        }
    }

    /// Stops all descendants, and says which they are: none that is being forked meanwhile is overlooked, and none that is
    /// forked later, for cleaning up, is taken for one of them.
    fn stop_descendants(&self) -> Vec<Process> {
        let mut stopped: Vec<Process> = Vec::new();
        let mut seen = Set::default();
        for _ in 0..STOP_ROUNDS {
            let mut new = self.descendants();
            new.retain(|process| seen.insert((process.pid, process.started)));
            if new.is_empty() {
                break;
            }
            let _ = self.signal_each(&new, &[Signal::STOP]);
            stopped.append(&mut new);
        }
        stopped
    }

    fn kill_children(&mut self, program: Option<Pid>) {
        let children = self.children(program);
        for child in &children {
            // One that refuses is named later.
            let _ = signals::send(*child, Signal::KILL, None);
        }
        if let Some(killing) = &mut self.killing {
            (killing.found, killing.reaped) = (children.len(), 0);
        }
    }

    #[cold]
    #[inline(never)]
    fn kill_descendants(&mut self, program: Option<Pid>, now: Instant) {
        let mut results = Vec::new();
        let mut known: Set<Pid> = [self.myself].into_iter().collect();
        let mut others = Vec::new();
        // Each as soon as it is found: hundreds that keep the processors busy let sexton get on only slowly.
        for pid in process_tree::pids().into_iter().flatten() {
            // Before it is looked at: so what is seen is this one's, or this one is gone and gets nothing.
            let handle = process::Handle::open(pid);
            let Some(process) = Process::look_up(pid) else { continue };
            if self.is_stranger(&process) {
            } else if !known.contains(&process.parent) {
                others.push(process);
            } else if known.insert(pid) && !process.is_zombie() {
                results.push(handle.and_then(|handle| handle.send(Signal::KILL)));
            }
        }
        // Those whose parent has a higher PID.
        while let Some(index) = others.iter().position(|process| known.contains(&process.parent)) {
            let process = others.swap_remove(index);
            known.insert(process.pid);
            if !process.is_zombie() {
                results.push(self.signal_one(&process, &[Signal::KILL]));
            }
        }
        // A process that is gone may have left a child, so ESRCH does not count as refused.
        let all_refused = !results.is_empty() && results.iter().all(|result| *result == Err(Errno::EPERM));
        // Those that were found have died or not, but new ones may be there.
        self.kill_children(program);
        let took = now.elapsed();
        if let Some(killing) = &mut self.killing {
            killing.all_refused = all_refused;
            killing.next_look = now + took + LOOK_AGAIN.max(took * PAUSE_AFTER_LOOK);
        }
    }
}

impl Teardown for Subreaper {
    fn descendants(&self) -> Vec<Process> {
        process_tree::descendants(self.myself, |process| self.is_stranger(process))
    }

    fn only_strangers_are_left(&self, program: Option<Pid>) -> bool {
        !self.strangers.is_empty() && self.children(program).is_empty()
    }

    fn signal_all(&self, signal: Signal, program: Option<Pid>) -> Result<(), Errno> {
        if !self.is_proc_ours() {
            return program.map_or(Ok(()), |program| signals::send(program, signal, None));
        }
        self.signal_each(&self.descendants(), &[signal])
    }

    fn terminate(&self) -> Result<(), Errno> {
        self.signal_each(&self.stop_descendants(), &[Signal::TERM, Signal::CONT])
    }

    fn kill(&mut self, program: Option<Pid>, now: Instant) {
        let next_look = now + LOOK_AGAIN;
        self.killing = Some(Killing { found: 0, reaped: 0, next_look, all_refused: false });
        self.kill_children(program);
    }

    /// Not after each child: as a list of N children costs N steps to read, thousands of them would cost the square of
    /// that. After half of them it costs N in all.
    fn go_on(&mut self, reaped: usize, program: Option<Pid>, now: Instant) {
        let Some(killing) = &mut self.killing else { return };
        killing.reaped += reaped;
        if killing.next_look <= now {
            self.kill_descendants(program, now);
        } else if killing.reaped * 2 >= killing.found.max(1) {
            self.kill_children(program);
        }
    }

    fn next_look(&self) -> Option<Instant> {
        self.killing.as_ref().map(|killing| killing.next_look)
    }

    fn is_refused_by_all(&self) -> bool {
        self.killing.as_ref().is_some_and(|killing| killing.all_refused)
    }

    fn left(&self, program: Option<Pid>) -> Vec<Pid> {
        self.children(program)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A PID is looked at, its process dies, and another gets the PID before the signal is sent.
    #[test]
    fn s8_a_pid_that_is_another_process_by_now_gets_nothing() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        let subreaper = Subreaper::new(nix::unistd::getpid());
        // As a grandchild: a child of one's own cannot be another process before it is reaped.
        let now = Process { parent: Pid::from_raw(1), ..Process::look_up(pid).unwrap() };
        let before = Process { started: now.started - 1, ..now.clone() };
        assert_eq!(subreaper.signal_one(&before, &[Signal::KILL]), Err(Errno::ESRCH));
        assert_eq!(child.try_wait().unwrap(), None);
        assert_eq!(subreaper.signal_one(&now, &[Signal::KILL]), Ok(()));
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(9));
    }
}
