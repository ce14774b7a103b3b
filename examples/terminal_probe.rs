//! Takes the steps that its arguments name, one after another, and then exits with 0:
//!
//!     say=TEXT        prints TEXT
//!     leads           prints whether it leads its process group
//!     place           prints whether its process group is in the terminal's foreground
//!     modes           prints whether the terminal echoes, and whether it returns whole lines
//!     raw             turns both off
//!     read            reads a line from stdin, and prints it
//!     tty             reads a line from /dev/tty, and prints it
//!     watch=INT,CONT  blocks these signals, and adds a + to its name in ps(1)
//!     wait, wait=N    prints each of them that comes, for ever or until N have come
//!     pause           waits for ever
//!     raise=TSTP      sends itself a signal
//!     group=TSTP      sends its process group a signal
//!     editor          acts as an editor: turns raw; on Ctrl-Z restores the modes, stops its process group, and turns
//!                     raw again when it is continued; ends on Ctrl-C
//!     exit=N          exits with N
//!
//!     cargo run --example terminal_probe -- leads place modes say=ready watch=INT,WINCH wait
//!
//! *What to watch:* run it in a terminal with `sexton` in front and without it. Press Ctrl-C and Ctrl-Z, enter `fg`,
//! change the window's size: it prints the same. It leads its process group only with `sexton --own-group`.

use std::fs::File;
use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::str::FromStr;

use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::sys::termios::{self, LocalFlags, SetArg, Termios};
use nix::unistd::{Pid, getpgrp, getpid, pause, tcgetpgrp};

fn main() {
    let mut watched = SigSet::empty();
    for word in std::env::args().skip(1) {
        let (step, value) = word.split_once('=').unwrap_or((&word, ""));
        match step {
            "say" => say(value),
            "leads" => say(if getpgrp() == getpid() { "leads its group" } else { "is in another's group" }),
            "place" => say(place()),
            "modes" => say(&modes()),
            "raw" => set_modes(&raw(&get_modes())),
            "read" => read(stdin().lock()),
            "tty" => read(BufReader::new(File::open("/dev/tty").expect("cannot open /dev/tty"))),
            "watch" => watched = watch(value),
            "wait" => wait(watched, value.parse().ok()),
            "pause" => loop {
                pause();
            },
            "raise" => raise(signal(value)).expect("cannot raise a signal"),
            "group" => kill(Pid::from_raw(0), signal(value)).expect("cannot signal the process group"),
            "editor" => edit(),
            "exit" => std::process::exit(value.parse().expect("exit=NUMBER")),
            _ => panic!("no such step: {word}"),
        }
    }
}

/// In one write. If the terminal has been hung up, that is no reason to fail.
fn say(text: &str) {
    let mut out = stdout().lock();
    _ = out.write_all(format!("{text}\n").as_bytes());
    _ = out.flush();
}

fn place() -> &'static str {
    match File::open("/dev/tty").map(|terminal| tcgetpgrp(terminal) == Ok(getpgrp())) {
        Ok(true) => "in the foreground",
        Ok(false) => "in the background",
        Err(_) => "without a terminal",
    }
}

fn get_modes() -> Termios {
    termios::tcgetattr(stdin()).expect("stdin is not a terminal")
}

fn set_modes(modes: &Termios) {
    termios::tcsetattr(stdin(), SetArg::TCSADRAIN, modes).expect("cannot set the terminal's modes");
}

fn raw(modes: &Termios) -> Termios {
    let mut modes = modes.clone();
    modes.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON);
    modes
}

fn modes() -> String {
    let flags = get_modes().local_flags;
    let echo = if flags.contains(LocalFlags::ECHO) { "echo" } else { "no echo" };
    let lines = if flags.contains(LocalFlags::ICANON) { "lines" } else { "no lines" };
    format!("{echo}, {lines}")
}

fn read(mut input: impl BufRead) {
    let mut line = String::new();
    match input.read_line(&mut line) {
        Ok(0) => say("end of file"),
        Ok(_) => say(&format!("read {:?}", line.trim_end())),
        Err(error) => say(&format!("cannot read: {:?}", error.kind())),
    }
}

fn signal(name: &str) -> Signal {
    Signal::from_str(&format!("SIG{name}")).expect("a signal's name")
}

fn watch(names: &str) -> SigSet {
    let set: SigSet = names.split(',').map(signal).collect();
    set.thread_block().expect("cannot block signals");
    // So that senders know: the mask in /proc does not show signals that are being waited for.
    nix::sys::prctl::set_name(c"terminal_probe+").expect("cannot set the process's name");
    set
}

fn wait(watched: SigSet, count: Option<u32>) {
    let mut waited = 0;
    while count.is_none_or(|count| waited < count) {
        let signal = watched.wait().expect("cannot wait for signals");
        say(&format!("got {signal}"));
        waited += 1;
    }
}

fn edit() {
    let (own, editing) = (get_modes(), raw(&get_modes()));
    let keys = watch("TSTP,INT");
    let stop: SigSet = [Signal::SIGTSTP].into_iter().collect();
    set_modes(&editing);
    say(&format!("editing: {}", modes()));
    while keys.wait() == Ok(Signal::SIGTSTP) {
        set_modes(&own);
        kill(Pid::from_raw(0), Signal::SIGTSTP).expect("cannot stop the process group");
        // It is pending, and stops this process when it is unblocked.
        stop.thread_unblock().expect("cannot unblock a signal");
        stop.thread_block().expect("cannot block a signal");
        set_modes(&editing);
        say(&format!("editing again: {}", modes()));
    }
    set_modes(&own);
}
