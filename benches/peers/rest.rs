//! An init that has nothing to do: its wake-ups, its memory, and its size as a file.

use std::fs;
use std::io;
use std::thread::sleep;
use std::time::Duration;

use nix::unistd::Pid;

use crate::Bench;
use crate::candidates::Candidate;
use crate::results::Column;
use crate::running::Running;

/// How long they are watched.
const WATCH: Duration = Duration::from_secs(5);
/// How long they may take to come to rest.
const SETTLE: Duration = Duration::from_millis(500);

/// All candidates at once: idle ones do not disturb one another.
pub fn measure(bench: &Bench) -> Vec<Column> {
    let program = bench.program(&["answer"]);
    let start = |candidate: &Candidate| {
        if candidate.is_init() { bench.start(candidate, &program).ok() } else { None }
    };
    let running: Vec<Option<Running>> = bench.candidates.iter().map(start).collect();
    let numbers = |read: fn(Pid) -> io::Result<f64>| -> Vec<Option<f64>> {
        running.iter().map(|running| read(running.as_ref()?.pid()).ok()).collect()
    };
    sleep(SETTLE);
    let before = numbers(context_switches);
    sleep(WATCH);
    let after = numbers(context_switches);
    let switches = before.iter().zip(&after).map(|(before, after)| Some((*after)? - (*before)?));
    let sizes = bench.candidates.iter().map(|candidate| {
        let file = fs::metadata(candidate.executable()?).ok()?;
        Some(file.len() as f64)
    });
    vec![
        Column::new("Idle", "wake-ups in 5 s", 0, switches.collect()),
        Column::new("Pss", "KiB", 0, numbers(|pid| field(pid, "smaps_rollup", "Pss:"))),
        Column::new("Anonymous", "KiB", 0, numbers(|pid| field(pid, "smaps_rollup", "Anonymous:"))),
        Column::new("File", "bytes", 0, sizes.collect()),
    ]
}

fn context_switches(pid: Pid) -> io::Result<f64> {
    let voluntary = field(pid, "status", "voluntary_ctxt_switches:")?;
    Ok(voluntary + field(pid, "status", "nonvoluntary_ctxt_switches:")?)
}

/// A number from one of a process's files in /proc.
fn field(pid: Pid, file: &str, name: &str) -> io::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}"))?;
    let value =
        text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    value.ok_or_else(|| io::Error::other(format!("{file} has no {name}")))
}
