//! This process's own signal state, with all 64 bits: the mask and the dispositions, and what depends on them.

use std::mem::{self, MaybeUninit};
use std::ptr;

use nix::libc;
use signal_hook::low_level::raise;

use super::signals::{self, KERNEL_SET_SIZE, KernelSet};
use crate::signal::{Signal, SignalSet};

/// Sets this thread's signal mask and gives back the one before.
pub fn set_mask(set: SignalSet) -> SignalSet {
    let set = KernelSet::from(set);
    let mut before = KernelSet::from(SignalSet::EMPTY);
    // SAFETY: both point to sets of the size given. The call fails only for a bad pointer or size.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const set,
            &raw mut before,
            KERNEL_SET_SIZE,
        )
    };
    before.into()
}

/// Makes this process ready to take signals from the kernel's queue, and puts everything back when it is dropped: it
/// blocks every signal, and sees to it that the end of each child is told.
///
/// While SIGCHLD is ignored the kernel reaps children by itself and their status is lost (wait(2), NOTES). SA_NOCLDWAIT
/// does the same, and SA_NOCLDSTOP keeps stops quiet (sigaction(2)); a program that sexton is a part of may have set
/// them. (An exec clears them.)
#[derive(Debug)]
pub struct SignalGuard {
    mask: SignalSet,
    child_signal_ignored: bool,
    child_signal_flags: libc::c_int,
}

const SILENT: libc::c_int = libc::SA_NOCLDWAIT | libc::SA_NOCLDSTOP;

impl SignalGuard {
    /// Blocks all signals, and lets SIGCHLD come.
    pub fn new() -> SignalGuard {
        let mask = set_mask(SignalSet::ALL);
        let before = action(Signal::CHLD);
        let ignored = before.sa_sigaction == libc::SIG_IGN;
        let flags = before.sa_flags & SILENT;
        if ignored {
            set_default(Signal::CHLD);
        } else if flags != 0 {
            set_action(Signal::CHLD, libc::sigaction { sa_flags: before.sa_flags & !SILENT, ..before });
        }
        SignalGuard { mask, child_signal_ignored: ignored, child_signal_flags: flags }
    }

    /// The mask before.
    pub fn inherited_mask(&self) -> SignalSet {
        self.mask
    }

    /// Whether SIGCHLD was ignored before.
    pub fn child_signal_was_ignored(&self) -> bool {
        self.child_signal_ignored
    }

    /// Leaves everything as it is now, for a process that is about to end: a signal that comes so late must not change
    /// how.
    pub fn keep(self) {
        mem::forget(self);
    }
}

impl Drop for SignalGuard {
    fn drop(&mut self) {
        if self.child_signal_ignored {
            set_ignored(Signal::CHLD);
        } else if self.child_signal_flags != 0 {
            let now = action(Signal::CHLD);
            let flags = now.sa_flags | self.child_signal_flags;
            set_action(Signal::CHLD, libc::sigaction { sa_flags: flags, ..now });
        }
        set_mask(self.mask);
    }
}

/// Sets the default action for every signal that has a handler.
pub fn drop_handlers() {
    for signal in Signal::all().filter(|signal| signal.is_catchable()) {
        if !matches!(action(signal).sa_sigaction, libc::SIG_DFL | libc::SIG_IGN) {
            set_default(signal);
        }
    }
}

/// Sets the default action for a signal.
pub fn set_default(signal: Signal) {
    set_disposition(signal, libc::SIG_DFL);
}

/// Ignores a signal.
pub fn set_ignored(signal: Signal) {
    set_disposition(signal, libc::SIG_IGN);
}

fn action(signal: Signal) -> libc::sigaction {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null pointer for the new action only asks for the present one.
    unsafe { libc::sigaction(signal.as_raw(), ptr::null(), action.as_mut_ptr()) };
    // SAFETY: zero bytes are a sigaction, whether or not the call has written one.
    unsafe { action.assume_init() }
}

fn set_disposition(signal: Signal, disposition: libc::sighandler_t) {
    // SAFETY: zero bytes are a sigaction with no flags and an empty mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = disposition;
    set_action(signal, action);
}

/// Sets an action that names no handler, or the one that is set already.
fn set_action(signal: Signal, action: libc::sigaction) {
    // SAFETY: no code runs at a signal that does not do so already.
    unsafe { libc::sigaction(signal.as_raw(), &raw const action, ptr::null_mut()) };
}

/// Stops this process by the signal, with its default action, until SIGCONT comes. False when it did not stop: in an
/// orphaned process group the kernel stops no process by SIGTSTP, SIGTTIN or SIGTTOU (credentials(7)).
///
/// All signals must be blocked. `is_overtaken` says whether the reason for the stop is gone. It is asked when the stop
/// is already pending. A stop signal removes a pending SIGCONT, and SIGCONT removes a pending stop (`prepare_signal` in
/// the kernel): so either `is_overtaken` sees what the SIGCONT did, or the SIGCONT undoes the stop.
pub fn stop_self(signal: Signal, is_overtaken: impl Fn() -> bool) -> bool {
    let is_continued = || signals::take(SignalSet::EMPTY.with(Signal::CONT)).is_some();
    if is_continued() {
        return true;
    }
    if signal == Signal::STOP {
        if is_overtaken() || raise(signal.as_raw()).is_err() {
            return true;
        }
        return is_continued();
    }
    let before = action(signal);
    set_default(signal);
    let _ = raise(signal.as_raw());
    let this = SignalSet::EMPTY.with(signal);
    let overtaken = is_overtaken();
    if overtaken {
        signals::take(this);
    } else {
        set_mask(SignalSet::from_bits(!this.bits()));
        set_mask(SignalSet::ALL);
    }
    set_action(signal, before);
    is_continued() || overtaken
}

/// Ends this process by the signal, with its default action and without a core file. Returns only where that is
/// impossible: the signal's default action does not end a process, or this is PID 1 of its namespace, which no signal
/// of its own can end.
///
/// (signal-hook's `emulate_default_handler` does not know SIGSTKFLT, SIGPWR and the real-time signals, and takes SIGIO
/// for a signal that does nothing. Its `raise` is raise(3), which refuses 32 and 33 in glibc.)
pub fn die_of(signal: Signal) {
    let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to an rlimit.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core) };
    // Where core_pattern is a pipe the limit does not count (core(5)); a process that is not dumpable writes none.
    // SAFETY: takes integers.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    set_default(signal);
    let _ = signals::send(nix::unistd::getpid(), signal, None);
    set_mask(SignalSet::from_bits(!SignalSet::EMPTY.with(signal).bits()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::Pid;

    /// In a process of its own: the other tests run in this one. `holds` must be async-signal-safe.
    fn assert_in_child(holds: impl FnOnce() -> bool) {
        // SAFETY: what the child does is async-signal-safe.
        match unsafe { libc::fork() } {
            0 => {
                let code = i32::from(!holds());
                // SAFETY: takes an integer.
                unsafe { libc::_exit(code) }
            }
            child => {
                let status = nix::sys::wait::waitpid(Pid::from_raw(child), None);
                assert_eq!(status, Ok(nix::sys::wait::WaitStatus::Exited(Pid::from_raw(child), 0)));
            }
        }
    }

    #[test]
    fn the_kernel_reaps_no_child_by_itself() {
        let flags = || action(Signal::CHLD).sa_flags & SILENT;
        assert_in_child(|| {
            let silent = libc::sigaction { sa_flags: SILENT, ..action(Signal::CHLD) };
            set_action(Signal::CHLD, silent);
            let guard = SignalGuard::new();
            let meanwhile = flags();
            drop(guard);
            meanwhile == 0 && flags() == SILENT
        });
    }

    /// In a session of its own, where SIGTSTP stops nothing (credentials(7)).
    #[test]
    fn a_hosts_handler_is_put_back_after_a_stop() {
        extern "C" fn handle(_: libc::c_int) {}
        let handler = handle as *const () as libc::sighandler_t;
        assert_in_child(|| {
            let _ = nix::unistd::setsid();
            set_disposition(Signal::TSTP, handler);
            let guard = SignalGuard::new();
            let has_stopped = stop_self(Signal::TSTP, || false);
            drop(guard);
            !has_stopped && action(Signal::TSTP).sa_sigaction == handler
        });
    }
}
