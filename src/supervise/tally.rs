//! Keeping count of what is done, for the outcome and the report.

use std::collections::BTreeMap;
use std::fs;

use nix::unistd::Pid;

use crate::outcome::{Leftover, LeftoverEnd, Tally};
use crate::process_tree::Process;
use crate::signal::Signal;
use crate::status::Ending;

/// Counts.
#[derive(Debug, Default)]
pub struct Tallying {
    tally: Tally,
    wants_leftovers: bool,
    /// Where in the tally a leftover is.
    places: BTreeMap<Pid, usize>,
}

impl Tallying {
    /// Notes leftovers only where somebody wants to know: it takes a look into /proc for each.
    pub fn new(wants_leftovers: bool) -> Tallying {
        Tallying { wants_leftovers, ..Tallying::default() }
    }

    /// Whether to call `note_leftovers`.
    pub fn wants_leftovers(&self) -> bool {
        self.wants_leftovers
    }

    /// A signal was sent on.
    pub fn forwarded(&mut self, signal: Signal) {
        *self.tally.forwarded.entry(signal).or_default() += 1;
    }

    /// An orphan was reaped.
    pub fn reaped(&mut self, pid: Pid, ending: Ending) {
        self.tally.orphans_reaped += 1;
        // Its PID is free from now on: the next to have it is another.
        if let Some(place) = self.places.remove(&pid) {
            self.tally.leftovers[place].end = LeftoverEnd::Reaped(ending);
        }
    }

    /// The program has ended, and these are alive.
    #[cold]
    #[inline(never)]
    pub fn note_leftovers(&mut self, leftovers: Vec<Process>) {
        for process in leftovers {
            self.places.insert(process.pid, self.tally.leftovers.len());
            self.tally.leftovers.push(Leftover {
                pid: process.pid.as_raw(),
                command_line: command_line(process.pid),
                name: process.name,
                state: process.state,
                end: LeftoverEnd::Unseen,
            });
        }
    }

    /// The whole.
    pub fn finish(mut self) -> Tally {
        for (pid, place) in self.places {
            if Process::look_up(pid).is_some_and(|process| !process.is_zombie()) {
                self.tally.leftovers[place].end = LeftoverEnd::Alive;
            }
        }
        self.tally
    }
}

/// The words of /proc/PID/cmdline; none for a process that wiped them out.
fn command_line(pid: Pid) -> Vec<Vec<u8>> {
    let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let Some(words) = cmdline.strip_suffix(b"\0") else { return Vec::new() };
    words.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}
