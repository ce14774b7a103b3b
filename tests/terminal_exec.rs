//! [J3], [J4] and [J7] in the last moment before the program's exec: the process is there, its signals are what the
//! program's will be, and so a stop stops it. An init that waits for the exec would wait for ever.
//!
//! A stop comes there by chance, and seldom. So the exec is held at its beginning.

use std::time::{Duration, Instant};

use nix::libc;

use crate::support::process::{self, Process};
use crate::support::pty::CTRL_Z;
use crate::support::{
    Ending, HeldCall, HeldExec, Init, Mode, Shell, Suite, TemporaryDirectory, Terminal, Wrapper, hold, poll,
    probe, raw,
};

pub(crate) fn tests(suite: &mut Suite) {
    for shell in Shell::ALL {
        let name = shell.name();
        suite.test_with(&format!("terminal::j3_ctrl_z_before_the_exec::{name}"), *shell, ctrl_z);
        suite.test_with(
            &format!("terminal::j3_ctrl_z_while_an_exec_hangs::{name}"),
            *shell,
            ctrl_z_in_a_hang,
        );
    }
    suite.in_modes("terminal::j4_alone_ctrl_z_before_the_exec", &[Mode::Child, Mode::Pid1], ctrl_z_alone);
    let modes = &[Mode::Child, Mode::Subreaper, Mode::Pid1];
    suite.in_modes("terminal::j7_kill_after_holds_when_stopped_before_the_exec", modes, kill_after);
    suite.in_modes("terminal::j7_a_timeout_holds_when_stopped_before_the_exec", modes, timeout);
}

const INIT: Wrapper = Wrapper::Init("");
const PROBE: &str = "/terminal_probe";

/// What a shell says of a job that SIGTSTP stopped.
const STOPPED: i32 = 128 + libc::SIGTSTP;

fn is_in(pid: i32, state: char) {
    poll(&format!("{pid} is in state {state}"), || (Process::find(pid)?.state == state).then_some(()));
}

/// The shell gets its prompt, `fg` has both go on, and the program runs.
fn ctrl_z(shell: Shell) {
    let (mut terminal, held) = Terminal::with_shell_and_held_exec(shell, INIT, PROBE);
    terminal.line("$W $P say=ready read exit=3");
    let child = held.wait();
    terminal.in_foreground();
    terminal.keys(CTRL_Z);
    assert_eq!(terminal.prompt(), STOPPED);
    is_in(child, 'T');
    terminal.jobs(1, 0);
    terminal.line("fg");
    terminal.in_foreground();
    drop(held);
    terminal.ready();
    terminal.line("a line");
    terminal.expect("read \"a line\"\r\n");
    assert_eq!(terminal.prompt(), 3);
}

/// The process cannot stop as long as its exec hangs in the kernel; but the init acts on a stop request, and the stop is
/// not lost. (With a stop pending, SIGTERM alone does not wake it: `wants_signal` in the kernel.)
fn ctrl_z_in_a_hang(shell: Shell) {
    let directory = TemporaryDirectory::new();
    let file = directory.copy(probe("terminal_probe"), "terminal_probe");
    let line = format!("$W {} say=ready read exit=3", file.display());
    let mut terminal = Terminal::with_shell(shell, Wrapper::Init("-k 500ms"));
    for end in [true, false] {
        let mut held = HeldExec::of(&file);
        terminal.line(&line);
        let child = held.wait();
        terminal.in_foreground();
        terminal.keys(CTRL_Z);
        terminal.expect("^Z");
        let init = Process::find(child).expect("it hangs").parent;
        process::settle(init);
        if end {
            terminal.send(init, libc::SIGTERM);
            assert!([137, 143].contains(&terminal.prompt()));
            continue;
        }
        held.allow();
        assert_eq!(terminal.prompt(), STOPPED);
        terminal.fg("fg", "exit=3");
        terminal.ready();
        terminal.line("a line");
        terminal.expect("read \"a line\"\r\n");
        assert_eq!(terminal.prompt(), 3);
    }
}

/// Nobody above could continue it.
fn ctrl_z_alone(mode: Mode) {
    let probe = probe("terminal_probe");
    let program = [probe.to_str().expect("it is UTF-8"), "say=ready", "read", "exit=3"];
    let (mut terminal, held) = Terminal::with_program_and_held_exec(mode, INIT, &program, PROBE);
    let child = held.wait();
    poll("the program has the terminal", || {
        let group = Process::find(child)?.group;
        (process::foreground_group(child)? == group).then_some(())
    });
    for _ in 0..3 {
        terminal.keys(CTRL_Z);
        terminal.expect("^Z");
    }
    drop(held);
    terminal.ready();
    terminal.line("a line");
    terminal.expect("read \"a line\"\r\n");
    assert_eq!(terminal.ending(), Ending::Exited(3));
}

/// The init with a program that SIGSTOP has stopped before its exec. Measures from `start` to the end.
fn stopped(init: Init, signal: Option<i32>) -> (Ending, Duration) {
    let start = Instant::now();
    let mut running = init.world(hold()).program(probe("print_signals")).spawn();
    let held = HeldCall::exec(&running, "/print_signals");
    let child = held.wait();
    raw::kill(child, libc::SIGSTOP).expect("it is there");
    is_in(child, 'T');
    let start = signal.map_or(start, |signal| {
        running.signal(signal);
        Instant::now()
    });
    let ending = running.try_wait_for(Duration::from_secs(10));
    (ending.expect("it does not end"), start.elapsed())
}

/// It may be continued to take the SIGTERM, or stay as it is until the SIGKILL.
fn kill_after(mode: Mode) {
    let (ending, took) = stopped(Init::new(mode).options(["-k", "1s"]), Some(libc::SIGTERM));
    assert!(matches!(ending, Ending::Exited(137 | 143)), "{ending:?}");
    assert!(took < Duration::from_secs(4), "after {took:?}");
}

fn timeout(mode: Mode) {
    let (ending, took) = stopped(Init::new(mode).options(["--timeout", "1s", "-k", "1s"]), None);
    assert_eq!(ending, Ending::Exited(124));
    assert!((Duration::from_secs(1)..Duration::from_secs(5)).contains(&took), "after {took:?}");
}
