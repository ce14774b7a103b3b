//! [J]: terminal keys for a shell's job in the foreground, a loop, a script and a pipeline.
//!
//! Each scenario is also run without a wrapper, and the screen must be the same. `$W` is the wrapper or nothing,
//! `$P` is examples/terminal_probe.rs.

use crate::support::pty::{CTRL_BACKSLASH, CTRL_C, CTRL_Z};
use crate::support::{Shell, Suite, Terminal};

pub(crate) fn tests(suite: &mut Suite) {
    let all = Shell::ALL;
    suite.in_shells("terminal::j2_ctrl_c", all, ctrl_c);
    suite.in_shells("terminal::j2_ctrl_c_reaches_the_program_once", all, ctrl_c_once);
    suite.in_shells("terminal::e2_ctrl_backslash", all, ctrl_backslash);
    suite.in_shells("terminal::j3_ctrl_z_and_fg", all, ctrl_z_fg);
    suite.in_shells("terminal::j3_ctrl_z_bg_and_fg", all, ctrl_z_bg_fg);
    suite.in_shells("terminal::j3_ctrl_z_that_the_program_ignores", all, ctrl_z_ignored);
    suite.in_shells("terminal::e2_ctrl_c_ends_a_loop", all, loop_in_the_shell);
    suite.in_shells("terminal::e2_ctrl_c_ends_a_for_loop_in_a_script", all, for_loop_in_scripts);
    suite.in_shells("terminal::e2_ctrl_c_ends_a_while_loop_in_a_script", all, while_loop_in_scripts);
    suite.in_shells("terminal::e2_a_script_goes_on_when_the_program_survives_ctrl_c", all, survived_ctrl_c);
    suite.in_shells("terminal::j3_ctrl_z_of_a_script", all, ctrl_z_of_a_script);
    suite.in_shells("terminal::j2_a_pipelines_reader_has_the_keyboard", all, reader_has_the_keyboard);
    suite.in_shells("terminal::j2_ctrl_c_ends_a_pipeline", all, ctrl_c_of_a_pipeline);
    suite.in_shells("terminal::j3_ctrl_z_of_a_pipeline", all, ctrl_z_of_a_pipeline);
    suite.in_shells("terminal::j2_nested_in_itself", all, nested);
    suite.in_shells("terminal::j2_the_window_changes_once", all, window_size);
}

pub(crate) fn ctrl_c(terminal: &mut Terminal) {
    terminal.line("$W $P say=ready pause");
    terminal.ready();
    terminal.keys(CTRL_C);
    assert_eq!(terminal.prompt(), 130);
    terminal.command("$P place");
}

pub(crate) fn ctrl_c_once(terminal: &mut Terminal) {
    terminal.line("$W $P watch=INT,TERM say=ready wait=6");
    terminal.ready();
    for _ in 0..5 {
        terminal.keys(CTRL_C);
        terminal.expect("got SIGINT\r\n");
        terminal.settle(1, 'S');
    }
    // The sixth signal is the last that the program waits for. A second SIGINT for one key would have taken its
    // place.
    terminal.send_watched(15);
    terminal.expect("got SIGTERM");
    assert_eq!(terminal.prompt(), 0);
}

fn ctrl_backslash(terminal: &mut Terminal) {
    terminal.line("$W $P say=ready pause");
    terminal.ready();
    terminal.keys(CTRL_BACKSLASH);
    assert_eq!(terminal.prompt(), 131);
}

pub(crate) fn ctrl_z_fg(terminal: &mut Terminal) {
    terminal.line("$W $P watch=USR1 say=ready wait=1 read");
    terminal.ready();
    terminal.keys(CTRL_Z);
    assert_eq!(terminal.prompt(), 148);
    terminal.settle(1, 'T');
    terminal.jobs(1, 0);
    terminal.fg("fg", "read");
    terminal.settle(1, 'S');
    terminal.send_watched(10);
    terminal.expect("got SIGUSR1");
    terminal.line("hello");
    terminal.expect("read \"hello\"");
    assert_eq!(terminal.prompt(), 0);
    terminal.jobs(0, 0);
}

pub(crate) fn ctrl_z_bg_fg(terminal: &mut Terminal) {
    terminal.line("$W $P say=ready pause");
    terminal.ready();
    terminal.keys(CTRL_Z);
    assert_eq!(terminal.prompt(), 148);
    terminal.command("bg");
    terminal.settle(1, 'S');
    terminal.jobs(0, 1);
    terminal.command("$P place");
    terminal.fg("fg", "pause");
    terminal.settle(1, 'S');
    terminal.keys(CTRL_Z);
    terminal.prompt();
    terminal.settle(1, 'T');
    terminal.fg("fg", "pause");
    terminal.settle(1, 'S');
    terminal.keys(CTRL_C);
    assert_eq!(terminal.prompt(), 130);
    terminal.jobs(0, 0);
}

fn ctrl_z_ignored(terminal: &mut Terminal) {
    terminal.line("$W $P watch=TSTP say=ready wait=2 say=over");
    terminal.ready();
    for _ in 0..2 {
        terminal.keys(CTRL_Z);
        terminal.expect("got SIGTSTP\r\n");
    }
    terminal.expect("over");
    assert_eq!(terminal.prompt(), 0);
}

pub(crate) fn loop_in_the_shell(terminal: &mut Terminal) {
    terminal.line("for i in a b c; do echo $i; $W $P say=ready pause; done");
    terminal.ready();
    terminal.keys(CTRL_C);
    assert_eq!(terminal.prompt(), 130);
}

fn for_loop_in_scripts(terminal: &mut Terminal) {
    for shell in ["sh", "bash"] {
        terminal.line(&format!("{shell} -c 'for i in a b c; do $W $P say=ready pause; done; echo after'"));
        terminal.ready();
        terminal.settle(1, 'S');
        terminal.keys(CTRL_C);
        assert_eq!(terminal.prompt(), 130);
    }
}

fn while_loop_in_scripts(terminal: &mut Terminal) {
    for shell in ["sh", "bash"] {
        terminal.line(&format!("{shell} -c 'while :; do $W $P say=ready pause; echo again; done'"));
        terminal.ready();
        terminal.settle(1, 'S');
        terminal.keys(CTRL_C);
        assert_eq!(terminal.prompt(), 130);
    }
}

fn survived_ctrl_c(terminal: &mut Terminal) {
    terminal.line("bash -c '$W $P watch=INT say=ready wait=1; echo after $?'");
    terminal.ready();
    // bash sets its handler for SIGINT when it begins to wait.
    terminal.settle(1, 'S');
    terminal.keys(CTRL_C);
    terminal.expect("after 0");
    assert_eq!(terminal.prompt(), 0);
}

fn ctrl_z_of_a_script(terminal: &mut Terminal) {
    terminal.line("sh -c '$W $P say=ready pause; echo after'");
    terminal.ready();
    terminal.settle(1, 'S');
    terminal.keys(CTRL_Z);
    assert_eq!(terminal.prompt(), 148);
    terminal.settle(1, 'T');
    // dash shows the script with other quotes.
    terminal.line("fg");
    terminal.expect("after");
    terminal.expect("\r\n");
    terminal.in_foreground();
    terminal.settle(1, 'S');
    terminal.keys(CTRL_C);
    assert_eq!(terminal.prompt(), 130);
}

/// As in `sexton make | less` and `make | sexton less`.
fn reader_has_the_keyboard(terminal: &mut Terminal) {
    for pipeline in
        ["$W $P say=one pause | $P read tty", "$P say=one | $W $P read tty", "$W $P say=one | $W $P read tty"]
    {
        terminal.line(pipeline);
        terminal.expect("read \"one\"\r\n");
        terminal.in_foreground();
        terminal.line("hello");
        terminal.expect("read \"hello\"");
        if pipeline.contains("pause") {
            terminal.settle(1, 'S');
            terminal.keys(CTRL_C);
        }
        terminal.prompt();
    }
}

fn ctrl_c_of_a_pipeline(terminal: &mut Terminal) {
    for pipeline in ["$W $P pause | $P pause", "$P pause | $W $P pause", "$W $P pause | $W $P pause"] {
        terminal.line(pipeline);
        terminal.settle(2, 'S');
        terminal.in_foreground();
        terminal.keys(CTRL_C);
        assert_eq!(terminal.prompt(), 130);
    }
}

fn ctrl_z_of_a_pipeline(terminal: &mut Terminal) {
    for pipeline in ["$W $P pause | $P pause", "$P pause | $W $P pause", "$W $P pause | $W $P pause"] {
        terminal.line(pipeline);
        terminal.settle(2, 'S');
        terminal.in_foreground();
        terminal.keys(CTRL_Z);
        assert_eq!(terminal.prompt(), 148);
        terminal.settle(2, 'T');
        terminal.jobs(1, 0);
        terminal.fg("fg", "pause");
        terminal.settle(2, 'S');
        terminal.keys(CTRL_C);
        assert_eq!(terminal.prompt(), 130);
    }
}

fn nested(terminal: &mut Terminal) {
    terminal.line("$W $W $W $P say=ready pause");
    terminal.ready();
    terminal.keys(CTRL_Z);
    assert_eq!(terminal.prompt(), 148);
    terminal.settle(1, 'T');
    terminal.jobs(1, 0);
    terminal.command("bg");
    terminal.settle(1, 'S');
    terminal.fg("fg", "pause");
    terminal.settle(1, 'S');
    terminal.keys(CTRL_C);
    assert_eq!(terminal.prompt(), 130);
}

pub(crate) fn window_size(terminal: &mut Terminal) {
    terminal.line("$W $W $P watch=WINCH,TERM say=ready wait=6");
    terminal.ready();
    for columns in 81..86 {
        terminal.resize(24, columns);
        terminal.expect("got SIGWINCH");
        terminal.settle(1, 'S');
    }
    terminal.send_watched(15);
    terminal.expect("got SIGTERM");
    assert_eq!(terminal.prompt(), 0);
}
