//! Start-up: the time that a candidate adds to a program that does nothing.

use std::io;
use std::time::Instant;

use crate::candidates::{Candidate, Role};
use crate::results::{Column, Noise};
use crate::running::command;
use crate::statistics::{Sample, median};
use crate::{Bench, microseconds_since};

/// Each candidate is started once per round, so that a disturbance of the machine affects all of them.
pub fn measure(bench: &Bench) -> io::Result<(Vec<Column>, Noise)> {
    let program = bench.program(&["noop"]);
    let mut times = vec![Vec::new(); bench.candidates.len()];
    for _ in 0..bench.rounds(1000) {
        for (candidate, times) in bench.candidates.iter().zip(&mut times) {
            // This is not measured as PID 1: making a PID namespace takes longer than everything that is measured.
            if candidate.only_as_pid_1 {
                continue;
            }
            times.push(start(candidate, &candidate.running(&program))?);
        }
    }
    let bare = bench.candidates.iter().position(|candidate| candidate.role == Role::Bare);
    let noise = noise(&times[bare.expect("there is no bare program")]);
    let medians = times.into_iter().map(median);
    let added = medians.map(|median| median.map(|median| median - noise.bare_start));
    Ok((vec![Column::new("Start", "us added", 0, added.collect())], noise))
}

fn start(candidate: &Candidate, words: &[std::ffi::OsString]) -> io::Result<f64> {
    let mut command = command(words);
    let begin = Instant::now();
    let status = command.status()?;
    let time = microseconds_since(begin);
    if status.success() { Ok(time) } else { Err(io::Error::other(format!("{}: {status}", candidate.name))) }
}

fn noise(bare: &[f64]) -> Noise {
    let (first, second) = bare.split_at(bare.len() / 2);
    let all = Sample::new(bare.to_vec()).expect("no round was run");
    let halves = [first, second].map(|half| median(half.to_vec()).unwrap_or(all.median()));
    Noise {
        bare_start: all.median(),
        spread: all.interquartile_range() / all.median(),
        drift: (halves[1] - halves[0]) / all.median(),
    }
}
