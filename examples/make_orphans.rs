//! Makes orphans: processes whose parent exits first, so that an init adopts them and must reap them.
//!
//!     cargo run --example make_orphans -- COUNT [RATE]        # RATE a second; default: as fast as it can
//!     cargo run --example make_orphans -- --named COUNT
//!
//! Each orphan comes from a double fork: a middle process forks it and exits, and this program waits for the
//! middle process. So the init gets only orphans. This program prints `done COUNT` and exits 0.
//!
//! With `--named` an orphan's name and exit code follow from its PID, so that it shows whether an init takes one for
//! another: the name is `o` and the PID, the code the remainder of the PID by 251. Each lives for up to 3 ms, so that they
//! do not die in the order that they were born in.
//!
//! *What to watch:* run `sexton make_orphans 20000` and look at `ps -eo stat | grep -c Z` meanwhile: it stays
//! near 0. If this program is PID 1, or below a PID 1 that does not reap, every orphan stays as a zombie and
//! takes a process ID, until nothing in the container can fork any more.
#![allow(
    unsafe_code,
    reason = "fork(2) and _exit(2) are unsafe to call; forking is what this program is about"
)]

use std::ffi::CString;
use std::time::{Duration, Instant};

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};

fn main() {
    let mut words = std::env::args().skip(1).peekable();
    let orphan = if words.next_if_eq("--named").is_some() { be_known } else { || exit_now(0) };
    let mut words = words.map(|word| word.parse::<u32>().ok());
    let (count, rate) = match (words.next(), words.next()) {
        (Some(Some(count)), None) => (count, None),
        (Some(Some(count)), Some(Some(rate))) if rate > 0 => (count, Some(rate)),
        _ => {
            eprintln!("usage: make_orphans COUNT [RATE] | --named COUNT");
            std::process::exit(2);
        }
    };
    let start = Instant::now();
    for made in 0..count {
        if let Some(rate) = rate {
            let due = Duration::from_secs(1) * made / rate;
            std::thread::sleep(due.saturating_sub(start.elapsed()));
        }
        make_orphan(orphan);
    }
    println!("done {count}");
}

fn make_orphan(orphan: fn() -> !) {
    // SAFETY: this process has one thread, so the child finds every lock and all memory in order.
    let forked = unsafe { fork() };
    match forked.expect("cannot fork") {
        ForkResult::Parent { child } => _ = waitpid(child, None).expect("cannot wait for the middle process"),
        ForkResult::Child => {
            // SAFETY: as above.
            match unsafe { fork() } {
                Ok(ForkResult::Child) => orphan(),
                Ok(ForkResult::Parent { .. }) => exit_now(0),
                Err(_) => exit_now(1),
            }
        }
    }
}

fn be_known() -> ! {
    let pid = std::process::id();
    let name = CString::new(format!("o{pid}")).expect("there is no NUL in it");
    nix::sys::prctl::set_name(&name).expect("it has at most 15 characters");
    std::thread::sleep(Duration::from_micros((u64::from(pid) * 7919) % 3000));
    exit_now((pid % 251).cast_signed())
}

/// Exits without flushing or freeing anything, which makes an orphan as cheap as it gets.
fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes any code and has no requirements.
    unsafe { nix::libc::_exit(code) }
}
