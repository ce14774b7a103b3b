//! Ends what inits leave behind, after the last test: some leave a process in a session of its own.

use std::time::Duration;

use nix::libc;
use nix::unistd::{ForkResult, Pid};

use super::{process, raw, try_poll};

/// Continues in a child. The parent adopts everything that the child leaves behind, ends it by PID, and exits with the
/// child's status.
pub(crate) fn clean_up_afterwards() {
    raw::become_subreaper().expect("cannot become a child subreaper");
    match raw::fork_single_threaded().expect("cannot fork") {
        ForkResult::Child => {
            nix::sys::prctl::set_pdeathsig(nix::sys::signal::SIGKILL).expect("cannot watch the parent");
        }
        ForkResult::Parent { child } => {
            // Ctrl-C reaches both processes; only the tests are to end by it.
            _ = raw::set_disposition(libc::SIGINT, raw::Disposition::Ignore);
            let status = raw::wait_raw(child, true).ok().flatten();
            end_leftovers();
            std::process::exit(match status {
                Some(status) if libc::WIFEXITED(status) => libc::WEXITSTATUS(status),
                _ => 101,
            });
        }
    }
}

fn end_leftovers() {
    let own = std::process::id().cast_signed();
    try_poll(Duration::from_secs(10), || {
        let children = process::children(own);
        for child in &children {
            _ = raw::kill(child.pid, libc::SIGKILL);
            _ = raw::wait_raw(Pid::from_raw(child.pid), false);
        }
        children.is_empty().then_some(())
    });
}
