//! sexton as a library: runs a program for at most ten seconds, and prints how it ended.
//!
//! ```text
//! cargo run --example launch -- sh -c 'sleep 100 & exit 3'
//! ```
//!
//! What to watch: the `sleep` does not outlive the run. Afterwards this process still has its own descriptors, working
//! directory and signal mask.

use std::process::ExitCode;
use std::time::Duration;

use sexton::{Launcher, Leftovers};

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!("usage: launch PROGRAM [ARGS...]");
        return ExitCode::from(125);
    };
    let launcher = Launcher::new(program)
        .args(words)
        .env("LAUNCHED", "yes")
        .timeout(Duration::from_secs(10))
        .leftovers(Leftovers::Terminate, Duration::from_secs(1));
    match launcher.run() {
        Ok(outcome) => {
            println!("the program {}; {} orphans were reaped", outcome.ending, outcome.tally.orphans_reaped);
            ExitCode::from(outcome.exit_code())
        }
        Err(error) => {
            println!("not started: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
