//! A fork bomb: forks for ever, at full speed, and so do its children. Each process is in a session of its own and
//! ignores SIGTERM. **Run it only under a limit**: in a container with `--pids-limit`, or in a `pids` cgroup.
//!
//!     cargo run --example fork_forever -- --bomb      # prints `ready PID`, and ends only by SIGKILL
//!     cargo run --example fork_forever -- COUNT       # forks COUNT children that sleep, prints `done COUNT`, exits 0
//!
//! *What to watch:* `docker run --pids-limit 64 IMAGE /init -- sh -c 'fork_forever --bomb & exit 0'` is over after
//! the grace, with nothing left. For each process that is killed another is forked, so killing the processes of a
//! listing never ends, unless it is done in the right order.
#![allow(
    unsafe_code,
    reason = "fork(2), signal(2) and _exit(2) are unsafe to call; forking is what this program is about"
)]

use std::io::Write as _;

use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, fork, getpid, pause, setsid};

fn main() {
    let word = std::env::args().nth(1).unwrap_or_default();
    match word.parse::<u32>() {
        Ok(count) => fork_sleepers(count),
        Err(_) if word == "--bomb" => fork_for_ever(),
        Err(_) => {
            eprintln!("usage: fork_forever COUNT | --bomb");
            std::process::exit(2);
        }
    }
}

fn fork_sleepers(count: u32) {
    for _ in 0..count {
        if is_child() {
            loop {
                pause();
            }
        }
    }
    println!("done {count}");
}

fn fork_for_ever() -> ! {
    // SAFETY: SIG_IGN installs no handler that could run at a bad time.
    unsafe { signal(Signal::SIGTERM, SigHandler::SigIgn) }.expect("cannot ignore SIGTERM");
    println!("ready {}", getpid());
    std::io::stdout().flush().expect("cannot write");
    loop {
        if is_child() {
            _ = setsid();
        }
    }
}

/// Forks, and returns true in the child. At a limit it tries again.
fn is_child() -> bool {
    loop {
        // SAFETY: this process has one thread, so no lock is held and no memory half-written in the child.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => return true,
            Ok(ForkResult::Parent { .. }) => return false,
            Err(_) => std::thread::yield_now(),
        }
    }
}
