//! A program with signal handlers of its own (signal-hook) that runs a job with `sexton::Launcher` each time that it
//! gets SIGUSR1. SIGTERM ends it.
//!
//! ```text
//! cargo run --example job_on_signal -- sh -c 'trap "exit 3" USR1; echo busy; while :; do sleep 0.1; done'
//! ```
//!
//! It prints `ready PID`, and then each signal that it catches and how each job ended.
//!
//! What to watch: `kill -USR1 PID` starts the job. While the job runs, it gets all signals, so the next `kill -USR1
//! PID` ends the job with 3, and the handlers do not see it. After that the handlers catch signals again. The job
//! inherits no handler.

use std::process::ExitCode;

use sexton::Launcher;
use signal_hook::consts::{SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use signal_hook::low_level::signal_name;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!("usage: job_on_signal PROGRAM [ARGS...]");
        return ExitCode::from(125);
    };
    let job = Launcher::new(program).args(words);
    // `Signals` needs no thread of its own. A launcher would refuse a process that has several.
    let mut signals = Signals::new([SIGUSR1, SIGTERM]).expect("cannot catch signals");
    println!("ready {}", std::process::id());
    for signal in signals.forever() {
        println!("got {}", signal_name(signal).expect("one of the two"));
        if signal == SIGTERM {
            break;
        }
        match job.clone().run() {
            Ok(outcome) => println!("the job {}", outcome.ending),
            Err(error) => println!("not started: {error}"),
        }
    }
    ExitCode::SUCCESS
}
