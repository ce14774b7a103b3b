//! Reaping, some children at a time, and keeping count of it.

use std::collections::BTreeMap;
use std::fs;

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::news::{News, Tell};
use crate::outcome::{Leftover, LeftoverEnd};
use crate::plan::{Group, Plan};
use crate::process_tree::{Named, Process};
use crate::session::Session;
use crate::status::{ChildStatus, Ending};
use crate::sys::process::{self, Waited};

/// How many children are reaped before signals are looked at again: a storm of orphans must not hold them up.
pub const BATCH: usize = 256;

/// Reaps children.
#[derive(Debug)]
pub struct Reaper {
    warn: bool,
    session: Option<Session>,
    tell: Tell,
    orphans_reaped: u64,
    leftovers: Vec<Leftover>,
    /// Where in `leftovers` one is that has not been reaped.
    places: BTreeMap<Pid, usize>,
}

/// What a batch brought.
#[derive(Debug, Default)]
pub struct Batch {
    /// The last change of the program's state, if there was one.
    pub program: Option<ChildStatus>,
    /// How many other children died.
    pub reaped: usize,
    /// Whether there may be more to reap.
    pub is_full: bool,
    /// Whether no child is left, dead or alive.
    pub is_childless: bool,
}

impl Reaper {
    /// For a run.
    pub fn new(plan: &Plan, tell: Tell) -> Reaper {
        let session = match plan.group {
            Group::Session(session) => Some(session),
            Group::Shared | Group::Own { .. } => None,
        };
        Reaper { warn: plan.config.warn_on_reap, session, ..Reaper::plain(tell) }
    }

    /// Without a program, or names.
    pub fn plain(tell: Tell) -> Reaper {
        Reaper {
            warn: false,
            session: None,
            tell,
            orphans_reaped: 0,
            leftovers: Vec::new(),
            places: BTreeMap::new(),
        }
    }

    /// Reaps a batch of children, without waiting for any. `program` tells the program from an orphan, until it is reaped.
    pub fn reap(&mut self, program: Option<Pid>) -> Batch {
        let mut batch = Batch::default();
        let mut program_now = program;
        for _ in 0..BATCH {
            let (waited, named) = self.wait(program_now);
            match waited {
                Waited::Child(pid, status) if Some(pid) == program_now => {
                    if let ChildStatus::Ended(_) = status {
                        program_now = None;
                    }
                    batch.program = Some(status);
                }
                Waited::Child(pid, ChildStatus::Ended(ending)) => {
                    batch.reaped += 1;
                    self.count(pid, ending);
                    (self.tell)(&News::Reaped { pid, named, ending });
                }
                Waited::Child(..) => {}
                Waited::Nothing => return batch,
                Waited::NoChildren => {
                    batch.is_childless = true;
                    return batch;
                }
            }
        }
        batch.is_full = true;
        batch
    }

    /// Takes the next child's change of state, and the name of a dead one where names are wanted.
    ///
    /// The name is gone when a child is reaped, and so is the last hold on its process group. So where either matters the
    /// child is looked at first, and then it is the one that is reaped, whatever has died meanwhile.
    fn wait(&mut self, program: Option<Pid>) -> (Waited, Option<Named>) {
        if !self.warn && self.session.is_none() {
            return (process::wait_for_child(None), None);
        }
        let dead = loop {
            match process::next_change() {
                Ok(Some((child, true))) => break child,
                // Its death may come at any moment, and must be looked at before it is reaped.
                Ok(Some((child, false))) => {
                    if let Some(status) = process::wait_for_stop(child) {
                        return (Waited::Child(child, status), None);
                    }
                }
                Ok(None) => return (Waited::Nothing, None),
                Err(Errno::ECHILD) => return (Waited::NoChildren, None),
                // A sandbox refuses waitid(2).
                Err(_) => return (process::wait_for_child(None), None),
            }
        };
        if Some(dead) == program
            && let Some(signal) = self.session.take().and_then(|session| session.part(dead))
        {
            (self.tell)(&News::Parted(signal));
        }
        let named = self.warn.then(|| Named::look_up(dead));
        (process::wait_for_child(Some(dead)), named)
    }

    fn count(&mut self, pid: Pid, ending: Ending) {
        self.orphans_reaped += 1;
        // Its PID is free from now on: the next to have it is another process.
        if let Some(place) = self.places.remove(&pid) {
            self.leftovers[place].end = LeftoverEnd::Reaped(ending);
        }
    }

    /// Takes note of the processes that are alive when the program has ended, to say later how each of them ended.
    #[cold]
    #[inline(never)]
    pub fn note_leftovers(&mut self, leftovers: Vec<Process>) {
        for process in leftovers {
            self.places.insert(process.pid, self.leftovers.len());
            self.leftovers.push(Leftover {
                pid: process.pid.as_raw(),
                command_line: command_line(process.pid),
                name: process.name,
                state: process.state,
                end: LeftoverEnd::Unseen,
            });
        }
    }

    /// How many orphans were reaped, and what became of the leftovers.
    pub fn finish(mut self) -> (u64, Vec<Leftover>) {
        for (pid, place) in self.places {
            if Process::look_up(pid).is_some_and(|process| !process.is_zombie()) {
                self.leftovers[place].end = LeftoverEnd::Alive;
            }
        }
        (self.orphans_reaped, self.leftovers)
    }
}

/// The words of /proc/PID/cmdline; none for a process that wiped them out.
fn command_line(pid: Pid) -> Vec<Vec<u8>> {
    let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let Some(words) = cmdline.strip_suffix(b"\0") else { return Vec::new() };
    words.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}
