//! Catches SIGTERM and does nothing about it: prints `ready PID`, and sleeps until it is killed.
//!
//!     cargo run --example ignore_sigterm
//!
//! *What to watch:* `docker stop` of a container with such a program takes its whole grace period, 10 s by
//! default, and ends in SIGKILL (exit code 137). `SigCgt` in `/proc/PID/status` has the bit of signal 15, 4000 in
//! hexadecimal: a handler is there.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::unistd::{getpid, pause};
use signal_hook::consts::SIGTERM;

fn main() {
    // The handler sets a flag that is never read. signal-hook cannot set SIG_IGN, but the sender of SIGTERM sees no
    // difference.
    signal_hook::flag::register(SIGTERM, Arc::new(AtomicBool::new(false))).expect("cannot catch SIGTERM");
    println!("ready {}", getpid());
    loop {
        pause();
    }
}
