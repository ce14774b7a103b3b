//! How near the limits on the number of processes are. They count tasks, so threads too.

use std::fs;
use std::path::{Path, PathBuf};

use super::order::places_by;
use super::sample::{Sample, Seen};
use crate::mounts::{self, Mount};

/// How much of a limit is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// How many tasks there are.
    pub used: u64,
    /// How many there may be; `None` for no limit.
    pub limit: Option<u64>,
}

impl Usage {
    /// Whether four fifths are in use.
    pub fn is_near(self) -> bool {
        self.limit.is_some_and(|limit| self.used.saturating_mul(5) >= limit.saturating_mul(4))
    }
}

#[derive(Debug)]
pub struct Limits {
    /// Of this process's cgroup and those above it the one with the least room; the innermost where none has a limit.
    /// `None` where there is no pids controller.
    pub cgroup: Option<Cgroup>,
    /// The users whose processes were seen.
    pub users: Vec<User>,
    /// `kernel.pid_max`, and the tasks that were seen.
    pub pid_max: Option<Usage>,
}

/// A cgroup with the pids controller.
#[derive(Debug, PartialEq, Eq)]
pub struct Cgroup {
    pub directory: PathBuf,
    /// `pids.current` and `pids.max`.
    pub usage: Usage,
    /// How many forks failed for the limit, if the kernel tells (`pids.events`).
    pub refused: Option<u64>,
}

/// A user and the limit that `ulimit -u` shows (RLIMIT_NPROC, getrlimit(2)).
#[derive(Debug, PartialEq, Eq)]
pub struct User {
    pub id: u32,
    /// The user's tasks that were seen, and the limit of its oldest process. (The kernel counts those in other PID
    /// namespaces, too.)
    pub usage: Usage,
}

impl Limits {
    pub fn read(sample: &Sample) -> Limits {
        let pid_max = read_number(Path::new("/proc/sys/kernel/pid_max"));
        let usage = |limit| Usage { used: tasks(&sample.seen), limit: Some(limit) };
        Limits { cgroup: cgroup(), users: users(sample), pid_max: pid_max.map(usage) }
    }

    pub fn is_near(&self) -> bool {
        let cgroup = self.cgroup.iter().map(|cgroup| cgroup.usage);
        cgroup.chain(self.users.iter().map(|user| user.usage)).chain(self.pid_max).any(Usage::is_near)
    }
}

fn tasks<'a>(seen: impl IntoIterator<Item = &'a Seen>) -> u64 {
    seen.into_iter().map(|seen| u64::from(seen.process.threads.max(1))).sum()
}

fn cgroup() -> Option<Cgroup> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = mounts::all();
    let own = membership.lines().filter_map(|line| directory(line, &mounts));
    let with_those_above = own.flat_map(|(mount, directory)| {
        let above = directory.ancestors().take_while(|above| above.starts_with(&mount));
        above.filter_map(read).collect::<Vec<_>>()
    });
    let room = |usage: Usage| usage.limit.map_or(u64::MAX, |limit| limit.saturating_sub(usage.used));
    // The first of several without a limit.
    with_those_above.min_by_key(|group| room(group.usage))
}

/// The mount and the directory of the cgroup that a line of /proc/PID/cgroup is about (cgroups(7)):
/// `HIERARCHY:CONTROLLERS:PATH`, with 0 and no controllers for v2.
fn directory(line: &str, mounts: &[Mount]) -> Option<(PathBuf, PathBuf)> {
    let mut fields = line.splitn(3, ':');
    let (hierarchy, controllers, path) = (fields.next()?, fields.next()?, Path::new(fields.next()?));
    let has_pids = |list: &str| list.split(',').any(|controller| controller == "pids");
    let is_mine = |mount: &&Mount| match hierarchy {
        "0" => mount.kind == "cgroup2",
        _ => mount.kind == "cgroup" && has_pids(controllers) && has_pids(&mount.options),
    };
    let mount = mounts.iter().rfind(is_mine)?;
    // In a container the mount may be the cgroup itself, and the path lead there from outside.
    let below = path.strip_prefix(&mount.root).ok().filter(|below| !below.starts_with(".."));
    let directory = below
        .map(|below| mount.point.join(below).components().collect::<PathBuf>())
        .filter(|directory| directory.is_dir());
    Some((mount.point.clone(), directory.unwrap_or_else(|| mount.point.clone())))
}

fn read(directory: &Path) -> Option<Cgroup> {
    let used = read_number(&directory.join("pids.current"))?;
    // The word "max" means no limit.
    let limit = read_number(&directory.join("pids.max"));
    let events = fs::read_to_string(directory.join("pids.events")).ok();
    let refused =
        events.and_then(|events| events.lines().find_map(|line| line.strip_prefix("max ")?.parse().ok()));
    Some(Cgroup { directory: directory.to_owned(), usage: Usage { used, limit }, refused })
}

fn read_number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn users(sample: &Sample) -> Vec<User> {
    let key = |place: usize| [sample.seen[place].owner.into(), sample.seen[place].process.started];
    let by_owner = places_by(sample.seen.len(), key);
    let seen: Vec<&Seen> = by_owner.into_iter().map(|place| &sample.seen[place]).collect();
    let of_one_user = seen.chunk_by(|one, other| one.owner == other.owner);
    let user = |seen: &[&Seen]| {
        let id = seen.first()?.owner;
        // The oldest may be dead by now.
        let limit = || seen.iter().take(3).find_map(|seen| process_limit(seen));
        let limit = if is_exempt(id) { None } else { limit() };
        Some(User { id, usage: Usage { used: tasks(seen.iter().copied()), limit } })
    };
    of_one_user.filter_map(user).collect()
}

/// Root of the outermost user namespace has no limit (copy_process in kernel/fork.c).
fn is_exempt(user: u32) -> bool {
    let map = || fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    user == 0 && map().split_whitespace().eq(["0", "0", "4294967295"])
}

fn process_limit(seen: &Seen) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{}/limits", seen.process.pid)).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max processes"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(root: &str, point: &str, kind: &str, options: &str) -> Mount {
        let [root, point] = [root, point].map(PathBuf::from);
        Mount { id: 1, root, point, kind: kind.to_owned(), options: options.to_owned() }
    }

    fn found(line: &str, mount: Mount) -> Option<String> {
        directory(line, &[mount]).map(|(_, directory)| directory.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_cgroup_is_found_in_both_versions() {
        // Directories that exist take the cgroups' place.
        assert_eq!(found("0::/bin", mount("/", "/usr", "cgroup2", "rw")).as_deref(), Some("/usr/bin"));
        assert_eq!(
            found("3:cpu,pids:/bin", mount("/", "/usr", "cgroup", "rw,pids")).as_deref(),
            Some("/usr/bin")
        );
        assert_eq!(found("3:cpu:/bin", mount("/", "/usr", "cgroup", "rw,pids")), None);
        assert_eq!(found("3:pids:/bin", mount("/", "/usr", "cgroup", "rw,cpu")), None);
        assert_eq!(found("0::/bin", mount("/", "/usr", "cgroup", "rw,pids")), None);
    }

    #[test]
    fn the_cgroup_is_found_from_within_a_container() {
        let id = "0::/docker/0123/bin";
        assert_eq!(found(id, mount("/docker/0123", "/usr", "cgroup2", "rw")).as_deref(), Some("/usr/bin"));
        let itself = found("0::/docker/0123", mount("/docker/0123", "/usr", "cgroup2", "rw"));
        assert_eq!(itself.as_deref(), Some("/usr"));
        assert_eq!(found("0::/", mount("/", "/usr", "cgroup2", "rw")).as_deref(), Some("/usr"));
        assert_eq!(found("0::/../other", mount("/", "/usr", "cgroup2", "rw")).as_deref(), Some("/usr"));
        assert_eq!(found("0::/docker/0123", mount("/", "/usr", "cgroup2", "rw")).as_deref(), Some("/usr"));
    }

    #[test]
    fn four_fifths_are_near() {
        assert!(!Usage { used: 79, limit: Some(100) }.is_near());
        assert!(Usage { used: 80, limit: Some(100) }.is_near());
        assert!(Usage { used: 0, limit: Some(0) }.is_near());
        assert!(!Usage { used: u64::MAX, limit: None }.is_near());
    }
}
