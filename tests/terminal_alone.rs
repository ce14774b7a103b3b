//! [J] without a shell above: as a session leader, as sshd and tmux start programs, and as PID 1 with a terminal,
//! as in `docker run -it`. The reference is the program itself as the session leader.

use std::time::Duration;

use nix::libc;

use crate::support::comparison;
use crate::support::process::{self, Process};
use crate::support::pty::{CTRL_BACKSLASH, CTRL_C, CTRL_Z};
use crate::support::{Ending, Mode, Shell, Suite, Terminal, Wrapper, poll, probe, try_poll};
use crate::terminal_jobs::expect_nothing_after_hang_up;

const MODES: &[Mode] = &[Mode::Child, Mode::Pid1];

pub(crate) fn tests(suite: &mut Suite) {
    suite.in_modes("terminal::j1_alone_ctrl_c", MODES, ctrl_c);
    suite.in_modes("terminal::j1_alone_ctrl_backslash", MODES, ctrl_backslash);
    suite.in_modes("terminal::j1_alone_ctrl_c_reaches_the_program_once", MODES, ctrl_c_once);
    suite.in_modes("terminal::j1_alone_it_has_the_keyboard", MODES, keyboard);
    suite.in_modes("terminal::j4_alone_ctrl_z_does_not_hang", MODES, ctrl_z);
    suite.in_modes("terminal::j4_alone_an_editor_that_stops_itself_goes_on", MODES, editor);
    suite.in_modes("terminal::j4_alone_sigstop_is_left_alone", MODES, sigstop);
    suite.in_modes("terminal::j1_alone_the_window_changes_once", MODES, window_size);
    suite.in_modes("terminal::j5_alone_an_interactive_shell", MODES, interactive_shell);
    suite.in_modes("terminal::s1_alone_hang_up_leaves_nothing", MODES, hang_up);
    suite.test("terminal::j1_own_group_and_the_terminal", place);
}

/// Runs the scenario with the init and with the program alone. Both must look the same.
fn same(mode: Mode, program: &'static [&str], scenario: fn(&mut Terminal)) {
    comparison::same_with_and_without(&[Wrapper::Init("")], |wrapper| {
        let mode = if wrapper == Wrapper::None { Mode::Child } else { mode };
        let probe = probe("terminal_probe");
        let program: Vec<&str> = program
            .iter()
            .map(|word| if *word == "$P" { probe.to_str().expect("the path is not UTF-8") } else { word })
            .collect();
        let mut terminal = Terminal::with_program(mode, wrapper, &program);
        scenario(&mut terminal);
        terminal
    });
}

/// Without a shell there is no loop to end, so 128 + N is as good as the signal.
fn code(ending: Ending) -> i32 {
    match ending {
        Ending::Exited(code) => code,
        Ending::Signaled { signal, .. } => 128 + signal,
    }
}

fn ctrl_c(mode: Mode) {
    same(mode, &["$P", "say=ready", "pause"], |terminal| {
        terminal.ready();
        terminal.keys(CTRL_C);
        assert_eq!(code(terminal.ending()), 130);
    });
}

fn ctrl_backslash(mode: Mode) {
    same(mode, &["$P", "say=ready", "pause"], |terminal| {
        terminal.ready();
        terminal.keys(CTRL_BACKSLASH);
        assert_eq!(code(terminal.ending()), 131);
    });
}

fn program(terminal: &Terminal) -> Process {
    let leader = Process::find(terminal.running.pid).into_iter();
    let mut all = leader.chain(terminal.processes());
    all.find(|process| process.name.starts_with("terminal_probe")).expect("no program is running")
}

fn ctrl_c_once(mode: Mode) {
    same(mode, &["$P", "watch=INT,TERM", "say=ready", "wait=6"], |terminal| {
        terminal.ready();
        for _ in 0..5 {
            terminal.keys(CTRL_C);
            terminal.expect("got SIGINT\r\n");
        }
        settle_alone(terminal, 'S');
        terminal.send(program(terminal).pid, libc::SIGTERM);
        terminal.expect("got SIGTERM\r\n");
        assert_eq!(code(terminal.ending()), 0);
    });
}

fn settle_alone(terminal: &Terminal, state: char) {
    poll("the init sleeps, and the program is in this state", || {
        let leader = Process::find(terminal.running.pid)?;
        let idle = leader.name.starts_with("terminal_probe") || leader.state == 'S';
        (idle && program(terminal).state == state).then_some(())
    });
}

fn keyboard(mode: Mode) {
    same(mode, &["$P", "place", "modes", "read", "tty", "exit=5"], |terminal| {
        terminal.expect("in the foreground\r\n");
        terminal.expect("echo, lines\r\n");
        for line in ["one", "two"] {
            terminal.line(line);
            terminal.expect(&format!("read {line:?}\r\n"));
        }
        assert_eq!(code(terminal.ending()), 5);
    });
}

fn ctrl_z(mode: Mode) {
    same(mode, &["$P", "say=ready", "read", "read"], |terminal| {
        terminal.ready();
        for line in ["one", "two"] {
            for _ in 0..5 {
                terminal.keys(CTRL_Z);
                terminal.expect("^Z");
            }
            terminal.line(line);
            terminal.expect(&format!("read {line:?}\r\n"));
        }
        assert_eq!(code(terminal.ending()), 0);
    });
}

fn editor(mode: Mode) {
    same(mode, &["$P", "editor", "modes"], |terminal| {
        terminal.expect("editing: no echo, no lines\r\n");
        for _ in 0..3 {
            terminal.keys(CTRL_Z);
            terminal.expect("editing again: no echo, no lines\r\n");
        }
        terminal.keys(CTRL_C);
        terminal.expect("echo, lines\r\n");
        assert_eq!(code(terminal.ending()), 0);
    });
}

fn sigstop(mode: Mode) {
    same(mode, &["$P", "say=ready", "raise=STOP", "say=continued", "exit=4"], |terminal| {
        terminal.ready();
        settle_alone(terminal, 'T');
        // That it stays stopped cannot be waited for. But an init that undoes the stop does so at once.
        let undone =
            try_poll(Duration::from_millis(50), || terminal.screen().contains("continued").then_some(()));
        assert!(undone.is_none(), "the stop was undone");
        terminal.send(terminal.running.pid, libc::SIGCONT);
        terminal.expect("continued\r\n");
        assert_eq!(code(terminal.ending()), 4);
    });
}

fn window_size(mode: Mode) {
    same(mode, &["$P", "watch=WINCH,TERM", "say=ready", "wait=6"], |terminal| {
        terminal.ready();
        for columns in 81..86 {
            terminal.resize(24, columns);
            terminal.expect("got SIGWINCH\r\n");
        }
        settle_alone(terminal, 'S');
        terminal.send(program(terminal).pid, libc::SIGTERM);
        terminal.expect("got SIGTERM\r\n");
        assert_eq!(code(terminal.ending()), 0);
    });
}

/// No warning ("cannot set terminal process group", "no job control in this shell"), and job control works.
fn interactive_shell(mode: Mode) {
    same(mode, &["/bin/bash", "--norc", "--noprofile", "--noediting", "-i"], |terminal| {
        terminal.prompt();
        terminal.line("$P say=ready place pause");
        terminal.ready();
        terminal.expect("in the foreground\r\n");
        terminal.keys(CTRL_Z);
        assert_eq!(terminal.prompt(), 148);
        terminal.jobs(1, 0);
        terminal.command("bg");
        terminal.command("$P place");
        terminal.fg("fg", "pause");
        terminal.settle_programs(1, 'S');
        terminal.keys(CTRL_C);
        assert_eq!(terminal.prompt(), 130);
        terminal.keys(CTRL_C);
        assert_eq!(terminal.prompt(), 130);
        terminal.keys(CTRL_Z);
        assert_eq!(terminal.command("(exit 6)"), 6);
        terminal.line("exit 7");
        assert_eq!(code(terminal.ending()), 7);
    });
}

fn hang_up(mode: Mode) {
    same(mode, &["/bin/sh", "-c", "$P pause & $P say=ready pause"], |terminal| {
        terminal.ready();
        terminal.settle_programs(2, 'S');
        expect_nothing_after_hang_up(terminal);
    });
}

/// [J1]: the program leads its own group, which has the terminal.
fn place() {
    crate::support::sexton_only();
    for mode in MODES {
        let probe = probe("terminal_probe");
        let program = [probe.to_str().expect("the path is not UTF-8"), "leads", "place", "pause"];
        let mut terminal = Terminal::with_program(*mode, Wrapper::Init(""), &program);
        terminal.expect("leads its group\r\n");
        terminal.expect("in the foreground\r\n");
        let program = process::children(terminal.running.pid);
        assert_eq!(
            program.first().map(|program| program.group),
            process::foreground_group(terminal.running.pid)
        );
        terminal.keys(CTRL_C);
        assert_eq!(terminal.ending(), Ending::Exited(130));
    }
    // Now with a shell above.
    let mut terminal = Terminal::with_shell(Shell::Bash, Wrapper::Init(""));
    for (line, leads) in [
        ("$W $P leads place", "is in another's group"),
        ("$W --foreground $P leads place", "is in another's group"),
        ("$W --own-group $P leads place", "leads its group"),
        ("$W -g $P leads place", "leads its group"),
        ("$W -g $W --foreground $P leads place", "is in another's group"),
    ] {
        terminal.line(line);
        terminal.expect(leads);
        terminal.expect("in the foreground\r\n");
        assert_eq!(terminal.prompt(), 0);
        terminal.command("$P place");
    }
}
