//! The hardest process to end: one that is always gone already. Each link of the chain ignores SIGTERM, forks its
//! successor, calls setsid(2) and exits. It lives for some 100 us, so by the time that it is found it is gone.
//!
//!     cargo run --example chain [-- SECONDS]      # default: the chain ends by itself after 60 s
//!
//! It prints `ready PID`, starts the chain and exits 0, which leaves the chain behind.
//!
//! *What to watch:* `while pgrep -x chain; do pkill -9 -x chain; done` goes on until the chain ends by itself, because
//! the processes that pkill finds in /proc are gone before it can kill them. `sexton chain` is over after the grace,
//! `sexton --leftovers kill chain` after some milliseconds.
#![allow(
    unsafe_code,
    reason = "fork(2), signal(2) and _exit(2) are unsafe to call; forking is what this program is about"
)]

use std::io::Write as _;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, fork, getpid, setsid};

fn main() {
    let seconds = std::env::args().nth(1).map_or(Ok(60), |word| word.parse());
    let Ok(seconds) = seconds else {
        eprintln!("usage: chain [SECONDS]");
        std::process::exit(2);
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    // SAFETY: SIG_IGN installs no handler that could run at a bad time.
    unsafe { signal(Signal::SIGTERM, SigHandler::SigIgn) }.expect("cannot ignore SIGTERM");
    println!("ready {}", getpid());
    std::io::stdout().flush().expect("cannot write");
    while Instant::now() < end {
        // SAFETY: this process has one thread, so no lock is held and no memory half-written in the child.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => {}
            Ok(ForkResult::Parent { .. }) => {
                _ = setsid();
                // SAFETY: _exit takes any code and has no requirements.
                unsafe { nix::libc::_exit(0) }
            }
            // At a limit: this link lives on and tries again.
            Err(_) => std::thread::yield_now(),
        }
    }
}
