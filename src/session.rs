//! A program in a session of its own, which is dumb-init's way: all that is different then.

use log::warn;
use nix::unistd::Pid;

use crate::config::Config;
use crate::signal::Signal;
use crate::surroundings::Surroundings;
use crate::sys::signals;
use crate::sys::terminal::Terminal;

/// What is different where the program leads a session of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The terminal that sexton controls, and gives up so that the program can take it.
    pub terminal: Option<Terminal>,
    /// What the program's process group is sent when the program has ended, before anything else.
    pub parting_signal: Option<Signal>,
}

impl Session {
    /// As the caller wishes it and the surroundings allow.
    pub fn new(config: &Config, surroundings: &Surroundings) -> Session {
        // Only a session's leader can give its terminal up, and only stdin is sure to be the program's too.
        let led = surroundings.terminal.filter(|_| surroundings.is_session_leader());
        let terminal = led.map(|found| found.terminal).filter(|way| *way == Terminal::Standard(0));
        Session { terminal, parting_signal: config.parting_signal }
    }

    /// Frees the terminal: it belongs to one session, and the program's cannot have it before.
    pub fn give_up_terminal(&self) {
        if let Some(terminal) = self.terminal
            && let Err(errno) = terminal.give_up()
        {
            warn!("cannot give the terminal up: {errno}; the program does not get it");
        }
    }

    /// Whether sexton gets the signal from itself when it gives the terminal up. It means nothing to a program in another
    /// session (dumb-init's issue 136).
    pub fn comes_of_giving_up_terminal(&self, signal: Signal) -> bool {
        self.terminal.is_some() && matches!(signal, Signal::HUP | Signal::CONT)
    }

    /// Says farewell to the program's process group. The program must be dead and not reaped: so its group still exists,
    /// and its number cannot be another's.
    pub fn part(&self, program: Pid) -> Option<Signal> {
        let signal = self.parting_signal?;
        let _ = signals::send_to_group(program, signal);
        Some(signal)
    }
}
