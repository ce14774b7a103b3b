//! Instructions of a start, counted by valgrind: unlike time, the same on every run.

use std::process::{Command, Stdio};

use crate::Bench;
use crate::candidates::Candidate;
use crate::results::Column;

/// No column where there is no valgrind.
pub fn measure(bench: &Bench) -> Vec<Column> {
    let counts: Vec<_> = bench.candidates.iter().map(|candidate| count(bench, candidate)).collect();
    if counts.iter().all(Option::is_none) {
        return Vec::new();
    }
    vec![Column::new("Instructions", "of a start, in thousands", 0, counts)]
}

/// Of the init itself, not of the program that it starts.
fn count(bench: &Bench, candidate: &Candidate) -> Option<f64> {
    if candidate.command.is_empty() {
        return None;
    }
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--trace-children=no"])
        .args(candidate.running(&bench.program(&["noop"])))
        .stdin(Stdio::null())
        .output()
        .ok()?;
    // The child counts too, up to its exec, and is the first to tell.
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().rev().find(|line| line.contains("Collected : "))?;
    let count: f64 = line.rsplit(' ').next()?.parse().ok()?;
    Some(count / 1e3)
}
