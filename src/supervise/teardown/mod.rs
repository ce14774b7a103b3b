//! Ending what the program leaves behind, completely. There are two strategies: PID 1 reaches the whole PID namespace
//! by one call, and a subreaper has to look for its descendants.

mod init;
mod subreaper;

use std::time::Instant;

use log::warn;
use nix::errno::Errno;
use nix::unistd::Pid;

use self::init::Init;
use self::subreaper::Subreaper;
use crate::plan::{Adoption, Plan};
use crate::process_tree::{Named, Process};
use crate::signal::Signal;

/// How many processes a message names.
const NAMED_AT_MOST: usize = 8;

/// A strategy. `program` is the program's PID until it is reaped.
pub trait Teardown {
    /// All descendants, without zombies.
    fn descendants(&self) -> Vec<Process>;

    /// Whether the only children left are from before the program, and so none of its. (That there are no children at
    /// all, wait(2) tells.)
    fn only_strangers_are_left(&self, program: Option<Pid>) -> bool;

    /// Sends a signal to every descendant, once.
    fn signal_all(&self, signal: Signal, program: Option<Pid>) -> Result<(), Errno>;

    /// Asks all leftovers to end: SIGTERM, and SIGCONT, as a stopped process would not see SIGTERM.
    fn terminate(&self) -> Result<(), Errno>;

    /// Begins to send SIGKILL to all descendants.
    fn kill(&mut self, program: Option<Pid>, now: Instant);

    /// Goes on with that after children were reaped, or after some time.
    fn go_on(&mut self, reaped: usize, program: Option<Pid>, now: Instant);

    /// When to call `go_on` if no child has been reaped, once it has begun.
    fn next_look(&self) -> Option<Instant>;

    /// Whether the last look found only processes that sexton has no permission to signal, so that waiting for them is in
    /// vain.
    fn is_refused_by_all(&self) -> bool;

    /// The processes that are left, as far as they are easily found.
    fn left(&self, program: Option<Pid>) -> Vec<Pid>;
}

/// The strategy for this process. To be called before the program is started.
pub fn strategy(plan: &Plan) -> Box<dyn Teardown> {
    match plan.adoption {
        Adoption::Init => Box::new(Init::default()),
        Adoption::Subreaper { .. } | Adoption::None => Box::new(Subreaper::new(plan.myself)),
    }
}

/// Logs which processes are still there although they were asked to end.
#[cold]
#[inline(never)]
pub fn tell_of_stubborn_leftovers(teardown: &dyn Teardown, program: Option<Pid>) {
    warn!("sending SIGKILL to {}", list(&teardown.left(program)));
}

/// Logs which processes could not be ended.
#[cold]
#[inline(never)]
pub fn tell_of_survivors(teardown: &dyn Teardown, program: Option<Pid>) {
    warn!("cannot end {}; leaving", list(&teardown.left(program)));
}

fn list(processes: &[Pid]) -> String {
    let names =
        |pids: &[Pid]| pids.iter().map(|pid| Named::look_up(*pid).to_string()).collect::<Vec<_>>().join(", ");
    match processes.len() {
        0 => "what is left".to_owned(),
        1..=NAMED_AT_MOST => names(processes),
        count => format!("{} and {} more", names(&processes[..NAMED_AT_MOST]), count - NAMED_AT_MOST),
    }
}
