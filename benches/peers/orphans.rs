//! Thousands of orphans: a storm of those that end at once, and those left behind at the end.

use std::io;
use std::time::Instant;

use crate::results::Column;
use crate::running::Running;
use crate::statistics::median;
use crate::{Bench, microseconds_since};

/// How many orphans a storm has.
const STORM: usize = 5000;
/// How many processes are left behind at the end.
const LEFTOVERS: usize = 1000;

/// The storm: time and processor time per orphan.
pub fn storm(bench: &Bench) -> Vec<Column> {
    let [time, cpu] = measure(bench, &["storm", &STORM.to_string()], |mut running| {
        let begin = (Instant::now(), running.cpu_time()?);
        running.say()?;
        running.hear()?;
        running.wait_for_orphans()?;
        let taken = [microseconds_since(begin.0), running.cpu_time()? - begin.1];
        running.end()?;
        Ok(taken.map(|taken| taken / STORM as f64))
    });
    vec![Column::new("Storm", "us per orphan", 1, time), Column::new("Reaping", "us CPU per orphan", 2, cpu)]
}

/// Teardown: from the program's end to the init's. Leftovers that the init does not end are ended by the kernel,
/// with the PID namespace.
pub fn teardown(bench: &Bench) -> Vec<Column> {
    let [time] = measure(bench, &["leftovers", &LEFTOVERS.to_string()], |mut running| {
        running.say()?;
        running.hear()?;
        let begin = Instant::now();
        running.end()?;
        Ok([microseconds_since(begin) / 1e3])
    });
    vec![Column::new("Teardown", "ms for 1,000", 1, time)]
}

fn measure<const N: usize>(
    bench: &Bench,
    program: &[&str],
    act: impl Fn(Running) -> io::Result<[f64; N]>,
) -> [Vec<Option<f64>>; N] {
    let program = bench.program(program);
    let mut taken = vec![Vec::new(); bench.candidates.len()];
    for _ in 0..bench.rounds(5) {
        for (candidate, taken) in bench.candidates.iter().zip(&mut taken) {
            if candidate.is_init()
                && let Ok(numbers) = bench.start(candidate, &program).and_then(&act)
            {
                taken.push(numbers);
            }
        }
    }
    std::array::from_fn(|index| {
        taken.iter().map(|rows: &Vec<[f64; N]>| median(rows.iter().map(|row| row[index]).collect())).collect()
    })
}
