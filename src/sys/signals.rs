//! Signals with all 64 bits: the mask, waiting, sending, dispositions.

use std::fmt;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

use super::checked;
use crate::signal::{Signal, SignalSet};

/// A signal set as the kernel takes it: an array of `unsigned long`, the low signals first.
#[repr(transparent)]
struct KernelSet([libc::c_ulong; 64 / libc::c_ulong::BITS as usize]);

/// `_NSIG / 8`; the kernel refuses any other size with EINVAL.
const KERNEL_SET_SIZE: usize = size_of::<KernelSet>();

#[cfg(any(target_arch = "mips", target_arch = "mips64"))]
compile_error!("MIPS numbers its signals differently, up to 127");

impl From<SignalSet> for KernelSet {
    fn from(set: SignalSet) -> KernelSet {
        let mut words = [0; _];
        for (index, word) in words.iter_mut().enumerate() {
            *word = (set.bits() >> (index as u32 * libc::c_ulong::BITS)) as libc::c_ulong;
        }
        KernelSet(words)
    }
}

impl From<KernelSet> for SignalSet {
    #[allow(clippy::unnecessary_cast, reason = "c_ulong has 32 bits on some architectures")]
    fn from(set: KernelSet) -> SignalSet {
        let bits = set
            .0
            .iter()
            .rev()
            .fold(0, |bits: u64, word| bits.checked_shl(libc::c_ulong::BITS).unwrap_or(0) | *word as u64);
        SignalSet::from_bits(bits)
    }
}

/// Sets this thread's signal mask and gives back the one before. Async-signal-safe.
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

/// Blocks every signal as long as it lives, and then puts the mask back.
#[derive(Debug)]
pub struct AllBlocked {
    inherited: SignalSet,
}

impl AllBlocked {
    /// Blocks all.
    pub fn new() -> AllBlocked {
        AllBlocked { inherited: set_mask(SignalSet::ALL) }
    }

    /// The mask before.
    pub fn inherited(&self) -> SignalSet {
        self.inherited
    }
}

impl Drop for AllBlocked {
    fn drop(&mut self) {
        set_mask(self.inherited);
    }
}

/// A signal that was received.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Received {
    /// Which.
    pub signal: Signal,
    /// Whence.
    pub origin: Origin,
}

/// Where a signal came from, as `si_code` tells (sigaction(2)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Origin {
    /// The kernel sent it; for SIGINT, SIGQUIT, SIGTSTP, SIGHUP and the like that is the terminal.
    Kernel,
    /// The kernel sent SIGCHLD, because a child died, stopped or went on.
    Child,
    /// A process sent it with kill(2) or the like. A sender in an outer PID namespace is process 0.
    Process(Pid),
    /// A process queued it with a value, with sigqueue(3) or the like.
    Queued(Payload),
}

/// What came with a queued signal: value, sender's PID and UID, code.
#[derive(Clone, Copy)]
pub struct Payload(libc::siginfo_t);

impl Payload {
    /// The value, as an integer.
    pub fn value(&self) -> usize {
        // SAFETY: a Payload is only made of a siginfo_t with a negative code, and those have a value.
        unsafe { self.0.si_value() }.sival_ptr as usize
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Payload) -> bool {
        (self.0.si_code, self.value()) == (other.0.si_code, other.value())
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").field("code", &self.0.si_code).field("value", &self.value()).finish()
    }
}

/// Takes the next pending signal, the lowest number first; waits for one until `timeout` has passed, for
/// ever where there is none. `None` when no signal came, or the wait was cut short by a stop.
///
/// All signals must be blocked. rt_sigtimedwait(2) is the whole engine: one call waits, takes the
/// signal and gives everything that came with it, and it needs no descriptor, so there is none to hide
/// from the program. A blocked signal is queued even when it is ignored (`sig_ignored` in the kernel).
pub fn wait(timeout: Option<Duration>) -> Option<Received> {
    wait_for(SignalSet::ALL, timeout)
}

fn wait_for(set: SignalSet, timeout: Option<Duration>) -> Option<Received> {
    let set = KernelSet::from(set);
    let timeout = timeout.map(KernelTimespec::from);
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the pointers are to a set of the size given, to a siginfo_t, and to a timespec or null.
    let result = unsafe {
        libc::syscall(SYS_RT_SIGTIMEDWAIT, &raw const set, info.as_mut_ptr(), timeout, KERNEL_SET_SIZE)
    };
    // EAGAIN: the time is over. EINTR: stopped and continued, or traced.
    let number = checked(result).ok()?;
    // SAFETY: zero bytes are a siginfo_t, and the kernel wrote this one.
    let info = unsafe { info.assume_init() };
    let signal = Signal::from_raw(number as i32)?;
    Some(Received { signal, origin: origin(signal, info) })
}

fn origin(signal: Signal, info: libc::siginfo_t) -> Origin {
    match info.si_code {
        libc::SI_USER | libc::SI_TKILL => {
            // SAFETY: signals with these codes carry the sender's PID.
            let sender = unsafe { info.si_pid() };
            Origin::Process(Pid::from_raw(sender))
        }
        code if code < 0 => Origin::Queued(Payload(info)),
        _ if signal == Signal::CHLD => Origin::Child,
        _ => Origin::Kernel,
    }
}

/// `struct __kernel_timespec`, 64 bits on every architecture.
#[repr(C)]
struct KernelTimespec {
    seconds: i64,
    nanoseconds: i64,
}

impl From<Duration> for KernelTimespec {
    fn from(duration: Duration) -> KernelTimespec {
        KernelTimespec {
            seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: i64::from(duration.subsec_nanos()),
        }
    }
}

#[cfg(target_pointer_width = "64")]
const SYS_RT_SIGTIMEDWAIT: libc::c_long = libc::SYS_rt_sigtimedwait;
/// rt_sigtimedwait_time64, of the same number on all 32-bit architectures; not every libc names it.
#[cfg(target_pointer_width = "32")]
const SYS_RT_SIGTIMEDWAIT: libc::c_long = 421;

/// Sends a signal to one process; where it came with a payload, with that (rt_sigqueueinfo(2)).
///
/// The kernel lets nobody pretend that a signal came from kill(2) (`si_code` 0) in another's name, so
/// one that came so is sent on by kill(2), and sexton is its sender.
pub fn send(process: Pid, signal: Signal, payload: Option<Payload>) -> Result<(), Errno> {
    let Some(Payload(info)) = payload else {
        // SAFETY: takes two integers.
        return checked(unsafe { libc::kill(process.as_raw(), signal.as_raw()) }.into()).map(drop);
    };
    // SAFETY: info is a whole siginfo_t.
    let result = unsafe {
        libc::syscall(libc::SYS_rt_sigqueueinfo, process.as_raw(), signal.as_raw(), &raw const info)
    };
    checked(result).map(drop)
}

/// Sends a signal to every process of a group. The one place that puts the minus sign on a group.
pub fn send_to_group(group: Pid, signal: Signal) -> Result<(), Errno> {
    // SAFETY: takes two integers.
    checked(unsafe { libc::kill(-group.as_raw(), signal.as_raw()) }.into()).map(drop)
}

/// Sends a signal to every process of the PID namespace but its init, which must be the caller: elsewhere
/// `kill(-1, …)` would mean all processes of the machine that the caller may signal.
pub fn send_to_namespace(signal: Signal) -> Result<(), Errno> {
    if nix::unistd::getpid().as_raw() != 1 {
        return Err(Errno::EPERM);
    }
    // SAFETY: takes two integers.
    checked(unsafe { libc::kill(-1, signal.as_raw()) }.into()).map(drop)
}

/// A process that cannot be mistaken for another, also when its PID is given away (pidfd_open(2)).
#[derive(Debug)]
pub struct Handle(OwnedFd);

impl Handle {
    /// Takes hold of the process that has this PID now.
    pub fn open(pid: Pid) -> Result<Handle, Errno> {
        let no_flags = 0;
        // SAFETY: takes two integers.
        let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), no_flags) };
        let descriptor = checked(result)? as i32;
        // SAFETY: the kernel has just given it to us alone.
        Ok(Handle(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// Sends it a signal.
    pub fn send(&self, signal: Signal) -> Result<(), Errno> {
        let (no_info, no_flags) = (ptr::null::<libc::siginfo_t>(), 0);
        let descriptor = self.0.as_raw_fd();
        // SAFETY: takes integers, and null for a siginfo_t like kill(2)'s.
        let result = unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, descriptor, signal.as_raw(), no_info, no_flags)
        };
        checked(result).map(drop)
    }
}

/// The signals that have come and are blocked.
pub fn pending() -> SignalSet {
    let mut set = KernelSet::from(SignalSet::EMPTY);
    // SAFETY: the pointer is to a set of the size given.
    unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut set, KERNEL_SET_SIZE) };
    set.into()
}

/// Whether the signal is ignored by this process.
pub fn is_ignored(signal: Signal) -> bool {
    disposition(signal) == libc::SIG_IGN
}

/// Sets the default action for every signal that has a handler. Async-signal-safe.
pub fn drop_handlers() {
    for signal in Signal::all().filter(|signal| signal.is_catchable()) {
        if !matches!(disposition(signal), libc::SIG_DFL | libc::SIG_IGN) {
            set_default(signal);
        }
    }
}

fn disposition(signal: Signal) -> libc::sighandler_t {
    action(signal).sa_sigaction
}

fn action(signal: Signal) -> libc::sigaction {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null pointer for the new action only asks for the present one.
    unsafe { libc::sigaction(signal.as_raw(), ptr::null(), action.as_mut_ptr()) };
    // SAFETY: zero bytes are a sigaction, whether or not the call has written one.
    unsafe { action.assume_init() }
}

/// What the C library calls the signal: `Terminated` (strsignal(3)).
#[cfg(feature = "cli")]
pub fn description(signal: Signal) -> String {
    // SAFETY: it gives a C string that stays until the next call, and there is one thread.
    let text = unsafe { libc::strsignal(signal.as_raw()) };
    // SAFETY: as above; it is never null for a signal that there is.
    unsafe { std::ffi::CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Sets the default action for a signal. Async-signal-safe.
pub fn set_default(signal: Signal) {
    set_disposition(signal, libc::SIG_DFL);
}

/// Ignores a signal. Async-signal-safe.
pub fn set_ignored(signal: Signal) {
    set_disposition(signal, libc::SIG_IGN);
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

/// Keeps SIGCHLD from being ignored as long as it lives, and then ignores it again if it was ignored:
/// while it is ignored the kernel reaps children by itself and their status is lost (wait(2), NOTES).
///
/// Nor is it to have the flags that do the same, or tell of no stop (sigaction(2)), which a program that sexton is a part of
/// may have set. (An exec clears them.)
#[derive(Debug)]
pub struct ChildSignal {
    ignored: bool,
    flags: libc::c_int,
}

const SILENT: libc::c_int = libc::SA_NOCLDWAIT | libc::SA_NOCLDSTOP;

impl ChildSignal {
    /// Sets the default action where it is ignored, and takes the flags away.
    pub fn new() -> ChildSignal {
        let before = action(Signal::CHLD);
        let ignored = before.sa_sigaction == libc::SIG_IGN;
        let flags = before.sa_flags & SILENT;
        if ignored {
            set_default(Signal::CHLD);
        } else if flags != 0 {
            set_action(Signal::CHLD, libc::sigaction { sa_flags: before.sa_flags & !SILENT, ..before });
        }
        ChildSignal { ignored, flags }
    }

    /// Whether it was ignored before.
    pub fn was_ignored(&self) -> bool {
        self.ignored
    }
}

impl Drop for ChildSignal {
    fn drop(&mut self) {
        if self.ignored {
            set_ignored(Signal::CHLD);
        } else if self.flags != 0 {
            let now = action(Signal::CHLD);
            set_action(Signal::CHLD, libc::sigaction { sa_flags: now.sa_flags | self.flags, ..now });
        }
    }
}

/// Stops this process by the signal, with its default action, until SIGCONT comes. False when it did not stop: the
/// kernel stops nobody in an orphaned process group by SIGTSTP, SIGTTIN or SIGTTOU (credentials(7)).
///
/// All signals must be blocked. `is_overtaken` says whether there is no reason to stop any more. It is asked when the
/// stop is pending already, as a stop takes back a SIGCONT that is pending, and SIGCONT a stop: so either this sees
/// the SIGCONT's effect, or the SIGCONT undoes the stop.
pub fn stop_self(signal: Signal, is_overtaken: impl Fn() -> bool) -> bool {
    let cont = SignalSet::EMPTY.with(Signal::CONT);
    if wait_for(cont, Some(Duration::ZERO)).is_some() {
        return true;
    }
    let myself = nix::unistd::getpid();
    if signal == Signal::STOP {
        if is_overtaken() || send(myself, signal, None).is_err() {
            return true;
        }
        return wait_for(cont, Some(Duration::ZERO)).is_some();
    }
    let was_ignored = is_ignored(signal);
    set_default(signal);
    let _ = send(myself, signal, None);
    let this = SignalSet::EMPTY.with(signal);
    let overtaken = is_overtaken();
    if overtaken {
        wait_for(this, Some(Duration::ZERO));
    } else {
        set_mask(SignalSet::from_bits(!this.bits()));
        set_mask(SignalSet::ALL);
    }
    if was_ignored {
        set_ignored(signal);
    }
    wait_for(cont, Some(Duration::ZERO)).is_some() || overtaken
}

/// Ends this process by the signal, with its default action and without a core file. Returns only where
/// that cannot be: the signal's default action does not end a process, or this is PID 1 of its namespace,
/// which no signal of its own can end.
///
/// (signal-hook's `emulate_default_handler` does not know SIGSTKFLT, SIGPWR and the real-time signals, and
/// takes SIGIO for a signal that does nothing.)
pub fn die_of(signal: Signal) {
    let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to an rlimit.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core) };
    // Where core_pattern is a pipe the limit does not count (core(5)); a process that is not dumpable writes none.
    // SAFETY: takes integers.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    set_default(signal);
    let _ = send(nix::unistd::getpid(), signal, None);
    set_mask(SignalSet::from_bits(!SignalSet::EMPTY.with(signal).bits()));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a process of its own: other tests wait for children meanwhile.
    #[test]
    fn the_kernel_reaps_no_child_by_itself() {
        let flags = || action(Signal::CHLD).sa_flags & SILENT;
        // SAFETY: what the child does is async-signal-safe.
        match unsafe { libc::fork() } {
            0 => {
                let silent = libc::sigaction { sa_flags: SILENT, ..action(Signal::CHLD) };
                set_action(Signal::CHLD, silent);
                let guard = ChildSignal::new();
                let meanwhile = flags();
                drop(guard);
                // SAFETY: takes an integer.
                unsafe { libc::_exit(i32::from(meanwhile != 0 || flags() != SILENT)) }
            }
            child => {
                let status = nix::sys::wait::waitpid(Pid::from_raw(child), None);
                assert_eq!(status, Ok(nix::sys::wait::WaitStatus::Exited(Pid::from_raw(child), 0)));
            }
        }
    }

    #[test]
    fn the_kernels_set_has_eight_bytes_and_the_same_bits() {
        assert_eq!(KERNEL_SET_SIZE, 8);
        for set in [SignalSet::EMPTY, SignalSet::ALL, SignalSet::from_bits(1 << 33 | 1)] {
            assert_eq!(SignalSet::from(KernelSet::from(set)), set);
        }
    }
}
