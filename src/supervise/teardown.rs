//! Ending what the program leaves behind, completely.
//!
//! As PID 1 that is `kill(-1, …)`: the kernel walks all processes of the namespace with its list locked, and a
//! process that is sent SIGKILL can no longer fork, so one call leaves none behind.
//!
//! A child subreaper has no such call. But it has the orphans: whatever dies leaves its children to
//! sexton. So it sends SIGKILL to its own children, reaps them, finds their children among its own, and goes on
//! until it has none: nothing that forks, daemonises or changes its session can get out of that. It only has to
//! be faster than a process that forks a successor and exits, so it looks at nothing but its own children, and
//! looks again as soon as one of them has died.
//!
//! That alone does not end a tree that grows at its tips while its root is being killed: a fork bomb, whose many
//! processes also keep the one that is to die from the processors and from the locks that it needs for that. So from
//! time to time it looks through all of /proc as well, and sends SIGKILL to every descendant at once.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use log::{info, warn};
use nix::errno::Errno;
use nix::unistd::Pid;

use crate::process_tree::{self, Named, Process};
use crate::signal::Signal;
use crate::sys::signals;

use super::clock::Now;

/// How long to go on with the children before all descendants are looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The same for PID 1, which reaches all at once: it looks only for those that may refuse.
const LOOK_AS_INIT: Duration = Duration::from_millis(300);

/// How many times as long as such a look has taken nothing is looked for: thousands of processes are to have the
/// processors for dying.
const PAUSE_AFTER_LOOK: u32 = 4;

/// How often what is left is looked for that could be stopped: what forks and exits all the time cannot.
const STOP_ROUNDS: usize = 8;

/// How many processes a message names.
const NAMED_AT_MOST: usize = 8;

/// The ways to reach all descendants.
#[derive(Debug)]
pub struct Teardown {
    /// sexton itself.
    myself: Pid,
    /// Until it is reaped: then its PID may be another's.
    program: Option<Pid>,
    /// Children that sexton had before it started the program: a shell's, which became sexton by exec. They are
    /// not the program's, so they are left alone. PID 1 makes no such difference, as nothing outlives it.
    not_the_programs: Vec<Process>,
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
    next_look_at_all: Instant,
    /// Whether all that was found at the last look at all may not be sent signals.
    all_refused: bool,
}

impl Teardown {
    /// To be called before the program is started.
    pub fn new() -> Teardown {
        let myself = nix::unistd::getpid();
        let mut teardown = Teardown {
            myself,
            program: None,
            not_the_programs: Vec::new(),
            is_proc_ours: OnceCell::new(),
            killing: None,
        };
        if !is_init(myself) && crate::sys::process::has_children() {
            teardown.not_the_programs =
                teardown.children().into_iter().filter_map(Process::look_up).collect();
        }
        teardown
    }

    /// The program was started: it is known also where there is no /proc.
    pub fn begin(&mut self, program: Pid) {
        self.program = Some(program);
    }

    /// The program is reaped.
    pub fn forget_program(&mut self) {
        self.program = None;
    }

    /// Whether the only children left are from before the program. (That none is left at all, wait(2) tells.)
    pub fn only_strangers_are_left(&self) -> bool {
        !self.not_the_programs.is_empty() && self.children().is_empty()
    }

    /// All descendants, zombies left out.
    pub fn descendants(&self) -> Vec<Process> {
        let is_stranger = |process: &Process| self.not_the_programs.contains_process(process);
        let mut found = process_tree::descendants(self.myself, is_stranger);
        found.retain(|process| !process.is_zombie());
        found
    }

    /// Sends signals, one after the other, to every descendant, once to each.
    pub fn signal_all(&self, all: &[Signal]) -> Result<(), Errno> {
        if is_init(self.myself) {
            return all.iter().try_for_each(|signal| signals::send_to_namespace(*signal));
        }
        if !self.is_proc_ours() {
            let send = |program| all.iter().try_for_each(|signal| signals::send(program, *signal, None));
            return self.program.map_or(Ok(()), send);
        }
        self.signal_each(&self.descendants(), all)
    }

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

    /// The PID of another's child may be given to a stranger at any moment. So the process is held by a
    /// descriptor first, and then looked at again: if it is the same one still, the descriptor is its (pidfd_open(2)).
    fn signal_one(&self, process: &Process, all: &[Signal]) -> Result<(), Errno> {
        if process.parent == self.myself {
            return all.iter().try_for_each(|signal| signals::send(process.pid, *signal, None));
        }
        let handle = signals::Handle::open(process.pid)?;
        match Process::look_up(process.pid) {
            Some(now) if now.started == process.started => {
                all.iter().try_for_each(|signal| handle.send(*signal))
            }
            _ => Err(Errno::ESRCH),
        }
    }

    /// Asks all leftovers to end.
    #[cold]
    #[inline(never)]
    pub fn terminate(&self) {
        // One that is stopped would not see SIGTERM.
        let signals = [Signal::TERM, Signal::CONT];
        let result = if is_init(self.myself) {
            self.signal_all(&signals)
        } else {
            self.signal_each(&self.stop_descendants(), &signals)
        };
        match result {
            Ok(()) | Err(Errno::ESRCH) => info!("sent SIGTERM to what the program left behind"),
            Err(errno) => warn!("cannot send SIGTERM to all that the program left behind: {errno}"),
        }
    }

    /// Stops all descendants, and says who they are: so it overlooks none that is being forked meanwhile. And none that is
    /// forked later, for cleaning up, is taken for one of them.
    fn stop_descendants(&self) -> Vec<Process> {
        let mut stopped: Vec<Process> = Vec::new();
        let mut seen = HashSet::new();
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

    /// Begins to send SIGKILL to all descendants.
    #[cold]
    #[inline(never)]
    pub fn kill(&mut self, now: Instant) {
        let next_look_at_all = now + self.patience_for_children();
        self.killing = Some(Killing { found: 0, reaped: 0, next_look_at_all, all_refused: false });
        self.kill_children();
    }

    fn patience_for_children(&self) -> Duration {
        if is_init(self.myself) { LOOK_AS_INIT } else { LOOK_AGAIN }
    }

    /// When to call `continue_killing`, if at all.
    pub fn deadline(&self) -> Option<Instant> {
        self.killing.as_ref().map(|killing| killing.next_look_at_all)
    }

    /// Whether those that are left may not be sent signals, so that waiting for them is in vain.
    pub fn is_refused_by_all(&self) -> bool {
        self.killing.as_ref().is_some_and(|killing| killing.all_refused)
    }

    /// Goes on after some children were reaped, or after some time.
    ///
    /// Not after each child: as a list of N children costs N steps to read, thousands of them would cost the
    /// square of that. After half of them it costs N in all.
    pub fn continue_killing(&mut self, reaped: usize, now: &Now) {
        let Some(killing) = &mut self.killing else { return };
        let now = now.get();
        killing.reaped += reaped;
        if killing.next_look_at_all <= now && is_init(self.myself) && killing.reaped > 0 {
            // All were reached at once, and as long as they die there is nobody to look for.
            (killing.reaped, killing.next_look_at_all) = (0, now + LOOK_AS_INIT);
        } else if killing.next_look_at_all <= now {
            self.kill_descendants(now);
        } else if killing.reaped * 2 >= killing.found.max(1) {
            self.kill_children();
        }
    }

    fn kill_children(&mut self) {
        let found = if is_init(self.myself) {
            let _ = signals::send_to_namespace(Signal::KILL);
            // One call has reached all: the next is due when the clock says so.
            usize::MAX
        } else {
            let children = self.children();
            for child in &children {
                // One that may not be sent a signal is told of later.
                let _ = signals::send(*child, Signal::KILL, None);
            }
            children.len()
        };
        if let Some(killing) = &mut self.killing {
            (killing.found, killing.reaped) = (found, 0);
        }
    }

    #[cold]
    #[inline(never)]
    fn kill_descendants(&mut self, now: Instant) {
        let mut results = Vec::new();
        let mut known = HashSet::from([self.myself]);
        let mut others = Vec::new();
        // Each as soon as it is found: hundreds that keep the processors busy let sexton get on only slowly.
        for pid in process_tree::pids().into_iter().flatten() {
            // Before it is looked at: so what is seen is this one's, or this one is gone and gets nothing.
            let handle = signals::Handle::open(pid);
            let Some(process) = Process::look_up(pid) else { continue };
            if self.not_the_programs.contains_process(&process) {
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
        // One that is gone may have left a child.
        let all_refused = !results.is_empty() && results.iter().all(|result| *result == Err(Errno::EPERM));
        // Those that were found have died or not, but new ones may be there.
        self.kill_children();
        let took = now.elapsed();
        if let Some(killing) = &mut self.killing {
            killing.all_refused = all_refused;
            // PID 1 knows now that not all refuse, and has nobody else to look for.
            let pause = if is_init(self.myself) { LOOK_AS_INIT * 10 } else { LOOK_AGAIN };
            killing.next_look_at_all = now + took + pause.max(took * PAUSE_AFTER_LOOK);
        }
    }

    fn is_proc_ours(&self) -> bool {
        *self.is_proc_ours.get_or_init(process_tree::is_proc_ours)
    }

    /// Where nothing tells who they are, there is the program.
    fn children(&self) -> Vec<Pid> {
        if !self.is_proc_ours() {
            return self.program.into_iter().collect();
        }
        let mut children = process_tree::own_children();
        if !self.not_the_programs.is_empty() {
            let is_stranger = |process: Process| self.not_the_programs.contains_process(&process);
            children.retain(|child| !Process::look_up(*child).is_some_and(is_stranger));
        }
        children
    }

    /// Says who is still there although it was asked to end.
    #[cold]
    #[inline(never)]
    pub fn tell_of_stubborn_leftovers(&self) {
        warn!("sending SIGKILL to {}", list(&self.names()));
    }

    /// Says who could not be ended.
    #[cold]
    #[inline(never)]
    pub fn tell_of_survivors(&self) {
        warn!("cannot end {}; leaving", list(&self.names()));
    }

    fn names(&self) -> Vec<String> {
        self.children().into_iter().map(|child| Named::look_up(child).to_string()).collect()
    }
}

/// Processes are told apart by PID and start.
trait ContainsProcess {
    fn contains_process(&self, process: &Process) -> bool;
}

impl ContainsProcess for Vec<Process> {
    fn contains_process(&self, process: &Process) -> bool {
        self.iter().any(|one| (one.pid, one.started) == (process.pid, process.started))
    }
}

fn is_init(pid: Pid) -> bool {
    pid.as_raw() == 1
}

fn list(names: &[String]) -> String {
    match names.len() {
        0 => "what is left".to_owned(),
        1..=NAMED_AT_MOST => names.join(", "),
        count => format!("{} and {} more", names[..NAMED_AT_MOST].join(", "), count - NAMED_AT_MOST),
    }
}
