//! What /proc tells of processes: which exist, and which descend from which.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::Pid;

/// More than `/proc/PID/stat` ever is: 51 numbers of up to 20 digits, and a name of up to 64 bytes.
const LONGEST_STAT: usize = 2048;

/// A map that needs no random numbers: they would be kept in thread-local storage, which a start touches, and keys that
/// are PIDs are no way to attack it.
pub type Map<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// A set of the same kind.
pub type Set<K> = HashSet<K, BuildHasherDefault<DefaultHasher>>;

/// How long a process's name can be (TASK_COMM_LEN in the kernel, with a NUL).
const LONGEST_NAME: usize = 15;

/// A process as `/proc/PID/stat` showed it (proc_pid_stat(5)). By the time that this is used, the PID may be another
/// process's, or nobody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its PID in the namespace that /proc was mounted for.
    pub pid: Pid,
    /// Its parent; 0 where that is in an outer PID namespace.
    pub parent: Pid,
    /// Its process group.
    pub group: Pid,
    /// Its session.
    pub session: Pid,
    /// Its name, which it or its file has chosen; to be shown through [`printable`].
    pub name: Vec<u8>,
    /// The letter of its main thread's state: R, S, D, Z, T, t, X, I.
    pub state: u8,
    /// How many threads it has. A dead process that is not reaped has one.
    pub threads: u32,
    /// When it was started, in clock ticks since boot. Together with the PID it identifies a process.
    pub started: u64,
}

impl Process {
    /// Looks at one process; `None` when it is gone, hidden, or there is no /proc.
    pub fn look_up(pid: Pid) -> Option<Process> {
        Process::look_up_with_owner(pid).ok().map(|(process, _)| process)
    }

    /// Looks at one process and its user: the owner of its entry in /proc, which is its effective user, or root where it
    /// may not be traced (proc(5)). The error is PermissionDenied where /proc is mounted hidepid=1, NotFound or ESRCH where
    /// the process is gone.
    pub fn look_up_with_owner(pid: Pid) -> io::Result<(Process, u32)> {
        let mut file = File::open(format!("/proc/{pid}/stat"))?;
        let mut line = [0; LONGEST_STAT];
        // The kernel gives the whole line to one read.
        let length = file.read(&mut line)?;
        let process = Process::parse(&line[..length]).ok_or(io::ErrorKind::InvalidData)?;
        Ok((process, file.metadata()?.uid()))
    }

    /// Whether the two are one process, and not two that have had the same PID.
    pub fn is_same_as(&self, other: &Process) -> bool {
        (self.pid, self.started) == (other.pid, other.started)
    }

    /// Whether it is dead and waits for its parent to reap it. (A process whose first thread has ended while others go on
    /// shows the same letter, and cannot be reaped yet.)
    pub fn is_zombie(&self) -> bool {
        self.state == b'Z' && self.threads <= 1
    }

    fn parse(stat: &[u8]) -> Option<Process> {
        // The name is in brackets and may contain brackets and blanks: the last bracket closes it.
        let open = stat.iter().position(|byte| *byte == b'(')?;
        let close = stat.iter().rposition(|byte| *byte == b')')?;
        let number = |field: &[u8]| std::str::from_utf8(field).ok()?.trim().parse::<u64>().ok();
        let pid = |field: &[u8]| number(field).and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        // From the man page's third field on.
        let mut fields = stat.get(close + 2..)?.split(|byte| *byte == b' ');
        Some(Process {
            pid: pid(stat.get(..open)?)?,
            name: stat.get(open + 1..close)?.to_vec(),
            state: *fields.next()?.first()?,
            parent: pid(fields.next()?)?,
            group: pid(fields.next()?)?,
            session: pid(fields.next()?)?,
            // Field 20; four of them are taken.
            threads: number(fields.nth(13)?).and_then(|threads| u32::try_from(threads).ok())?,
            // Field 22.
            started: number(fields.nth(1)?)?,
        })
    }
}

/// Every visible process of the PID namespace, in the order of the PIDs. An error means that there is no /proc to look
/// into; a process that vanishes meanwhile is left out.
pub fn all() -> io::Result<Vec<Process>> {
    Ok(pids()?.filter_map(Process::look_up).collect())
}

/// The PID of every visible process, in order. An error means that there is no /proc to look into.
pub fn pids() -> io::Result<impl Iterator<Item = Pid>> {
    Ok(pids_in(proc()?))
}

fn proc() -> io::Result<fs::ReadDir> {
    match whose_proc() {
        Proc::Ours => fs::read_dir("/proc"),
        Proc::Foreign => Err(io::ErrorKind::NotFound.into()),
        Proc::Missing(error) => Err(error),
    }
}

/// Which PID namespace's /proc there is.
#[derive(Debug)]
pub enum Proc {
    /// This PID namespace's.
    Ours,
    /// Another's. A new namespace has the outer one's until another is mounted (unshare(1) without --mount-proc); its PIDs
    /// are not those that kill(2) takes here.
    Foreign,
    /// None.
    Missing(io::Error),
}

/// Whether there is a /proc, and it is this PID namespace's.
pub fn is_proc_ours() -> bool {
    matches!(whose_proc(), Proc::Ours)
}

/// Whose /proc there is.
pub fn whose_proc() -> Proc {
    match fs::read_to_string("/proc/self/status") {
        Ok(status) if is_ours(&status, nix::unistd::getpid()) => Proc::Ours,
        Ok(_) => Proc::Foreign,
        // Every /proc has the link. In that of a namespace that this process is not in, it leads nowhere.
        Err(_) if fs::symlink_metadata("/proc/self").is_ok() => Proc::Foreign,
        Err(error) => Proc::Missing(error),
    }
}

/// Whether `/proc/self/status` has this PID, and no second one in a namespace below the one of that /proc
/// (proc_pid_status(5)).
fn is_ours(status: &str, myself: Pid) -> bool {
    let key = |key| status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    // A kernel without PID namespaces has no NSpid.
    key("NSpid:").or_else(|| key("Pid:")) == Some(myself.to_string().as_str())
}

fn pids_in(proc: fs::ReadDir) -> impl Iterator<Item = Pid> {
    proc.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).map(Pid::from_raw)
}

/// Every process below one, its children first, without zombies and without those that `leave_out` names and what is
/// below them. Empty where there is no /proc.
///
/// When a process's parent dies while /proc is read, the parent may be missing from the listing: then /proc is read again.
pub fn descendants(of: Pid, leave_out: impl Fn(&Process) -> bool) -> Vec<Process> {
    let mut found = below(of, &complete(|| all().unwrap_or_default()), leave_out);
    found.retain(|process| !process.is_zombie());
    found
}

/// The first listing in which every parent is there, or else the last of a few.
fn complete(mut list: impl FnMut() -> Vec<Process>) -> Vec<Process> {
    const ATTEMPTS: usize = 5;
    let mut listing = Vec::new();
    for _ in 0..ATTEMPTS {
        listing = list();
        let pids: Set<Pid> = listing.iter().map(|process| process.pid).collect();
        let is_complete = |process: &Process| process.parent.as_raw() == 0 || pids.contains(&process.parent);
        if listing.iter().all(is_complete) {
            break;
        }
    }
    listing
}

fn below(of: Pid, listing: &[Process], leave_out: impl Fn(&Process) -> bool) -> Vec<Process> {
    let mut children: Map<Pid, Vec<&Process>> = Map::default();
    for process in listing.iter().filter(|process| !leave_out(process)) {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found: Vec<Process> = Vec::new();
    let mut next = of;
    for index in 0.. {
        found.extend(children.remove(&next).into_iter().flatten().cloned());
        match found.get(index) {
            Some(process) => next = process.pid,
            None => break,
        }
    }
    found
}

/// Whether a process group is orphaned: no member has a parent that is in the same session and outside of the group, and
/// so could resume it (setpgid(2), NOTES).
pub fn is_orphaned(group: Pid) -> bool {
    let listing = all().unwrap_or_default();
    let by_pid: Map<Pid, &Process> = listing.iter().map(|process| (process.pid, process)).collect();
    let mut members = listing.iter().filter(|process| process.group == group && !process.is_zombie());
    !members.any(|member| {
        let parent = by_pid.get(&member.parent);
        parent.is_some_and(|parent| parent.session == member.session && parent.group != group)
    })
}

/// This process's own children, zombies among them. It must have one thread.
pub fn own_children() -> Vec<Pid> {
    let myself = nix::unistd::getpid();
    match fs::read_to_string(format!("/proc/self/task/{myself}/children")) {
        Ok(children) => {
            children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
        }
        // A kernel without CONFIG_PROC_CHILDREN.
        Err(_) => {
            let is_own = |process: &Process| process.parent == myself;
            all().unwrap_or_default().into_iter().filter(is_own).map(|process| process.pid).collect()
        }
    }
}

/// A process as it is shown: its PID and, where /proc has it, its name, as in `7 (nginx)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pid: Pid,
    name: Option<String>,
}

impl Named {
    /// Looks the name up now: it is gone with the process. In another namespace's /proc the PID is another process's.
    pub fn look_up(pid: Pid) -> Named {
        let name = if is_proc_ours() { fs::read(format!("/proc/{pid}/comm")).ok() } else { None };
        Named { pid, name: name.map(|name| printable(name.strip_suffix(b"\n").unwrap_or(&name))) }
    }

    /// A child that executes the file, and has this process's name until then (`begin_new_exec` in the kernel).
    pub fn look_up_started(pid: Pid, file: &OsStr) -> Named {
        let seen = Named::look_up(pid);
        if seen.name.is_none() || seen.name != Named::look_up(nix::unistd::getpid()).name {
            return seen;
        }
        let name = Path::new(file).file_name().unwrap_or(file).as_bytes();
        Named { pid, name: Some(printable(&name[..name.len().min(LONGEST_NAME)])) }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{} ({name})", self.pid),
            None => write!(f, "{}", self.pid),
        }
    }
}

/// Makes a name that a process has chosen safe to show: nothing in it may move the cursor, end the line, change the
/// direction of writing, or look like the brackets around it.
pub fn printable(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '"' | '\'' => shown.push(c),
            '(' | ')' => shown.extend(['\\', c]),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printable() {
        assert_eq!(printable(b"nginx"), "nginx");
        assert_eq!(printable(b"a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(printable("a) 7 (b\\ \u{202e}\u{e9}'\"".as_bytes()), "a\\) 7 \\(b\\\\ \\u{202e}\u{e9}'\"");
    }

    #[test]
    fn without_a_name_there_is_the_pid() {
        let named = Named { pid: Pid::from_raw(7), name: None };
        assert_eq!(named.to_string(), "7");
    }

    #[test]
    fn a_name_may_hold_anything() {
        let stat = b"12 (a) R 1 (b) S 3 4 5 0 -1 4194560 8 0 0 0 1 2 3 4 20 0 1 0 777 9 9\n";
        let process = Process::parse(stat).unwrap();
        assert_eq!(process.name, b"a) R 1 (b");
        assert_eq!((process.pid, process.parent), (Pid::from_raw(12), Pid::from_raw(3)));
        assert_eq!((process.state, process.threads, process.started), (b'S', 1, 777));
        assert_eq!(Process::parse(b"12 (a"), None);
        assert_eq!(Process::parse(b""), None);
    }

    #[test]
    fn a_process_without_its_main_thread_is_alive() {
        let process = |threads| {
            let stat = format!("12 (a) Z 3 4 5 0 -1 4194560 8 0 0 0 1 2 3 4 20 0 {threads} 0 777 9 9\n");
            Process::parse(stat.as_bytes()).unwrap()
        };
        assert!(process(1).is_zombie());
        assert!(!process(2).is_zombie());
    }

    fn process(pid: i32, parent: i32) -> Process {
        Process {
            pid: Pid::from_raw(pid),
            parent: Pid::from_raw(parent),
            group: Pid::from_raw(1),
            session: Pid::from_raw(1),
            name: Vec::new(),
            state: b'S',
            threads: 1,
            started: 0,
        }
    }

    #[test]
    fn a_listing_without_a_parent_is_not_taken() {
        let whole = [process(1, 0), process(7, 1), process(8, 7)];
        let without_parent = [process(1, 0), process(8, 7)];
        let mut listings = [&whole[..1], &without_parent, &whole].into_iter();
        assert_eq!(complete(|| listings.next().unwrap().to_vec()).len(), 1);
        assert_eq!(
            complete(|| listings.next().unwrap().to_vec()).len(),
            3,
            "8 is an orphan in the one before"
        );
        let mut count = 0;
        let never = complete(|| {
            count += 1;
            vec![process(8, 7)]
        });
        assert_eq!((never.len(), count), (1, 5));
    }

    #[test]
    fn descendants_are_found_at_any_depth_and_strangers_left_out() {
        let listing =
            [process(1, 0), process(5, 9), process(7, 1), process(8, 7), process(9, 8), process(10, 7)];
        let found = |stranger| -> Vec<i32> {
            let below = below(Pid::from_raw(7), &listing, |process| process.pid.as_raw() == stranger);
            below.iter().map(|process| process.pid.as_raw()).collect()
        };
        assert_eq!(found(0), [8, 10, 9, 5]);
        assert_eq!(found(8), [10]);
    }

    #[test]
    fn a_foreign_proc_is_known() {
        let myself = Pid::from_raw(7);
        assert!(is_ours("Name:\tx\nPid:\t7\nNSpid:\t7\n", myself));
        assert!(is_ours("Pid:\t7\n", myself));
        assert!(!is_ours("Pid:\t7\nNSpid:\t7\t7\n", myself));
        assert!(!is_ours("Pid:\t70\nNSpid:\t70\t7\n", myself));
        assert!(!is_ours("", myself));
    }

    #[test]
    fn this_process_is_there() {
        let myself = nix::unistd::getpid();
        let found = all().unwrap().into_iter().find(|process| process.pid == myself).unwrap();
        assert_eq!(Some(found.parent), Some(nix::unistd::getppid()));
        assert_eq!(Process::look_up(myself).map(|process| process.started), Some(found.started));
    }
}
