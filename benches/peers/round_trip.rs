//! The round trip of a signal: sent to the init, passed on, answered by the program.

use std::io;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};

use crate::results::Column;
use crate::running::Running;
use crate::statistics::median;
use crate::{Bench, microseconds_since};

/// How many signals are sent before the next candidate's turn.
const BLOCK: usize = 100;

/// One candidate at a time: one that polls would disturb the others.
pub fn measure(bench: &Bench) -> Vec<Column> {
    let program = bench.program(&["answer"]);
    let mut times = vec![Vec::new(); bench.candidates.len()];
    for _ in 0..bench.rounds(20) {
        for (candidate, times) in bench.candidates.iter().zip(&mut times) {
            // The C floor passes nothing on, and the signal would kill it.
            let passes_on = candidate.command.is_empty() || candidate.is_init();
            if passes_on && let Ok(block) = bench.start(candidate, &program).and_then(block) {
                times.extend(block);
            }
        }
    }
    vec![Column::new("Signal", "us round trip", 1, times.into_iter().map(median).collect())]
}

fn block(mut running: Running) -> io::Result<Vec<f64>> {
    let mut times = Vec::with_capacity(BLOCK);
    for _ in 0..BLOCK {
        let begin = Instant::now();
        kill(running.pid(), Signal::SIGUSR1)?;
        running.hear()?;
        times.push(microseconds_since(begin));
    }
    running.end()?;
    Ok(times)
}
