//! What /proc says about processes, as seen from the test.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::poll;

/// One line of /proc/PID/stat.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) name: String,
    pub(crate) state: char,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) session: i32,
    /// In clock ticks since boot. PID and start together identify a process.
    pub(crate) start: u64,
}

impl Process {
    pub(crate) fn find(pid: i32) -> Option<Process> {
        let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let text = String::from_utf8_lossy(&text);
        let (before, after) = text.rsplit_once(") ")?;
        let (_, name) = before.split_once(" (")?;
        let mut fields = after.split(' ');
        let state = fields.next()?.chars().next()?;
        let mut number = || fields.next()?.parse::<i32>().ok();
        let (parent, group, session) = (number()?, number()?, number()?);
        // Field 22; the last one read was field 6.
        let start = fields.nth(15)?.parse().ok()?;
        Some(Process { pid, name: name.to_owned(), state, parent, group, session, start })
    }

    pub(crate) fn is_zombie(&self) -> bool {
        self.state == 'Z'
    }
}

pub(crate) fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("cannot read /proc").flatten();
    entries.filter_map(|entry| Process::find(entry.file_name().to_str()?.parse().ok()?)).collect()
}

pub(crate) fn children(pid: i32) -> Vec<Process> {
    all().into_iter().filter(|process| process.parent == pid).collect()
}

/// The children of `pid` as the kernel lists them, oldest first; none when it has ended.
pub(crate) fn listed_children(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Everything below `pid`, nearest first, without `pid` itself.
pub(crate) fn descendants(pid: i32) -> Vec<Process> {
    let mut by_parent = BTreeMap::<i32, Vec<Process>>::new();
    for process in all() {
        by_parent.entry(process.parent).or_default().push(process);
    }
    let mut found: Vec<Process> = by_parent.remove(&pid).unwrap_or_default();
    let mut next = 0;
    while let Some(process) = found.get(next) {
        found.extend(by_parent.remove(&process.pid).unwrap_or_default());
        next += 1;
    }
    found
}

/// The same from the kernel's lists of children, without reading all of /proc. It may miss some while others end.
pub(crate) fn descendants_by_list(pid: i32) -> Vec<Process> {
    let children = |pid: i32| listed_children(pid).into_iter().filter_map(Process::find).collect::<Vec<_>>();
    let mut found = children(pid);
    let mut next = 0;
    while let Some(process) = found.get(next) {
        found.extend(children(process.pid));
        next += 1;
    }
    found
}

/// The process tree from `pid` on, for a failure message.
pub(crate) fn tree(pid: i32) -> String {
    let mut text = String::new();
    let mut depths = BTreeMap::from([(pid, 0)]);
    for process in Process::find(pid).into_iter().chain(descendants(pid)) {
        let depth = depths.get(&process.parent).map_or(0, |depth| depth + 1);
        depths.insert(process.pid, depth);
        let Process { pid, name, state, parent, group, session, .. } = process;
        let line = format!("{pid} {name} state {state} parent {parent} group {group} session {session}\n");
        text.push_str(&"  ".repeat(depth));
        text.push_str(&line);
    }
    text
}

/// The value of a key in /proc/PID/status.
pub(crate) fn status(pid: i32, key: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

/// The process group in the foreground of its terminal: field 8 of /proc/PID/stat.
pub(crate) fn foreground_group(pid: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = text.rsplit_once(") ")?;
    after.split(' ').nth(5)?.parse().ok()
}

/// The PID that the process has in its own PID namespace.
pub(crate) fn inner_pid(pid: i32) -> Option<i32> {
    status(pid, "NSpid")?.split_whitespace().last()?.parse().ok()
}

/// Its anonymous memory in KiB, counted by the kernel page by page. (Pages of its file come and go when memory is
/// short.)
pub(crate) fn anonymous_kib(pid: i32) -> Option<i64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Context switches so far, voluntary and involuntary, of all its threads.
pub(crate) fn context_switches(pid: i32) -> Option<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let mut sum = 0;
    for thread in threads {
        let text = fs::read_to_string(thread.path().join("status")).ok()?;
        let counts = text.lines().filter_map(|line| line.split_once("ctxt_switches:"));
        sum += counts.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum::<u64>();
    }
    Some(sum)
}

/// Waits until the start has settled: nothing has woken the process for 300 ms, and it is not waiting for a processor.
pub(crate) fn wait_until_idle(pid: i32) {
    let mut last = None;
    poll("the start has settled", || {
        let now = context_switches(pid);
        std::thread::sleep(Duration::from_millis(300));
        let sleeps = Process::find(pid).is_some_and(|process| process.state == 'S');
        (std::mem::replace(&mut last, now) == now && now.is_some() && sleeps).then_some(())
    });
}

/// Waits until it has done what it has to do at once. (Its state tells nothing: one that waits in the kernel for its
/// child's exec does not sleep.)
pub(crate) fn settle(pid: i32) {
    let mut last = None;
    poll("the process rests", || {
        let now = context_switches(pid);
        std::thread::sleep(Duration::from_millis(100));
        (std::mem::replace(&mut last, now) == now).then_some(())
    });
}

/// Number and target of every open descriptor.
pub(crate) fn descriptors(pid: i32) -> BTreeMap<i32, String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return BTreeMap::new() };
    let descriptor = |entry: fs::DirEntry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        let target = fs::read_link(entry.path()).ok()?;
        Some((number, target.to_string_lossy().into_owned()))
    };
    entries.flatten().filter_map(descriptor).collect()
}
