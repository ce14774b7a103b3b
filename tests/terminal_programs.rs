//! [J]: programs that do more with a terminal than read and write, and how they end.

use crate::support::pty::{CTRL_BACKSLASH, CTRL_C, CTRL_D, CTRL_Z};
use crate::support::{Shell, Suite, Terminal, skip};

pub(crate) fn tests(suite: &mut Suite) {
    let all = Shell::ALL;
    suite.in_shells("terminal::j5_an_interactive_shell_as_the_program", all, shell_in_shell);
    suite.in_shells("terminal::j5_an_interactive_shell_that_suspends_itself", all, shell_suspends_itself);
    suite.in_shells("terminal::j3_an_editor_stops_its_group_itself", all, editor);
    suite.in_shells("terminal::j3_stops_itself", all, stops_itself);
    suite.in_shells("terminal::j3_stops_its_group", all, stops_its_group);
    suite.in_shells("terminal::j3_modes_while_it_is_stopped", all, modes_while_stopped);
    suite.in_shells("terminal::j2_modes_after_a_crash", all, modes_after_a_crash);
    suite.in_shells("terminal::j2_modes_after_a_crash_in_a_script", all, modes_after_a_crash_in_a_script);
    suite.in_shells("terminal::e2_the_shell_tells_how_it_ended", all, endings);
    suite.in_shells("terminal::e2_a_script_tells_how_it_ended", all, endings_in_scripts);
    suite.in_shells("terminal::e1_a_failed_exec_leaves_the_terminal_to_the_shell", all, exec_failure);
    suite.in_shells("terminal::j1_in_a_shells_group_out_of_its_namespace", all, new_namespace);
    suite.in_shells("terminal::j2_end_of_file", all, end_of_file);
    suite.in_shells("terminal::j2_runs_of_short_programs", all, short_programs);
}

const BASH: &str = "bash --norc --noprofile --noediting -i";

pub(crate) fn shell_in_shell(terminal: &mut Terminal) {
    terminal.command(&format!("PS1='=$?=> ' $W {BASH}"));
    terminal.command("$P place");
    terminal.line("$P say=ready pause");
    terminal.ready();
    terminal.keys(CTRL_Z);
    assert_eq!(terminal.prompt(), 148);
    terminal.jobs(1, 0);
    terminal.fg("fg", "pause");
    terminal.settle_programs(1, 'S');
    terminal.keys(CTRL_C);
    assert_eq!(terminal.prompt(), 130);
    terminal.line("$W $P say=ready pause");
    terminal.ready();
    terminal.keys(CTRL_BACKSLASH);
    assert_eq!(terminal.prompt(), 131);
    // At the prompt, keys go to the inner shell.
    terminal.keys(CTRL_C);
    terminal.prompt();
    terminal.keys(CTRL_Z);
    terminal.command("exit 7");
    terminal.command("$P place");
}

fn shell_suspends_itself(terminal: &mut Terminal) {
    terminal.command(&format!("PS1='=$?=> ' $W {BASH}"));
    let inner = terminal.processes().len();
    for _ in 0..3 {
        terminal.command("suspend");
        terminal.settle_all(inner, 'T');
        terminal.jobs(1, 0);
        terminal.line("fg");
        terminal.expect("-i\r\n");
        terminal.prompt();
        terminal.command("$P place");
    }
    terminal.command("exit 7");
    terminal.command("$P place");
}

pub(crate) fn editor(terminal: &mut Terminal) {
    terminal.line("$W $P editor say=over");
    terminal.expect("editing: no echo, no lines\r\n");
    for _ in 0..3 {
        terminal.keys(CTRL_Z);
        assert_eq!(terminal.prompt(), 148);
        terminal.settle(1, 'T');
        terminal.jobs(1, 0);
        terminal.command("$P modes");
        terminal.line("fg");
        terminal.expect("over\r\n");
        terminal.expect("editing again: no echo, no lines\r\n");
        terminal.settle(1, 'S');
    }
    terminal.keys(CTRL_C);
    terminal.expect("over\r\n");
    assert_eq!(terminal.prompt(), 0);
    terminal.command("$P modes");
}

pub(crate) fn stops_itself(terminal: &mut Terminal) {
    stops_by_each_signal(terminal, "raise");
}

fn stops_its_group(terminal: &mut Terminal) {
    stops_by_each_signal(terminal, "group");
}

fn stops_by_each_signal(terminal: &mut Terminal, step: &str) {
    for signal in ["STOP", "TSTP", "TTIN", "TTOU"] {
        terminal.line(&format!("$W $P {step}={signal} place"));
        terminal.prompt();
        terminal.settle(1, 'T');
        terminal.jobs(1, 0);
        terminal.line("fg");
        terminal.expect("place\r\n");
        terminal.expect("in the foreground\r\n");
        assert_eq!(terminal.prompt(), 0);
    }
}

fn modes_while_stopped(terminal: &mut Terminal) {
    terminal.line("$W $P raw say=ready pause");
    terminal.ready();
    terminal.keys(CTRL_Z);
    assert_eq!(terminal.prompt(), 148);
    terminal.settle(1, 'T');
    // Some shells restore the modes. dash does not, and then nothing is echoed.
    for line in ["$P modes", "stty echo icanon", "$P modes"] {
        terminal.keys(&format!("{line}\n"));
        terminal.prompt();
    }
    terminal.fg("fg", "pause");
    terminal.settle(1, 'S');
    terminal.keys(CTRL_C);
    assert_eq!(terminal.prompt(), 130);
    terminal.command("$P modes");
}

fn modes_after_a_crash(terminal: &mut Terminal) {
    for ending in ["raise=SEGV", "raise=KILL", "exit=3"] {
        terminal.command(&format!("$W $P raw {ending}"));
        for line in ["$P modes", "stty echo icanon"] {
            terminal.keys(&format!("{line}\n"));
            terminal.prompt();
        }
    }
}

fn modes_after_a_crash_in_a_script(terminal: &mut Terminal) {
    terminal.command("sh -c '$W $P raw raise=KILL; $P modes; stty echo icanon'");
    terminal.command("sh -c '$W $P raw exit=3; $P modes; stty echo icanon'");
}

const FATAL: [&str; 10] = ["HUP", "INT", "QUIT", "ILL", "ABRT", "FPE", "KILL", "SEGV", "ALRM", "TERM"];

fn endings(terminal: &mut Terminal) {
    for signal in FATAL {
        terminal.command(&format!("$W $P raise={signal}"));
    }
    for code in ["0", "1", "77", "130", "255"] {
        terminal.command(&format!("$W $P exit={code}"));
    }
}

fn endings_in_scripts(terminal: &mut Terminal) {
    for shell in ["bash", "sh"] {
        for signal in FATAL {
            terminal.command(&format!("{shell} -c '$W $P raise={signal}; echo after $?'"));
        }
        terminal.command(&format!("{shell} -c '$W $P exit=3 || echo after $?; exit 4'"));
    }
}

/// Without the wrapper, the shell writes the message, so the screen is not compared.
pub(crate) fn exec_failure(terminal: &mut Terminal) {
    terminal.ignore_screen();
    for (program, status) in [("/nowhere/at/all", 127), ("/etc/passwd", 126)] {
        assert_eq!(terminal.command(&format!("$W {program}")), status);
        terminal.line("$P place say=ready pause");
        terminal.expect("in the foreground\r\n");
        terminal.ready();
        terminal.keys(CTRL_C);
        assert_eq!(terminal.prompt(), 130);
    }
}

/// As PID 1 of a PID namespace that contains neither the shell nor the process group that it gave the job.
fn new_namespace(terminal: &mut Terminal) {
    if !nix::unistd::geteuid().is_root() {
        skip("making a PID namespace needs root");
    }
    assert_eq!(terminal.command("unshare --pid --fork $W $P say=hello exit=3"), 3);
    terminal.line("$P place say=ready pause");
    terminal.expect("in the foreground\r\n");
    terminal.ready();
    terminal.keys(CTRL_C);
    assert_eq!(terminal.prompt(), 130);
}

fn end_of_file(terminal: &mut Terminal) {
    terminal.line("$W $P say=ready read");
    terminal.ready();
    terminal.keys(CTRL_D);
    terminal.expect("end of file\r\n");
    assert_eq!(terminal.prompt(), 0);
}

/// One after another and many in one pipeline. Each begins and ends while the shell is changing groups and the
/// terminal's foreground.
fn short_programs(terminal: &mut Terminal) {
    for _ in 0..10 {
        assert_eq!(terminal.command("$W $P exit=3"), 3);
    }
    terminal.line("$W $P say=a | $W $P read say=b | $W $P read say=c | $W $P read place");
    terminal.expect("in the foreground\r\n");
    assert_eq!(terminal.prompt(), 0);
    terminal.command("for i in a b c d e; do $W $P say=$i; done");
    terminal.command("echo \"$($W $P say=x; $W $P say=y)\"");
}
