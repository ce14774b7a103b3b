//! Which processes there are. Suspect ones are looked at twice, so that what is passing is not reported.

use std::io;

use nix::unistd::Pid;

use super::order::{of_pid, places_by};
use super::tree::INIT;
use crate::mounts;
use crate::process_tree::{self, Proc, Process};

#[derive(Clone, Debug)]
pub struct Seen {
    pub process: Process,
    /// The user that it belongs to.
    pub owner: u32,
    /// Whether it was the same process in the same state twice. Only zombies and uninterruptible processes are looked
    /// at twice.
    pub lasting: bool,
}

#[derive(Debug)]
pub struct Sample {
    /// They are in the order of their PIDs.
    pub seen: Vec<Seen>,
    /// What could not be seen, as a sentence.
    pub unseen: Option<String>,
}

impl Sample {
    /// Looks at all processes; calls `between` and looks again where some may be in trouble. The error says why nothing
    /// can be seen at all.
    pub fn take(between: impl FnOnce()) -> Result<Sample, String> {
        let no_proc = |error| format!("/proc cannot be read ({error}); mount it: mount -t proc proc /proc");
        match process_tree::whose_proc() {
            Proc::Ours => {}
            Proc::Foreign => return Err(
                "/proc shows another PID namespace than this one; mount this one's: mount -t proc proc /proc"
                    .to_owned(),
            ),
            Proc::Missing(error) => return Err(no_proc(error)),
        }
        let pids: Vec<Pid> = process_tree::pids().map_err(no_proc)?.collect();
        let mut sample = Sample::of(&pids, between);
        // It exists in every PID namespace, so others may be hidden too (`hidepid=2`).
        if sample.unseen.is_none() && sample.find(INIT).is_none() {
            sample.unseen = Some(unseen("PID 1 is hidden, and so may others be"));
        }
        Ok(sample)
    }

    fn of(pids: &[Pid], between: impl FnOnce()) -> Sample {
        let mut seen = Vec::with_capacity(pids.len());
        let mut closed = 0;
        for place in places_by(pids.len(), |place| [of_pid(pids[place]), 0]) {
            match Process::look_up_with_owner(pids[place]) {
                Ok((process, owner)) => seen.push(Seen { process, owner, lasting: false }),
                // It is listed but may not be looked at (`hidepid=1`).
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => closed += 1,
                // It is gone.
                Err(_) => {}
            }
        }
        if seen.iter().any(Seen::is_suspect) {
            between();
            seen.retain_mut(|seen| !seen.is_suspect() || seen.look_again());
        }
        let unseen = match closed {
            0 => None,
            1 => Some(unseen("1 process may not be looked at")),
            _ => Some(unseen(&format!("{closed} processes may not be looked at"))),
        };
        Sample { seen, unseen }
    }

    /// The process with this PID.
    pub fn find(&self, pid: Pid) -> Option<&Process> {
        self.place(pid).map(|place| &self.seen[place].process)
    }

    /// Its place in the list.
    pub fn place(&self, pid: Pid) -> Option<usize> {
        self.seen.binary_search_by_key(&pid, |seen| seen.process.pid).ok()
    }
}

impl Seen {
    fn is_suspect(&self) -> bool {
        self.process.is_zombie() || self.process.state == b'D'
    }

    /// Looks at it again; false when it is gone. Its PID may belong to another process by now, but no other was also
    /// started at the same time.
    fn look_again(&mut self) -> bool {
        let now = Process::look_up(self.process.pid).filter(|now| now.started == self.process.started);
        let Some(now) = now else { return false };
        self.lasting = now.state == self.process.state;
        // It may have another parent by now.
        self.process = now;
        true
    }
}

/// Says what is unseen, and by which mount option /proc hides it (proc(5)).
fn unseen(what: &str) -> String {
    let proc = mounts::all().into_iter().rfind(|mount| mount.point.as_os_str() == "/proc");
    let options = proc.map(|proc| proc.options).unwrap_or_default();
    let option = options.split(',').find(|option| option.starts_with("hidepid="));
    let why = option.map(|option| format!(" (/proc is mounted with {option})")).unwrap_or_default();
    format!("{what}{why}: look as root")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Child, Command};
    use std::sync::atomic::Ordering::Relaxed;
    use std::sync::atomic::{AtomicBool, AtomicU32};
    use std::sync::{Arc, mpsc};
    use std::thread::{self, JoinHandle};

    use super::*;

    /// Children that end at once, and are waited for at once: there is always some zombie, and never for long.
    struct Churn {
        thread: i32,
        /// How often all of them were reaped.
        generation: Arc<AtomicU32>,
        stop: Arc<AtomicBool>,
        handle: Option<JoinHandle<()>>,
    }

    impl Churn {
        fn start() -> Churn {
            let (generation, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
            let (sender, receiver) = mpsc::channel();
            let (reaped, stopped) = (generation.clone(), stop.clone());
            let handle = thread::spawn(move || {
                sender.send(nix::unistd::gettid().as_raw()).unwrap();
                while !stopped.load(Relaxed) {
                    let child = || Command::new("/bin/true").spawn().unwrap();
                    let _ = [child(), child(), child()].map(|mut child| child.wait().unwrap());
                    reaped.fetch_add(1, Relaxed);
                }
            });
            Churn { thread: receiver.recv().unwrap(), generation, stop, handle: Some(handle) }
        }

        fn children(&self) -> Vec<Pid> {
            let list = fs::read_to_string(format!("/proc/self/task/{}/children", self.thread)).unwrap();
            list.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
        }

        /// Waits until every zombie of now has been reaped: with the rest of its generation.
        fn turn_over(&self) {
            let now = self.generation.load(Relaxed);
            while self.generation.load(Relaxed) == now {
                thread::yield_now();
            }
        }
    }

    impl Drop for Churn {
        fn drop(&mut self) {
            self.stop.store(true, Relaxed);
            self.handle.take().map(JoinHandle::join);
        }
    }

    /// A child that has ended.
    fn zombie() -> (Child, Pid) {
        let child = Command::new("/bin/true").spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        while !Process::look_up(pid).is_some_and(|process| process.is_zombie()) {
            thread::yield_now();
        }
        (child, pid)
    }

    fn reported(sample: &Sample) -> Vec<Pid> {
        let lasting = sample.seen.iter().filter(|seen| seen.lasting && seen.process.is_zombie());
        lasting.map(|zombie| zombie.process.pid).collect()
    }

    #[test]
    fn i2_a_zombie_in_passing_is_never_reported() {
        let (mut lasting, pid) = zombie();
        for _ in 0..1000 {
            let (mut passing, other) = zombie();
            let sample = Sample::of(&[pid, other], || {
                passing.wait().unwrap();
            });
            assert_eq!(reported(&sample), [pid], "the one that stays, and no other");
        }
        lasting.wait().unwrap();
    }

    /// The same without an order of events: they are looked at wherever they are in their short lives.
    #[test]
    fn i2_no_zombie_of_a_churn_is_reported() {
        let churn = Churn::start();
        let (mut lasting, pid) = zombie();
        for _ in 0..1000 {
            let mut pids = churn.children();
            pids.push(pid);
            let sample = Sample::of(&pids, || churn.turn_over());
            assert_eq!(reported(&sample), [pid], "the one that stays, and no other");
        }
        lasting.wait().unwrap();
    }

    #[test]
    fn another_process_with_the_same_pid_is_another() {
        let process = Process::look_up(nix::unistd::getpid()).unwrap();
        let seen = |process| Seen { process, owner: 0, lasting: false };
        assert!(seen(process.clone()).look_again());
        assert!(!seen(Process { started: process.started + 1, ..process }).look_again());
    }

    #[test]
    fn this_process_is_seen() {
        let sample = Sample::take(|| ()).unwrap();
        let myself = sample.place(nix::unistd::getpid()).unwrap();
        assert_eq!(sample.seen[myself].owner, nix::unistd::geteuid().as_raw());
        assert_eq!(sample.unseen, None);
    }
}
