//! [J]: background jobs, and jobs that `kill` stops, continues and ends.

use nix::libc;

use crate::support::pty::{CTRL_C, CTRL_Z};
use crate::support::{Shell, Suite, Terminal, poll, process};

pub(crate) fn tests(suite: &mut Suite) {
    let all = Shell::ALL;
    suite.in_shells("terminal::j2_a_background_job_leaves_the_terminal_alone", all, background);
    suite.in_shells("terminal::j3_a_background_job_is_done", all, done);
    suite.in_shells("terminal::j3_kill_ends_a_background_job", all, kill);
    suite.in_shells("terminal::j3_kill_ends_a_stopped_job", all, kill_stopped);
    suite.in_shells("terminal::j3_kill_stop_and_cont", all, kill_stop_cont);
    suite.in_shells("terminal::j3_every_stop_signal_by_kill", all, every_stop_signal);
    suite.in_shells("terminal::j3_a_background_reader_stops", all, background_reader);
    suite.in_shells("terminal::j3_a_reader_that_comes_to_the_foreground_before_it_reads", all, late_reader);
    suite.in_shells("terminal::j3_a_background_writer_stops_with_tostop", all, background_writer);
    suite.in_shells("terminal::j3_fg_continues_the_program_once", &[Shell::Bash, Shell::Zsh], one_cont);
    suite.in_shells("terminal::j3_two_jobs", all, two_jobs);
    suite.in_shells("terminal::j4_an_orphaned_job_does_not_stop", &[Shell::Bash, Shell::Dash], orphaned);
    suite.in_shells(
        "terminal::j3_a_stopped_orphan_is_continued",
        &[Shell::Bash, Shell::Dash],
        continued_orphan,
    );
    suite.in_shells("terminal::j4_a_stopped_job_that_is_orphaned", &[Shell::Bash], orphaned_while_stopped);
    // dash does not pass SIGHUP on to its jobs.
    let polite = &[Shell::Bash, Shell::Zsh];
    suite.in_shells("terminal::s1_hang_up_leaves_nothing", polite, hang_up);
    suite.in_shells("terminal::s1_hang_up_leaves_nothing_stopped", polite, hang_up_stopped);
}

pub(crate) fn background(terminal: &mut Terminal) {
    terminal.command("$W $P pause &");
    terminal.settle(1, 'S');
    terminal.line("read x; echo \"<$x>\"");
    terminal.line("hello");
    terminal.expect("<hello>\r\n");
    terminal.prompt();
    terminal.command("$P place");
    terminal.jobs(0, 1);
    terminal.fg("fg", "pause");
    terminal.keys(CTRL_C);
    assert_eq!(terminal.prompt(), 130);
}

fn done(terminal: &mut Terminal) {
    for ending in ["exit=0", "exit=3", "raise=TERM", "raise=KILL"] {
        terminal.command(&format!("$W $P watch=USR1 wait=1 {ending} >/dev/null &"));
        terminal.settle(1, 'S');
        terminal.jobs(0, 1);
        terminal.send_watched(libc::SIGUSR1);
        terminal.all_gone();
        terminal.command(":");
        terminal.jobs(0, 0);
    }
}

fn kill(terminal: &mut Terminal) {
    for signal in ["TERM", "INT", "HUP", "KILL", "QUIT", "USR1"] {
        terminal.command("$W $P pause &");
        terminal.settle(1, 'S');
        terminal.command(&format!("kill -{signal} %1"));
        terminal.all_gone();
        terminal.command(":");
    }
}

fn kill_stopped(terminal: &mut Terminal) {
    terminal.command("$W $P pause &");
    terminal.settle(1, 'S');
    terminal.command("kill -STOP %1");
    terminal.settle(1, 'T');
    terminal.jobs(1, 0);
    terminal.command("kill -TERM %1");
    // Some shells continue a stopped job after that, others do not.
    terminal.command("kill -CONT %1");
    terminal.all_gone();
    terminal.ignore_screen();
    terminal.command(":");
}

fn kill_stop_cont(terminal: &mut Terminal) {
    terminal.command("$W $P pause &");
    terminal.settle(1, 'S');
    for _ in 0..3 {
        terminal.command("kill -STOP %1");
        terminal.settle(1, 'T');
        terminal.jobs(1, 0);
        terminal.command("kill -CONT %1");
        terminal.settle(1, 'S');
        terminal.command("jobs");
    }
    terminal.command("kill %1");
    terminal.all_gone();
    terminal.command(":");
}

fn every_stop_signal(terminal: &mut Terminal) {
    terminal.command("$W $P pause &");
    terminal.settle(1, 'S');
    for signal in ["TSTP", "TTIN", "TTOU", "STOP"] {
        terminal.command(&format!("kill -{signal} %1"));
        terminal.settle(1, 'T');
        terminal.jobs(1, 0);
        terminal.command("bg");
        terminal.settle(1, 'S');
    }
    terminal.command("kill %1");
    terminal.all_gone();
    terminal.command(":");
}

pub(crate) fn background_reader(terminal: &mut Terminal) {
    terminal.command("$W $P read &");
    terminal.settle(1, 'T');
    terminal.jobs(1, 0);
    // It reads again, and stops again.
    terminal.command("bg");
    terminal.settle(1, 'T');
    terminal.jobs(1, 0);
    terminal.fg("fg", "read");
    terminal.settle(1, 'S');
    terminal.line("hello");
    terminal.expect("read \"hello\"");
    assert_eq!(terminal.prompt(), 0);
}

pub(crate) fn late_reader(terminal: &mut Terminal) {
    terminal.command("$W $P watch=USR1 wait=1 read &");
    terminal.settle(1, 'S');
    terminal.fg("fg", "read");
    terminal.send_watched(libc::SIGUSR1);
    terminal.expect("got SIGUSR1");
    terminal.line("hello");
    terminal.expect("read \"hello\"");
    assert_eq!(terminal.prompt(), 0);
}

pub(crate) fn background_writer(terminal: &mut Terminal) {
    terminal.command("stty tostop");
    terminal.command("$W $P say=one exit=3 &");
    terminal.settle(1, 'T');
    terminal.jobs(1, 0);
    terminal.line("fg");
    terminal.expect("exit=3\r\n");
    terminal.expect("one\r\n");
    assert_eq!(terminal.prompt(), 3);
}

/// A program that redraws its screen on SIGCONT must do so only once.
fn one_cont(terminal: &mut Terminal) {
    terminal.line("$W $P watch=CONT,TERM say=ready wait=4");
    terminal.ready();
    for _ in 0..3 {
        terminal.keys(CTRL_Z);
        assert_eq!(terminal.prompt(), 148);
        terminal.settle(1, 'T');
        terminal.line("fg");
        terminal.expect("wait=4\r\n");
        terminal.expect("got SIGCONT\r\n");
        terminal.settle(1, 'S');
    }
    terminal.send_watched(libc::SIGTERM);
    terminal.expect("got SIGTERM\r\n");
    assert_eq!(terminal.prompt(), 0);
}

fn two_jobs(terminal: &mut Terminal) {
    terminal.command("$W $P pause &");
    terminal.command("$W $P pause &");
    terminal.settle(2, 'S');
    terminal.command("kill -STOP %1");
    terminal.settle_programs(1, 'T');
    terminal.settle_programs(1, 'S');
    // bash sometimes misses the second of two jobs that stop at the same time.
    terminal.jobs(1, 1);
    terminal.command("kill -STOP %2");
    terminal.settle(2, 'T');
    terminal.jobs(2, 0);
    terminal.fg("fg %1", "pause");
    terminal.settle_programs(1, 'S');
    terminal.keys(CTRL_C);
    assert_eq!(terminal.prompt(), 130);
    terminal.settle(1, 'T');
    terminal.command("bg %2");
    terminal.settle(1, 'S');
    terminal.jobs(0, 1);
    terminal.command("kill %2");
    terminal.all_gone();
    terminal.command(":");
}

/// The program in the test's session, wherever it is in the tree.
fn program_of(session: i32) -> Option<process::Process> {
    let mut all = process::all().into_iter();
    all.find(|process| {
        process.session == session && process.name.starts_with("terminal_probe") && !process.is_zombie()
    })
}

/// Starts a job whose group is orphaned, with a program that watches for SIGUSR1.
fn start_orphan(terminal: &mut Terminal) -> process::Process {
    terminal.ignore_screen();
    terminal.command("(trap '' HUP; $W $P watch=USR1 wait=1 tty say=over >/tmp/orphan.$$ & )");
    let session = terminal.running.pid;
    let program = poll("the program watches for the signal", || {
        program_of(session).filter(|program| program.name.ends_with('+'))
    });
    poll("the job is an orphan", || {
        let all = process::all();
        let parent_of_group = |process: &&process::Process| process.group == program.group;
        let parents: Vec<i32> = all.iter().filter(parent_of_group).map(|process| process.parent).collect();
        let alien = |pid: &i32| process::Process::find(*pid).is_none_or(|parent| parent.session != session);
        parents.iter().any(alien).then_some(())
    });
    program
}

fn end_orphan(terminal: &mut Terminal, program: &process::Process) {
    let session = terminal.running.pid;
    terminal.send(program.pid, libc::SIGUSR1);
    poll("the program has ended", || program_of(session).is_none().then_some(()));
    let file = format!("/tmp/orphan.{session}");
    let text = std::fs::read_to_string(&file).expect("cannot read the program's output");
    _ = std::fs::remove_file(file);
    assert!(text.starts_with("got SIGUSR1\ncannot read") && text.ends_with("over\n"), "{text}");
    terminal.note(text);
    terminal.command("$P place");
}

/// The kernel neither stops an orphaned group (`get_signal`) nor lets it wait for the terminal (`job_control` in n_tty):
/// reading is an error.
fn orphaned(terminal: &mut Terminal) {
    let program = start_orphan(terminal);
    for signal in [libc::SIGTSTP, libc::SIGTTOU] {
        terminal.send(-program.group, signal);
    }
    end_orphan(terminal, &program);
}

/// SIGSTOP stops the program alone. SIGCONT is sent to the process that the shell started.
fn continued_orphan(terminal: &mut Terminal) {
    let program = start_orphan(terminal);
    terminal.send(program.pid, libc::SIGSTOP);
    poll("the program is stopped", || process::Process::find(program.pid)?.state.eq(&'T').then_some(()));
    let all = process::all();
    let in_group = |pid: i32| all.iter().find(|process| process.pid == pid && process.group == program.group);
    let mut first = program.pid;
    while let Some(parent) = in_group(first).and_then(|process| in_group(process.parent)) {
        first = parent.pid;
    }
    terminal.send(first, libc::SIGCONT);
    end_orphan(terminal, &program);
}

/// The kernel sends SIGHUP and SIGCONT to a stopped group when it is orphaned (`kill_orphaned_pgrp`).
fn orphaned_while_stopped(terminal: &mut Terminal) {
    terminal.ignore_screen();
    terminal.line("bash -m -c '$W $P pause & read x; kill -STOP %1; read x; exit 0'");
    let session = terminal.running.pid;
    poll("the program runs", || program_of(session));
    terminal.line("");
    poll("the program is stopped", || program_of(session)?.state.eq(&'T').then_some(()));
    terminal.line("");
    poll("the program is gone", || program_of(session).is_none().then_some(()));
    assert_eq!(terminal.prompt(), 0);
}

fn hang_up(terminal: &mut Terminal) {
    terminal.command("$W $P pause &");
    terminal.line("$W $P pause");
    terminal.settle(2, 'S');
    terminal.in_foreground();
    expect_nothing_after_hang_up(terminal);
}

fn hang_up_stopped(terminal: &mut Terminal) {
    terminal.command("$W $P read &");
    terminal.settle(1, 'T');
    terminal.command("$W $P pause &");
    terminal.settle_programs(1, 'S');
    expect_nothing_after_hang_up(terminal);
}

pub(crate) fn expect_nothing_after_hang_up(terminal: &mut Terminal) {
    terminal.ignore_screen();
    let processes = terminal.processes();
    terminal.hang_up();
    terminal.ending();
    poll("nothing is left behind", || {
        let lives = |process: &process::Process| {
            process::Process::find(process.pid)
                .is_some_and(|now| now.start == process.start && !now.is_zombie())
        };
        (!processes.iter().any(lives)).then_some(())
    });
}
