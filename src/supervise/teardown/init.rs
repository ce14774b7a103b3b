//! As PID 1: `kill(-1, …)`. The kernel walks all processes of the namespace with its list locked, and a process that
//! is sent SIGKILL can no longer fork, so one call leaves none behind.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::Teardown;
use crate::process_tree::{self, Process};
use crate::signal::Signal;
use crate::sys::signals;

/// How long nothing must have died before sexton looks whether any process may be signalled: kill(2) says of -1 that it
/// has succeeded where it has signalled none (`kill_something_info` in the kernel).
const LOOK: Duration = Duration::from_millis(300);

/// PID 1's strategy.
#[derive(Debug, Default)]
pub struct Init {
    next_look: Option<Instant>,
    /// Whether a process has died since the last look.
    is_dying: bool,
    is_refused: bool,
}

impl Teardown for Init {
    fn descendants(&self) -> Vec<Process> {
        process_tree::descendants(nix::unistd::getpid(), |_| false)
    }

    /// Nothing outlives PID 1, so it makes no difference what was there before.
    fn only_strangers_are_left(&self, _: Option<Pid>) -> bool {
        false
    }

    fn signal_all(&self, signal: Signal, _: Option<Pid>) -> Result<(), Errno> {
        signals::send_to_namespace(signal)
    }

    fn terminate(&self) -> Result<(), Errno> {
        [Signal::TERM, Signal::CONT].into_iter().try_for_each(signals::send_to_namespace)
    }

    fn kill(&mut self, _: Option<Pid>, now: Instant) {
        let _ = signals::send_to_namespace(Signal::KILL);
        self.next_look = Some(now + LOOK);
    }

    fn go_on(&mut self, reaped: usize, _: Option<Pid>, now: Instant) {
        self.is_dying |= reaped > 0;
        if self.next_look.is_none_or(|next| next > now) {
            return;
        }
        self.next_look = Some(now + LOOK);
        // As long as they die there is nothing to look for.
        if !std::mem::take(&mut self.is_dying) {
            // One that refuses may have started others that do not.
            let _ = signals::send_to_namespace(Signal::KILL);
            // Everything in the namespace is to end: a PID that is another process's by now is no mistake.
            let refuses =
                |process: &Process| signals::send(process.pid, Signal::KILL, None) == Err(Errno::EPERM);
            let left = self.descendants();
            self.is_refused = !left.is_empty() && left.iter().all(refuses);
        }
    }

    fn next_look(&self) -> Option<Instant> {
        self.next_look
    }

    fn is_refused_by_all(&self) -> bool {
        self.is_refused
    }

    fn left(&self, program: Option<Pid>) -> Vec<Pid> {
        match process_tree::is_proc_ours() {
            true => process_tree::own_children(),
            false => program.into_iter().collect(),
        }
    }
}
