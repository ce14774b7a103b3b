//! [J3] under stress: stops and continues as fast as they can be sent.

use std::time::{Duration, Instant};

use nix::libc::{SIGCONT, SIGSTOP, SIGTSTP};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::support::pty::{CTRL_C, CTRL_Z};
use crate::support::{Shell, Suite, Terminal};

pub(crate) fn tests(suite: &mut Suite) {
    let shells = &[Shell::Bash];
    suite.in_shells("terminal::j3_stress_kill_stop_and_cont", shells, kill_stop_cont);
    suite.in_shells("terminal::j3_stress_kill_tstp_and_cont", shells, kill_tstp_cont);
    suite.in_shells("terminal::j3_stress_cont_before_the_init_sends_tstp_on", shells, cont_before_tstp);
    suite.in_shells("terminal::j3_stress_stop_while_the_init_wakes", shells, stop_while_waking);
    suite.in_shells("terminal::j3_stress_ctrl_z_and_fg", Shell::ALL, ctrl_z_fg);
}

/// The last signal decides, for the init and the program alike.
fn alternate(terminal: &mut Terminal, stop: i32) {
    terminal.command("$W $P pause &");
    terminal.settle(1, 'S');
    let job = terminal.job();
    for _ in 0..200 {
        for signal in [stop, SIGCONT, stop] {
            terminal.send(-job, signal);
        }
        terminal.settle(1, 'T');
        for signal in [SIGCONT, stop, SIGCONT] {
            terminal.send(-job, signal);
        }
        terminal.settle(1, 'S');
    }
    terminal.ignore_screen();
    terminal.command("kill %1");
    terminal.all_gone();
    assert_eq!(terminal.command("wait $!"), 143);
}

fn kill_stop_cont(terminal: &mut Terminal) {
    alternate(terminal, SIGSTOP);
}

fn kill_tstp_cont(terminal: &mut Terminal) {
    alternate(terminal, SIGTSTP);
}

/// The init, just continued, is about to act on the program when both are stopped again.
fn stop_while_waking(terminal: &mut Terminal) {
    terminal.ignore_screen();
    terminal.command("$W $P pause &");
    terminal.settle(1, 'S');
    let job = terminal.job();
    terminal.send(-job, SIGSTOP);
    for delay in 0..500 {
        terminal.settle(1, 'T');
        terminal.send(-job, SIGCONT);
        let continued = Instant::now();
        while continued.elapsed() < Duration::from_micros(delay) {}
        terminal.send(-job, SIGSTOP);
    }
    terminal.settle(1, 'T');
}

/// SIGCONT reaches the whole group when the init has received SIGTSTP but not yet passed it on, so the program
/// stops after all. On the same processor as the program, the init gets to SIGCONT before the program has stopped.
fn cont_before_tstp(terminal: &mut Terminal) {
    terminal.ignore_screen();
    terminal.command("$W $P pause &");
    terminal.settle(1, 'S');
    let job = terminal.job();
    let mut first = CpuSet::new();
    first.set(0).expect("cannot select the first processor");
    for process in terminal.processes() {
        // If this process may not use it, the race is only less likely.
        _ = sched_setaffinity(Pid::from_raw(process.pid), &first);
    }
    for delay in 0..300 {
        terminal.send(-job, SIGTSTP);
        let sent = Instant::now();
        while sent.elapsed() < Duration::from_nanos(delay * 300) {}
        terminal.send(-job, SIGCONT);
        // The program may be seen running before it stops, so look twice.
        terminal.settle(1, 'S');
        terminal.command(":");
        terminal.settle(1, 'S');
    }
}

fn ctrl_z_fg(terminal: &mut Terminal) {
    terminal.line("$W $P say=ready pause");
    terminal.ready();
    for _ in 0..200 {
        terminal.keys(CTRL_Z);
        assert_eq!(terminal.prompt(), 148);
        terminal.fg("fg", "pause");
        terminal.settle(1, 'S');
    }
    terminal.keys(CTRL_C);
    assert_eq!(terminal.prompt(), 130);
}
