//! Measures sexton and its peers on this machine, in one run.
//!
//! ```text
//! cargo bench                                   everything; some minutes
//! cargo bench -- --quick                        a tenth of it
//! cargo bench -- musl=path/to/another/sexton    with further builds of sexton, or links to it by another name
//! SEXTON_UNDER_TEST=path cargo bench            with another build in sexton's place
//! ```
//!
//! Peers are looked for in PATH and where `cargo install --root target/peers` puts them. The results are printed,
//! and saved in target/bench/ as JSON and as a chart.

mod candidates;
mod chart;
mod instructions;
mod orphans;
mod programs;
mod rest;
mod results;
mod round_trip;
mod running;
mod start;
mod statistics;

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::candidates::Candidate;
use crate::programs::Programs;
use crate::results::Machine;
use crate::running::{NewPidNamespace, Running};

/// What all measurements need.
struct Bench {
    candidates: Vec<Candidate>,
    programs: Programs,
    core: usize,
    /// Whether a PID namespace can be made, which takes root.
    as_pid_1: bool,
    quick: bool,
}

impl Bench {
    /// One of the programs to run.
    fn program(&self, arguments: &[&str]) -> Vec<OsString> {
        let path = self.programs.path.clone().into();
        [path].into_iter().chain(arguments.iter().map(OsString::from)).collect()
    }

    /// Starts a candidate with a program that answers. If possible, it is PID 1 of a new PID namespace: some inits
    /// adopt orphans only there.
    fn start(&self, candidate: &Candidate, program: &[OsString]) -> io::Result<Running> {
        let words = candidate.running(program);
        if !self.as_pid_1 {
            return Running::start(&words);
        }
        let _next = NewPidNamespace::new()?;
        Running::start(&[self.program(&["with-proc"]), words].concat())
    }

    /// The number of rounds: `whole`, or a tenth of it with `--quick`.
    fn rounds(&self, whole: usize) -> usize {
        if self.quick { whole.div_ceil(10) } else { whole }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (options, others): (Vec<_>, Vec<_>) =
        arguments.into_iter().partition(|argument| argument.starts_with('-'));
    let machine = Machine::here();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("cargo has no target directory")?;
    let directory = target.join("bench");
    let programs = Programs::build(&directory)?;
    let candidates = candidates::find(&programs, target, &others)?;
    let quick = options.iter().any(|option| option == "--quick");
    let bench = Bench { candidates, programs, core: pin()?, as_pid_1: NewPidNamespace::new().is_ok(), quick };

    let (mut columns, noise) = start::measure(&bench)?;
    columns.extend(round_trip::measure(&bench));
    columns.extend(orphans::storm(&bench));
    columns.extend(orphans::teardown(&bench));
    columns.extend(rest::measure(&bench));
    columns.extend(instructions::measure(&bench));

    print!("{}", results::markdown(&bench, &machine, &columns, &noise));
    let json = results::json(&bench, &machine, &columns, &noise);
    fs::write(directory.join("results.json"), format!("{json:#}\n"))?;
    fs::write(directory.join("results.svg"), chart::svg(&bench, &columns))?;
    println!("\nAlso saved as {0}/results.json and {0}/results.svg", directory.display());
    Ok(())
}

/// Pins this process, and so everything it starts, to the last core that it may use: no candidate is slowed by
/// being moved.
fn pin() -> nix::Result<usize> {
    let myself = Pid::from_raw(0);
    let allowed = sched_getaffinity(myself)?;
    let core = (0..CpuSet::count()).rfind(|core| allowed.is_set(*core) == Ok(true)).unwrap_or(0);
    let mut only = CpuSet::new();
    only.set(core)?;
    sched_setaffinity(myself, &only)?;
    Ok(core)
}

fn microseconds_since(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e6
}
