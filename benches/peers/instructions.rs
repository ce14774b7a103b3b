//! The instructions of a start, counted by valgrind. Unlike time, they are the same in every run.

use std::process::{Command, Stdio};

use crate::Bench;
use crate::candidates::Candidate;
use crate::results::Column;

/// No column if valgrind is missing.
pub fn measure(bench: &Bench) -> Vec<Column> {
    let counts: Vec<_> = bench.candidates.iter().map(|candidate| count(bench, candidate)).collect();
    if counts.iter().all(Option::is_none) {
        return Vec::new();
    }
    vec![Column::new("Instructions", "of a start, in thousands", 0, counts)]
}

/// Counts the init's instructions, not those of the program that it starts.
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
    // The child is counted too, up to its exec, and reports first; so the last line is the init's.
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().rev().find(|line| line.contains("Collected : "))?;
    let count: f64 = line.rsplit(' ').next()?.parse().ok()?;
    Some(count / 1e3)
}
