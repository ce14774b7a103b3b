//! Prints `ready PID` and then one line for every signal that it receives:
//!
//!     signal NUMBER code CODE value VALUE pid SENDER uid UID
//!
//!     cargo run --example print_signals [-- [--keep] [--until COUNT]]
//!
//! It ends with 0 after SIGTERM, unless `--keep` is given, and after COUNT signals with `--until`.
//!
//! CODE is `si_code`: 0 from kill(2), -1 from sigqueue(3), 128 from the kernel (a terminal's Ctrl-C). VALUE is
//! the whole 64-bit value of a queued signal. The program blocks all 64 signals and takes them with raw system calls,
//! because C libraries hide 32 and 33 (musl also 34).
//!
//! signal-hook, which other examples use, is not enough here. It refuses SIGILL, SIGFPE and SIGSEGV, and the C
//! library refuses 32 and 33. It merges signals of the same number, loses the order of different ones, and gives no
//! queued value without a C compiler. And a signal that comes before its handler is set takes its default action.
//!
//! *What to watch:* run `sexton print_signals`, and in another shell `kill -s N` the PID of *sexton* for any N
//! but KILL and STOP: the program prints each of them. As PID 1, a program without handlers would get none of them,
//! because the kernel gives PID 1 no default actions.
//!
//! The program starts at C's `main` and first sets the mask, so it also prints signals that were blocked and pending
//! when it started.
#![no_main]
#![allow(unsafe_code, reason = "raw signal calls, which no safe wrapper offers for all 64 signals")]

use std::ffi::{CStr, c_char, c_int};
use std::io::Write;
use std::mem::MaybeUninit;

use nix::errno::Errno;
use nix::libc;

const SIGTERM: i32 = libc::SIGTERM;
/// The size of the kernel's signal set: 64 bits. (The C library's set is larger, and leaves signals out.)
const SET_SIZE: usize = size_of::<u64>();

#[unsafe(no_mangle)]
extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    block_all();
    let Some(options) = Options::parse(&arguments(argc, argv)) else {
        eprintln!("usage: print_signals [--keep] [--until COUNT]");
        return 2;
    };
    match print_signals(&options) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

struct Options {
    keep: bool,
    until: Option<u64>,
}

impl Options {
    fn parse(words: &[String]) -> Option<Options> {
        let mut options = Options { keep: false, until: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--keep" => options.keep = true,
                "--until" => options.until = Some(words.next()?.parse().ok()?),
                _ => return None,
            }
        }
        Some(options)
    }
}

fn print_signals(options: &Options) -> std::io::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "ready {}", std::process::id())?;
    stdout.flush()?;
    let mut received = 0;
    while options.until != Some(received) {
        let signal = next_signal();
        let Signal { number, code, value, pid, uid } = signal;
        writeln!(stdout, "signal {number} code {code} value {value} pid {pid} uid {uid}")?;
        stdout.flush()?;
        received += 1;
        if number == SIGTERM && !options.keep {
            break;
        }
    }
    Ok(())
}

struct Signal {
    number: i32,
    code: i32,
    value: u64,
    pid: i32,
    uid: u32,
}

fn block_all() {
    let all = u64::MAX;
    let none: *mut u64 = std::ptr::null_mut();
    // SAFETY: `all` is a readable set of SET_SIZE bytes, and the kernel writes nothing through a null pointer.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const all, none, SET_SIZE) };
}

fn next_signal() -> Signal {
    let all = u64::MAX;
    let no_limit: *const libc::timespec = std::ptr::null();
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    loop {
        let info = info.as_mut_ptr();
        // SAFETY: `all` is a readable set of SET_SIZE bytes, `info` a writable siginfo_t, and a null timeout means none.
        let taken =
            unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &raw const all, info, no_limit, SET_SIZE) };
        if taken > 0 || Errno::last() != Errno::EINTR {
            break;
        }
    }
    // SAFETY: all zeros is a valid siginfo_t, and the kernel has filled it in.
    let info = unsafe { info.assume_init() };
    // SAFETY: every layout has these bytes; for a signal sent by a process they are its PID.
    let pid = unsafe { info.si_pid() };
    // SAFETY: as above; the sender's user ID.
    let uid = unsafe { info.si_uid() };
    // SAFETY: as above; the queued value, and zero when there is none.
    let value = unsafe { info.si_value() };
    Signal { number: info.si_signo, code: info.si_code, value: value.sival_ptr as u64, pid, uid }
}

fn arguments(argc: c_int, argv: *const *const c_char) -> Vec<String> {
    let argument = |index: usize| {
        // SAFETY: the kernel passes `argc` pointers, and `index` is less than `argc`.
        let slot = unsafe { argv.add(index) };
        // SAFETY: the slot is inside the array.
        let start = unsafe { *slot };
        // SAFETY: each pointer is to a string that ends in NUL and lives as long as the process.
        let word = unsafe { CStr::from_ptr(start) };
        word.to_string_lossy().into_owned()
    };
    (1..usize::try_from(argc).unwrap_or(0)).map(argument).collect()
}
