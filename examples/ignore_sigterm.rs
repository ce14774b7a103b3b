//! Ignores SIGTERM, prints `ready PID`, and sleeps until it is killed.
//!
//!     cargo run --example ignore_sigterm
//!
//! *What to watch:* `docker stop` of a container with such a program takes its whole grace period, 10 s by
//! default, and ends in SIGKILL (exit code 137). Look for the bit of signal 15 in `SigIgn` of
//! `/proc/PID/status`: 4000 in hexadecimal.
#![allow(unsafe_code, reason = "signal(2) is unsafe to call, because a handler may be")]

use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{getpid, pause};

fn main() {
    // SAFETY: SIG_IGN installs no handler that could run at a bad time.
    let former = unsafe { signal(Signal::SIGTERM, SigHandler::SigIgn) };
    former.expect("cannot ignore SIGTERM");
    println!("ready {}", getpid());
    loop {
        pause();
    }
}
