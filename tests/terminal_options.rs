//! [J]: scenarios of a shell's job that must look the same with options that change the process group, and with
//! logging; and `kill` for a job whose program has its own group.

use crate::support::pty::{CTRL_C, CTRL_Z};
use crate::support::{Shell, Suite, Terminal, Wrapper};
use crate::{terminal, terminal_jobs, terminal_programs};

const GROUPS: &[Wrapper] =
    &[Wrapper::Init("-g"), Wrapper::Init("--own-group"), Wrapper::Init("--foreground")];
const LOGGING: &[Wrapper] = &[Wrapper::Init("-vvv"), Wrapper::Init("-vvv --own-group")];

type Scenario = fn(&mut Terminal);

pub(crate) fn tests(suite: &mut Suite) {
    let scenarios: [(&str, Scenario); 14] = [
        ("ctrl_c", terminal::ctrl_c),
        ("ctrl_c_once", terminal::ctrl_c_once),
        ("ctrl_z_fg", terminal::ctrl_z_fg),
        ("ctrl_z_bg_fg", terminal::ctrl_z_bg_fg),
        ("loop", terminal::loop_in_the_shell),
        ("window_size", terminal::window_size),
        ("background", terminal_jobs::background),
        ("background_reader", terminal_jobs::background_reader),
        ("background_writer", terminal_jobs::background_writer),
        ("late_reader", terminal_jobs::late_reader),
        ("editor", terminal_programs::editor),
        ("stops_itself", terminal_programs::stops_itself),
        ("shell_in_shell", terminal_programs::shell_in_shell),
        ("exec_failure", terminal_programs::exec_failure),
    ];
    for (name, scenario) in scenarios {
        suite.in_shells_with(&format!("terminal::j2_any_group::{name}"), Shell::ALL, GROUPS, scenario);
    }
    suite.in_shells_with("terminal::t5_logging_with_tostop", Shell::ALL, LOGGING, logging);
    suite.in_shells_with("terminal::j3_kill_with_an_own_group", Shell::ALL, &GROUPS[..2], kill);
}

/// sexton must never be stopped by its own log lines. They are on the screen too, so only the notes are compared.
fn logging(terminal: &mut Terminal) {
    terminal.ignore_screen();
    terminal.command("stty tostop");
    terminal.command("$W $P pause &");
    terminal.settle(1, 'S');
    terminal.command("kill -TSTP %1");
    terminal.settle(1, 'T');
    terminal.command("bg");
    terminal.settle(1, 'S');
    terminal.line("fg");
    terminal.in_foreground();
    terminal.settle(1, 'S');
    terminal.keys(CTRL_Z);
    let stopped = terminal.prompt();
    terminal.note(stopped.to_string());
    terminal.settle(1, 'T');
    terminal.line("fg");
    terminal.in_foreground();
    terminal.settle(1, 'S');
    terminal.keys(CTRL_C);
    let ended = terminal.prompt();
    terminal.note(ended.to_string());
    terminal.command("$W $P exit=3 &");
    terminal.all_gone();
    assert_eq!(terminal.command("wait $!"), 3);
}

/// The shell's signals reach only sexton, which passes them on.
fn kill(terminal: &mut Terminal) {
    for signal in ["TERM", "INT", "HUP", "QUIT", "USR1"] {
        terminal.command("$W $P pause &");
        terminal.settle(1, 'S');
        terminal.command(&format!("kill -{signal} %1"));
        terminal.all_gone();
        terminal.command(":");
    }
}
