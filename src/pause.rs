//! `--pause`: no program, but somebody who holds a PID namespace and reaps what is orphaned in it.

use std::time::Duration;

use crate::news::{News, Tell};
use crate::signal::Signal;
use crate::sys::process::{self, Waited};
use crate::sys::signals::{self, AllBlocked, ChildSignal};

/// How many orphans are reaped before signals are looked at again.
const BATCH: usize = 256;

/// Reaps until SIGINT or SIGTERM comes; every other signal is ignored. The guards are the proof that all signals are
/// blocked and that the kernel does not reap by itself.
pub fn pause(tell: Tell, _: &AllBlocked, _: &ChildSignal) {
    if nix::unistd::getpid().as_raw() != 1 {
        tell(&News::PausingBelowInit);
    }
    // Nothing that another process waits for the end of is to stay open here for as long as the pod lives.
    process::close_descriptors_from_three();
    process::close_standard_input_and_output();
    let _ = nix::unistd::chdir("/");
    let mut more_to_reap = true;
    loop {
        let received = signals::wait(more_to_reap.then_some(Duration::ZERO));
        if let Some(received) = received
            && matches!(received.signal, Signal::INT | Signal::TERM)
        {
            return tell(&News::PauseOver(received.signal));
        }
        // A signal may have taken the turn of the SIGCHLD that is merged with others, so each is a reason to look.
        more_to_reap = reap_batch();
    }
}

/// True when there may be more.
fn reap_batch() -> bool {
    (0..BATCH).all(|_| matches!(process::wait_for_child(), Waited::Child(..)))
}
