//! `--pause`: no program, but a process that holds a PID namespace and reaps what is orphaned in it.

use std::time::Duration;

use crate::news::{News, Tell};
use crate::signal::{Signal, SignalSet};
use crate::supervise::Reaper;
use crate::sys::process;
use crate::sys::signal_state::SignalGuard;
use crate::sys::signals::SignalQueue;

/// Reaps until SIGINT or SIGTERM comes; every other signal is ignored. The guard is the proof that all signals are
/// blocked and that the kernel does not reap by itself.
pub fn pause(tell: Tell, _: &SignalGuard) {
    if !process::is_init() {
        tell(&News::PausingBelowInit);
    }
    // Nothing is to stay open here, for as long as the pod lives, whose end another process may wait for.
    process::close_descriptors_from_three();
    process::close_standard_input_and_output();
    let _ = nix::unistd::chdir("/");
    let ends: SignalSet = [Signal::INT, Signal::TERM].into_iter().collect();
    let mut queue = SignalQueue::without_descriptor();
    let mut reaper = Reaper::plain(tell);
    loop {
        let may_be_more = reaper.reap(None).is_full;
        // Before all others: the kernel hands out the lowest signal first, and a flood of SIGHUP has no end.
        if let Some(received) = queue.take(ends) {
            return tell(&News::PauseOver(received.signal));
        }
        match queue.wait(may_be_more.then_some(Duration::ZERO), &mut []) {
            Some(received) if ends.contains(received.signal) => {
                return tell(&News::PauseOver(received.signal));
            }
            _ => {}
        }
    }
}
