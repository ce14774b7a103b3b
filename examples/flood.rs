//! Sends signals to its parent without pause, from several processes: a flood. The program and its children ignore
//! them all, and SIGTERM too. **Only where something ends the senders**: a container, a PID namespace.
//!
//!     cargo run --example flood -- SENDERS SLEEPERS SIGNAL...
//!
//! It starts SLEEPERS children that sleep and SENDERS children that send, and prints `ready PID` once the flood has
//! begun. When a line comes on stdin, it prints `bye` and exits 7 at once. The senders go on.
//!
//! A real-time signal is queued with a value (sigqueue(3)), any other sent by kill(2).
//!
//! *What to watch:* as the program of a container, with an init in front of it, `flood 2 50 1 2 3 4 5 6 7 8`, a line,
//! and how long the container then takes to end. The kernel hands out the lowest pending signal first (signal(7)), so
//! an init that takes one after another until none is left may not come to SIGCHLD (17) or SIGTERM (15).
#![allow(
    unsafe_code,
    reason = "fork(2) and raw signal calls, which no safe wrapper offers for all 64 signals"
)]

use std::io::{Read as _, Write as _, pipe};
use std::ptr;

use nix::libc;
use nix::unistd::{ForkResult, fork, getpid, getppid, pause};

fn main() {
    let numbers: Option<Vec<i32>> = std::env::args().skip(1).map(|word| word.parse().ok()).collect();
    let numbers = numbers.unwrap_or_default();
    let [senders, sleepers, signals @ ..] = &numbers[..] else { usage() };
    if signals.is_empty() {
        usage();
    }
    signals.iter().chain([&libc::SIGTERM]).for_each(|signal| ignore(*signal));
    let target = getppid().as_raw();
    // In a PID namespace without an init above: for kill(2) that is the own process group.
    assert!(target != 0, "there is no parent to send to");
    for _ in 0..*sleepers {
        if is_child() {
            loop {
                pause();
            }
        }
    }
    let (mut begun, mut begin) = pipe().expect("cannot make a pipe");
    for _ in 0..*senders {
        if is_child() {
            signals.iter().for_each(|signal| send(target, *signal));
            begin.write_all(b".").expect("the program reads");
            loop {
                signals.iter().for_each(|signal| send(target, *signal));
            }
        }
    }
    let mut all_begun = vec![0; usize::try_from(*senders).unwrap_or(0)];
    begun.read_exact(&mut all_begun).expect("the senders write");
    println!("ready {}", getpid());
    _ = std::io::stdin().read_line(&mut String::new());
    println!("bye");
    std::process::exit(7);
}

fn usage() -> ! {
    eprintln!("usage: flood SENDERS SLEEPERS SIGNAL...");
    std::process::exit(2);
}

/// Straight to the kernel: the C library refuses the signals that it keeps for itself.
fn ignore(signal: i32) {
    // The kernel's struct sigaction: handler, flags, restorer, mask.
    let action: [u64; 4] = [libc::SIG_IGN as u64, 0, 0, 0];
    let none: *mut u64 = ptr::null_mut();
    // SAFETY: `action` is a readable struct sigaction, and nothing is written through a null pointer.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &raw const action, none, size_of::<u64>()) };
}

/// Ends when there is nobody any more to send to.
fn send(target: i32, signal: i32) {
    let sent = if signal >= libc::SIGRTMIN() {
        let value = libc::sigval { sival_ptr: ptr::without_provenance_mut(1) };
        // SAFETY: sigqueue has no requirements on memory. (EAGAIN: the queue is full, which is what a flood is for.)
        unsafe { libc::sigqueue(target, signal, value) == 0 || nix::errno::Errno::last_raw() == libc::EAGAIN }
    } else {
        // SAFETY: kill has no requirements on memory.
        unsafe { libc::kill(target, signal) == 0 }
    };
    if !sent {
        std::process::exit(1);
    }
}

fn is_child() -> bool {
    // SAFETY: this process has one thread, so the child finds every lock and all memory in order.
    let forked = unsafe { fork() };
    matches!(forked.expect("cannot fork"), ForkResult::Child)
}
