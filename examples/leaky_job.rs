//! A job that exits with 0 and leaks in five ways. Each leaves a process behind that holds the job's stdout.
//!
//!     cargo run --example leaky_job
//!
//! It prints `leak NAME PID` for each, then `done`. ps and a report show the processes by these names:
//!
//! - `leak-background`: a child that nobody waits for, like `server &` in a script;
//! - `leak-daemon`: a daemon by the book (double fork, setsid(2)); neither its parent nor its group or session shows
//!   where it came from;
//! - `leak-stubborn`: it ignores SIGTERM;
//! - `leak-stopped`: it is stopped, and sees no SIGTERM until it is continued;
//! - `leak-headless`: its main thread has ended while another goes on. ps(1) takes it for a zombie.
//!
//! *What to watch:* `leaky_job | cat` hangs until all five are killed by hand, because cat waits for the end of the
//! pipe that they hold. `sexton leaky_job | cat` is over after the grace (5 s, because of the stubborn one), and
//! `sexton --leftovers kill --report - leaky_job | cat` at once, with a list of the five.
#![allow(
    unsafe_code,
    reason = "fork(2), signal(2) and _exit(2) are unsafe to call; forking is what this program is about"
)]

use std::ffi::CStr;
use std::io::{Read as _, Write as _};

use nix::libc;
use nix::sys::signal::{SigHandler, Signal, raise, signal};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, pause, setsid};

fn main() {
    leak(c"leak-background", ready_and_sleep);
    leak(c"leak-daemon", || {
        setsid().expect("a child leads no group");
        fork_and_exit();
        ready_and_sleep()
    });
    leak(c"leak-stubborn", || {
        // SAFETY: SIG_IGN installs no handler that could run at a bad time.
        unsafe { signal(Signal::SIGTERM, SigHandler::SigIgn) }.expect("cannot ignore SIGTERM");
        ready_and_sleep()
    });
    let stopped = leak(c"leak-stopped", || {
        tell_ready();
        raise(Signal::SIGSTOP).expect("cannot stop");
        sleep_for_ever()
    });
    _ = waitpid(stopped, Some(WaitPidFlag::WUNTRACED));
    leak(c"leak-headless", || {
        std::thread::spawn(|| {
            wait_until_the_main_thread_is_gone();
            ready_and_sleep()
        });
        // SAFETY: ends this thread, and frees nothing that the other thread uses.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
        sleep_for_ever()
    });
    println!("done");
}

/// Runs `live` in a child, and waits until the child is ready.
fn leak(name: &CStr, live: impl FnOnce()) -> Pid {
    let (mut reader, writer) = std::io::pipe().expect("cannot make a pipe");
    // SAFETY: this process has one thread, so no lock is held and no memory half-written in the child.
    let child = match unsafe { fork() }.expect("cannot fork") {
        ForkResult::Child => {
            _ = nix::sys::prctl::set_name(name);
            drop(reader);
            READY.set(writer).expect("it is set once");
            live();
            return getpid();
        }
        ForkResult::Parent { child } => child,
    };
    drop(writer);
    let mut pid = [0; 4];
    reader.read_exact(&mut pid).expect("the leak tells its PID");
    println!("leak {} {}", name.to_string_lossy(), i32::from_ne_bytes(pid));
    child
}

static READY: std::sync::OnceLock<std::io::PipeWriter> = std::sync::OnceLock::new();

fn tell_ready() {
    let mut writer = READY.get().expect("set before");
    _ = writer.write_all(&getpid().as_raw().to_ne_bytes());
}

fn ready_and_sleep() {
    tell_ready();
    sleep_for_ever();
}

fn sleep_for_ever() -> ! {
    loop {
        pause();
    }
}

/// The second half of a double fork.
fn fork_and_exit() {
    // SAFETY: as in `leak`.
    if let Ok(ForkResult::Parent { .. }) = unsafe { fork() } {
        // SAFETY: _exit takes any code and has no requirements.
        unsafe { libc::_exit(0) }
    }
}

fn wait_until_the_main_thread_is_gone() {
    let stat = format!("/proc/{}/stat", getpid());
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        std::thread::yield_now();
    }
}
