//! Makes children that exit at once, and never waits for them: zombies.
//!
//!     cargo run --example make_zombies [COUNT]        # default 10
//!
//! It prints `ready PID` when all of them have ended, and sleeps until a signal ends it.
//!
//! *What to watch:* `ps -o pid,ppid,stat,comm --ppid PID` shows COUNT processes in state `Z`. No init can help
//! while this program lives: only a parent can reap. End it (`kill PID`), and the zombies pass to the nearest
//! subreaper or PID 1. Under sexton they are gone at once; under a PID 1 that does not reap they stay for ever.
#![allow(unsafe_code, reason = "fork(2) is unsafe to call; that is what this program is about")]

use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{ForkResult, fork, getpid, pause};

fn main() {
    let count = match std::env::args().nth(1).map(|word| word.parse::<u32>()) {
        None => 10,
        Some(Ok(count)) => count,
        Some(Err(_)) => {
            eprintln!("usage: make_zombies [COUNT]");
            std::process::exit(2);
        }
    };
    for _ in 0..count {
        make_zombie();
    }
    println!("ready {}", getpid());
    loop {
        pause();
    }
}

fn make_zombie() {
    // SAFETY: this process has one thread, so no lock is held and no memory half-written in the child.
    let forked = unsafe { fork() };
    match forked.expect("cannot fork") {
        ForkResult::Child => std::process::exit(0),
        ForkResult::Parent { child } => {
            // Waits, but leaves the child a zombie (waitid(2), WNOWAIT).
            let looked = waitid(Id::Pid(child), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
            looked.expect("cannot wait for the child");
        }
    }
}
