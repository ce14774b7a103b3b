//! Which process descends from which, and which were adopted.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use nix::unistd::Pid;

use super::order::places_by;
use super::sample::{Sample, Seen};
use crate::process_tree::Process;

/// A process in the tree.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    pub seen: &'a Seen,
    /// How many ancestors it has that were seen.
    pub depth: usize,
    /// A word for programs on how it is known that its parent did not make it; the word does not change. `None` is no
    /// denial: an orphan in its adopter's session shows nothing.
    pub adopted: Option<&'static str>,
}

/// All processes, each after its parent, siblings in the order of their start. Those whose parent was not seen are at
/// depth 0.
pub fn order(sample: &Sample) -> Vec<Node<'_>> {
    let program = if is_sexton(INIT) { program_of_init(sample) } else { None };
    let parents: Vec<Option<usize>> =
        sample.seen.iter().map(|seen| sample.place(seen.process.parent)).collect();
    // This puts the children of one parent side by side, and those without a parent first.
    let of_parent = |place: usize| parents[place].map_or(0, |parent| parent as u64 + 1);
    let key = |place: usize| [of_parent(place), sample.seen[place].process.started];
    let places = places_by(sample.seen.len(), key);
    let children = |parent: Option<usize>| {
        let first = places.partition_point(|place| parents[*place] < parent);
        let last = places.partition_point(|place| parents[*place] <= parent);
        &places[first..last]
    };
    let mut order = Vec::with_capacity(places.len());
    let mut is_placed = vec![false; places.len()];
    let mut roots = children(None).to_vec();
    // The processes were not seen all at one moment, so parents may form a circle. It has no root, and any will do.
    roots.extend(&places);
    for root in roots {
        let mut ahead = vec![(root, 0)];
        while let Some((place, depth)) = ahead.pop() {
            if std::mem::replace(&mut is_placed[place], true) {
                continue;
            }
            let seen = &sample.seen[place];
            order.push(Node { seen, depth, adopted: adopted(&seen.process, sample, program) });
            ahead.extend(children(Some(place)).iter().rev().map(|child| (*child, depth + 1)));
        }
    }
    order
}

/// The init of a PID namespace.
pub const INIT: Pid = Pid::from_raw(1);

/// sexton's first child is its program, and sexton ends when that does.
fn program_of_init(sample: &Sample) -> Option<Pid> {
    let children = sample.seen.iter().map(|seen| &seen.process).filter(|process| process.parent == INIT);
    children.min_by_key(|child| (child.started, child.pid)).map(|child| child.pid)
}

fn adopted(process: &Process, sample: &Sample, program_of_init: Option<Pid>) -> Option<&'static str> {
    let parent = sample.find(process.parent)?;
    if is_of_a_foreign_session(process, parent, sample.find(process.session)) {
        return Some("session");
    }
    // sexton makes only the program.
    let program = program_of_init.filter(|_| process.parent == INIT)?;
    (program != process.pid).then_some("not_the_program")
}

/// Whether a process is in a session that its parent was never in; then another process there made it.
///
/// A process starts in its maker's session and leaves it only to lead a new one (setsid(2)). So a process that leads
/// none is where it started, and so is a parent that leads none. A parent that leads one may have been elsewhere
/// before, but never in a session that began after itself; and all sessions began after PID 1.
fn is_of_a_foreign_session(process: &Process, parent: &Process, leader: Option<&Process>) -> bool {
    let leads = |process: &Process| process.session == process.pid;
    // Session 0 is led from an outer PID namespace.
    let is_elsewhere = process.session != parent.session && process.session.as_raw() != 0;
    let began_after_the_parent = leader.is_some_and(|leader| leader.started > parent.started);
    !leads(process) && is_elsewhere && (!leads(parent) || parent.pid == INIT || began_after_the_parent)
}

/// Whether the process runs the same file as this one.
pub fn is_sexton(pid: Pid) -> bool {
    let file = |link: &str| fs::metadata(link).ok().map(|file| (file.dev(), file.ino()));
    let own = file("/proc/self/exe");
    own.is_some() && own == file(&format!("/proc/{pid}/exe"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, session: i32, started: u64) -> Process {
        let [pid, parent, session] = [pid, parent, session].map(Pid::from_raw);
        Process { pid, parent, group: session, session, name: Vec::new(), state: b'S', threads: 1, started }
    }

    fn sample(processes: impl IntoIterator<Item = Process>) -> Sample {
        let seen = |process| Seen { process, owner: 0, lasting: false };
        Sample { seen: processes.into_iter().map(seen).collect(), unseen: None }
    }

    fn drawn(sample: &Sample) -> Vec<(i32, usize)> {
        let pid = |node: Node<'_>| (node.seen.process.pid.as_raw(), node.depth);
        order(sample).into_iter().map(pid).collect()
    }

    #[test]
    fn each_stands_after_its_parent_and_siblings_by_their_start() {
        let sample = sample([
            process(1, 0, 1, 0),
            process(2, 9, 1, 30),
            process(8, 1, 1, 20),
            process(9, 1, 1, 10),
            process(11, 0, 11, 5),
        ]);
        assert_eq!(drawn(&sample), [(1, 0), (9, 1), (2, 2), (8, 1), (11, 0)]);
    }

    #[test]
    fn nobody_is_left_out_of_a_circle() {
        let sample = sample([process(5, 6, 1, 0), process(6, 5, 1, 1), process(7, 7, 1, 2)]);
        let mut pids: Vec<i32> = drawn(&sample).into_iter().map(|(pid, _)| pid).collect();
        pids.sort_unstable();
        assert_eq!(pids, [5, 6, 7]);
    }

    #[test]
    fn a_deep_tree_is_no_danger() {
        let sample = sample((1..=100_000).map(|pid| process(pid, pid - 1, 1, 0)));
        assert_eq!(drawn(&sample).last(), Some(&(100_000, 99_999)));
    }

    #[test]
    fn adoption_is_told_where_it_is_certain() {
        let is_adopted = |child: Process, parent: Process, leader: Option<Process>| {
            is_of_a_foreign_session(&child, &parent, leader.as_ref())
        };
        let init = || process(1, 0, 1, 0);
        // A daemon's double fork: its session's leader is gone.
        assert!(is_adopted(process(9, 1, 8, 5), init(), None));
        assert!(is_adopted(process(9, 5, 8, 5), process(5, 1, 1, 3), None));
        // Born there, led elsewhere since, or both in one session.
        assert!(!is_adopted(process(9, 1, 1, 5), init(), None));
        assert!(!is_adopted(process(9, 1, 9, 5), init(), None));
        // The parent may have made it before it became a leader...
        assert!(!is_adopted(process(9, 5, 8, 5), process(5, 1, 5, 3), None));
        assert!(!is_adopted(process(9, 5, 8, 5), process(5, 1, 5, 3), Some(process(8, 1, 8, 2))));
        // ... but not in a session younger than itself.
        assert!(is_adopted(process(9, 5, 8, 5), process(5, 1, 5, 3), Some(process(8, 1, 8, 4))));
        // A session that is led from outside says nothing.
        assert!(!is_adopted(process(9, 1, 0, 5), init(), None));
    }
}
