//! Queues signals for its parent for some seconds, and has no room for any that an init passes on to it. Then it makes
//! room, and looks whether all that were accepted come back, in their order.
//!
//!     cargo run --example queue_signals -- SECONDS
//!
//! It prints `ready PID`, and begins when a line comes on stdin. When it is done with sending it prints `sent COUNT`,
//! and when all have come `received COUNT`; before, where one is missing, `not VALUE but OTHER` and exits 1. A SIGTERM
//! is told by the line `term` when it comes.
//!
//! The signal is RTMIN+1 (35), each with the next number as its value. For the room see RLIMIT_SIGPENDING in
//! getrlimit(2): sigqueue(3) fails with EAGAIN where there is none.
//!
//! *What to watch:* `sexton queue_signals 60`, a line, and the memory of sexton, `grep VmRSS /proc/PID/status`. What an
//! init takes out of the kernel's queue and cannot pass on it must keep itself. So it should leave it there.
#![allow(
    unsafe_code,
    reason = "raw signal calls: no safe wrapper waits for a real-time signal and gives its value"
)]

use std::io::Write as _;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{getpid, getppid};

const QUEUED: i32 = 35;

fn main() {
    let Some(Ok(seconds)) = std::env::args().nth(1).map(|word| word.parse()) else {
        eprintln!("usage: queue_signals SECONDS");
        std::process::exit(2);
    };
    let both = set(&[libc::SIGTERM, QUEUED]);
    // SAFETY: `both` is a readable set, and nothing is written through a null pointer.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const both, ptr::null_mut()) };
    let (_, hard) = getrlimit(Resource::RLIMIT_SIGPENDING).expect("there is such a limit");
    setrlimit(Resource::RLIMIT_SIGPENDING, 0, hard).expect("it may be lowered");
    say(&format!("ready {}", getpid()));
    _ = std::io::stdin().read_line(&mut String::new());
    let sent = send_for(Duration::from_secs(seconds));
    say(&format!("sent {sent}"));
    setrlimit(Resource::RLIMIT_SIGPENDING, hard, hard).expect("the hard limit stands");
    for value in 0..sent {
        let received = next(&both);
        if received != value {
            say(&format!("not {value} but {received}"));
            std::process::exit(1);
        }
    }
    say(&format!("received {sent}"));
}

/// Returns how many were accepted.
fn send_for(time: Duration) -> usize {
    let (target, term) = (getppid().as_raw(), set(&[libc::SIGTERM]));
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < time {
        let value = libc::sigval { sival_ptr: ptr::without_provenance_mut(sent) };
        // SAFETY: sigqueue has no requirements on memory.
        match Errno::result(unsafe { libc::sigqueue(target, QUEUED, value) }) {
            Ok(_) => sent += 1,
            Err(Errno::EAGAIN) => _ = take(&term, Duration::ZERO),
            Err(error) => panic!("cannot send to {target}: {error}"),
        }
        if sent.is_multiple_of(1000) {
            take(&term, Duration::ZERO);
        }
    }
    sent
}

/// The value of the next signal that was queued.
fn next(signals: &libc::sigset_t) -> usize {
    loop {
        if let Some(value) = take(signals, Duration::from_secs(3600)) {
            return value;
        }
    }
}

/// Takes a signal, and tells of SIGTERM. The value of another.
fn take(signals: &libc::sigset_t, limit: Duration) -> Option<usize> {
    let limit = libc::timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: 0 };
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the pointers are to a set, to a writable siginfo_t and to a time.
    let taken = unsafe { libc::sigtimedwait(signals, info.as_mut_ptr(), &raw const limit) };
    if taken == libc::SIGTERM {
        say("term");
    }
    // SAFETY: all zeros is a valid siginfo_t, and the kernel has filled it in.
    let info = unsafe { info.assume_init() };
    // SAFETY: a queued signal has a value.
    (taken == QUEUED).then(|| unsafe { info.si_value() }.sival_ptr.addr())
}

fn set(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `set` is writable.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in signals {
        // SAFETY: `set` is initialized.
        unsafe { libc::sigaddset(set.as_mut_ptr(), *signal) };
    }
    // SAFETY: as above.
    unsafe { set.assume_init() }
}

fn say(line: &str) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).expect("cannot write");
}
