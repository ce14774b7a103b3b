//! Prints what it was started with, as one line of JSON: signal mask and dispositions, descriptors, process group and
//! session, directory, limits, environment and arguments.
//!
//!     cargo run --example show_world [-- [--become-init] [--exit CODE] [--raise SIGNAL] [ANYTHING...]]
//!
//! Then it exits with CODE (default 0). Or it sets SIGNAL (a number, 1 to 64) to its default action, unblocks it and
//! sends it to itself; if it survives that, it exits with 99. With `--become-init` it first calls
//! `sexton::become_init()`.
//!
//! *What to watch:* compare `show_world` with `sexton show_world`. `mask`, `ignored`, `descriptors`,
//! `directory`, `umask`, `nice`, `limits` and `environment` are the same, and nothing is added. Also try it with
//! `env --ignore-signal=PIPE,CHLD` in front, with `3</etc/passwd`, or with `<&-`.
//!
//! The program starts at C's `main`. Before a Rust `main`, Rust's runtime would ignore SIGPIPE and open `/dev/null` in
//! the place of closed standard streams, and the output would show that instead.
#![no_main]
#![allow(unsafe_code, reason = "C main, and raw signal calls that cover all 64 signals")]

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use nix::libc;
use serde_json::{Map, Value, json};

/// The size of the kernel's signal set: 64 bits.
const SET_SIZE: usize = size_of::<u64>();

#[unsafe(no_mangle)]
extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    let words = arguments(argc, argv);
    if words.get(1).is_some_and(|word| word == "--become-init") && sexton::become_init().is_err() {
        return 98;
    }
    let line = format!("{}\n", world(&words));
    // If stdout is closed, nothing can be shown, but the exit status still counts.
    _ = std::io::stdout().write_all(line.as_bytes()).and_then(|()| std::io::stdout().flush());
    let number_after = |option: &str| {
        let at = words.iter().position(|word| word == option)?;
        words.get(at + 1)?.to_str()?.parse::<i32>().ok()
    };
    if let Some(signal) = number_after("--raise") {
        die_by(signal);
        return 99;
    }
    number_after("--exit").unwrap_or(0)
}

fn world(words: &[OsString]) -> Value {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let status = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    };
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // PID (NAME) STATE PPID GROUP SESSION TTY FOREGROUND ...: NAME may hold blanks and parentheses.
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let stat: Vec<i64> = after_name.split(' ').skip(1).map_while(|word| word.parse().ok()).collect();
    json!({
        "mask": status("SigBlk"),
        "ignored": status("SigIgn"),
        "caught": status("SigCgt"),
        "descriptors": descriptors(),
        "pid": std::process::id(),
        "ppid": stat.first(),
        "process_group": stat.get(1),
        "session": stat.get(2),
        "foreground_group": stat.get(4).filter(|group| **group > 0),
        "directory": std::env::current_dir().ok().map(|path| path.to_string_lossy().into_owned()),
        "umask": status("Umask"),
        "nice": stat.get(15),
        "limits": limits(),
        "environment": environment(),
        "arguments": words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>(),
    })
}

/// Every open descriptor except the one that reads the list.
fn descriptors() -> Vec<Value> {
    let directory = format!("/proc/{}/fd", std::process::id());
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let mut numbers: Vec<i32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
        .into_iter()
        .filter_map(|number| {
            let target = fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
            // SAFETY: F_GETFD reads a flag, and fails on a descriptor that is not open.
            let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
            let target = target.to_string_lossy().into_owned();
            let close_on_exec = flags & libc::FD_CLOEXEC != 0;
            let own = target == directory || flags < 0;
            (!own).then(|| json!({ "number": number, "target": target, "close_on_exec": close_on_exec }))
        })
        .collect()
}

/// Soft and hard limits by the kernel's names, such as `Max open files`.
fn limits() -> Map<String, Value> {
    let text = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let limit = |line: &str| {
        let (name, rest) = line.split_at_checked(26)?;
        let mut values = rest.split_whitespace();
        Some((name.trim().to_owned(), json!([values.next()?, values.next()?])))
    };
    text.lines().skip(1).filter_map(limit).collect()
}

fn environment() -> Map<String, Value> {
    let text = |value: OsString| value.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), Value::String(text(value)))).collect()
}

/// Takes the signal's default action, whatever disposition and mask were inherited.
fn die_by(signal: i32) {
    // The kernel's struct sigaction: handler (0 is SIG_DFL), flags, restorer, mask.
    let default_action = [0_u64; 4];
    let none: *mut u64 = std::ptr::null_mut();
    let action = &raw const default_action;
    // SAFETY: `action` is a readable struct sigaction, and nothing is written through a null pointer.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action, none, SET_SIZE) };
    let only = 1_u64.checked_shl((signal - 1).cast_unsigned()).unwrap_or(0);
    // SAFETY: `only` is a readable set of SET_SIZE bytes, and nothing is written through a null pointer.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_UNBLOCK, &raw const only, none, SET_SIZE) };
    // SAFETY: kill has no requirements on memory.
    unsafe { libc::syscall(libc::SYS_kill, std::process::id(), signal) };
}

fn arguments(argc: c_int, argv: *const *const c_char) -> Vec<OsString> {
    let argument = |index: usize| {
        // SAFETY: the kernel passes `argc` pointers, and `index` is less than `argc`.
        let slot = unsafe { argv.add(index) };
        // SAFETY: the slot is inside the array.
        let start = unsafe { *slot };
        // SAFETY: each pointer is to a string that ends in NUL and lives as long as the process.
        let word = unsafe { CStr::from_ptr(start) };
        OsStr::from_bytes(word.to_bytes()).to_owned()
    };
    (0..usize::try_from(argc).unwrap_or(0)).map(argument).collect()
}
