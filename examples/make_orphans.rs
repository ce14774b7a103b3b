//! Makes orphans: processes whose parent exits first, so that an init adopts them and must reap them.
//!
//!     cargo run --example make_orphans -- COUNT [RATE]        # RATE per second; default: as fast as possible
//!
//! Each orphan comes from a double fork: a middle process forks it and exits, and this program waits for the
//! middle process. So the init gets only orphans. This program prints `done COUNT` and exits 0.
//!
//! *What to watch:* run `sexton make_orphans 20000` and look at `ps -eo stat | grep -c Z` meanwhile: it stays
//! near 0. If this program is PID 1, or below a PID 1 that does not reap, every orphan stays as a zombie and
//! takes a process ID, until nothing in the container can fork any more.
#![allow(
    unsafe_code,
    reason = "fork(2) and _exit(2) are unsafe to call; forking is what this program is about"
)]

use std::time::{Duration, Instant};

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};

fn main() {
    let mut words = std::env::args().skip(1).map(|word| word.parse::<u32>().ok());
    let (count, rate) = match (words.next(), words.next()) {
        (Some(Some(count)), None) => (count, None),
        (Some(Some(count)), Some(Some(rate))) if rate > 0 => (count, Some(rate)),
        _ => {
            eprintln!("usage: make_orphans COUNT [RATE]");
            std::process::exit(2);
        }
    };
    let start = Instant::now();
    for made in 0..count {
        if let Some(rate) = rate {
            let due = Duration::from_secs(1) * made / rate;
            std::thread::sleep(due.saturating_sub(start.elapsed()));
        }
        make_orphan();
    }
    println!("done {count}");
}

fn make_orphan() {
    // SAFETY: this process has one thread, so no lock is held and no memory half-written in the child.
    let forked = unsafe { fork() };
    match forked.expect("cannot fork") {
        ForkResult::Parent { child } => _ = waitpid(child, None).expect("cannot wait for the middle process"),
        ForkResult::Child => {
            // SAFETY: as above. Both the parent and the child exit at once.
            let forked = unsafe { fork() };
            exit_now(i32::from(forked.is_err()));
        }
    }
}

/// Exits without flushing or freeing anything, to make orphans as cheap as possible.
fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes any code and has no requirements.
    unsafe { nix::libc::_exit(code) }
}
