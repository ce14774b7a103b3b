//! Signals on their way, all 64 of them: taking them from the kernel, and sending them on.

use std::fmt;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use log::warn;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll, ppoll};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;

use super::checked;
use crate::signal::{Signal, SignalSet};

/// A signal set as the kernel takes it: an array of `unsigned long`, the low signals first.
#[repr(transparent)]
pub struct KernelSet([libc::c_ulong; 64 / libc::c_ulong::BITS as usize]);

/// `_NSIG / 8`; the kernel refuses any other size with EINVAL.
pub const KERNEL_SET_SIZE: usize = size_of::<KernelSet>();

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

/// A signal that was received.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Received {
    /// The signal.
    pub signal: Signal,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a signal came from, as `si_code` tells (sigaction(2)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Origin {
    /// The kernel sent it; for SIGINT, SIGQUIT, SIGTSTP, SIGHUP and the like that is the terminal.
    Kernel,
    /// The kernel sent SIGCHLD, because a child died, stopped or was continued.
    Child,
    /// A process sent it with kill(2) or the like. A sender in an outer PID namespace is process 0.
    Process(Pid),
    /// A process queued it with a value, with sigqueue(3) or the like.
    Queued(Payload),
}

/// What came with a queued signal, under the names of sigqueue(3)'s fields. Other ways to queue a signal (timers,
/// message queues, rt_sigqueueinfo(2)) put something else in these places, and it is kept as well.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Payload {
    code: i32,
    errno: i32,
    pid: i32,
    uid: u32,
    value: usize,
}

#[cfg(test)]
impl Payload {
    /// As sigqueue(3) makes it.
    pub fn with_value(value: usize) -> Payload {
        Payload { code: libc::SI_QUEUE, errno: 0, pid: 9, uid: 0, value }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").field("code", &self.code).field("value", &self.value).finish()
    }
}

/// The siginfo_t of a queued signal, up to its value: the same on every architecture but MIPS
/// (include/uapi/asm-generic/siginfo.h). The compiler aligns what follows `code` as the kernel does.
#[repr(C)]
struct QueuedInfo {
    signal: i32,
    errno: i32,
    code: i32,
    fields: Fields,
}

#[repr(C)]
struct Fields {
    pid: i32,
    uid: u32,
    value: usize,
}

impl Received {
    fn new(signal: i32, payload: Payload) -> Option<Received> {
        let signal = Signal::from_raw(signal)?;
        let origin = match payload.code {
            libc::SI_USER | libc::SI_TKILL => Origin::Process(Pid::from_raw(payload.pid)),
            code if code < 0 => Origin::Queued(payload),
            _ if signal == Signal::CHLD => Origin::Child,
            _ => Origin::Kernel,
        };
        Some(Received { signal, origin })
    }

    fn from_siginfo(info: &libc::siginfo_t) -> Option<Received> {
        // SAFETY: a siginfo_t is larger than a QueuedInfo and aligned alike, and any bytes are valid numbers.
        let info = unsafe { &*ptr::from_ref(info).cast::<QueuedInfo>() };
        let QueuedInfo { signal, errno, code, fields: Fields { pid, uid, value } } = *info;
        Received::new(signal, Payload { code, errno, pid, uid, value })
    }

    fn from_signalfd(info: &libc::signalfd_siginfo) -> Option<Received> {
        // signalfd(2) has fields of their own for what a timer puts in the same places of a siginfo_t.
        let (pid, uid) = match info.ssi_code {
            libc::SI_TIMER => (info.ssi_tid, info.ssi_overrun),
            _ => (info.ssi_pid, info.ssi_uid),
        };
        let (code, errno, value) = (info.ssi_code, info.ssi_errno, info.ssi_ptr as usize);
        Received::new(info.ssi_signo as i32, Payload { code, errno, pid: pid as i32, uid, value })
    }
}

/// The signals that wait in the kernel for this process, all of them blocked. (A blocked signal is queued even when it
/// is ignored: `sig_ignored` in the kernel.)
///
/// signalfd(2) waits for them, in one blocking read(2), or in ppoll(2) where there is a time limit or something else to
/// wait for. The kernel hands out the lowest signal first; `take` picks others, by rt_sigtimedwait(2).
#[derive(Debug)]
pub struct SignalQueue {
    /// `None` where it is refused: then rt_sigtimedwait(2) waits too.
    descriptor: Option<OwnedFd>,
    /// Whether a read(2) of the descriptor waits.
    is_blocking: bool,
    /// The signals that are taken; the others stay in the kernel.
    wanted: SignalSet,
}

/// How often other descriptors are looked at where there is no signalfd to wait for together with them.
const LOOK_AT_OTHERS: Duration = Duration::from_millis(100);

impl SignalQueue {
    /// Opens it. To be called when the program has been started and sexton has closed the descriptors it inherited: so
    /// the program never sees this one, and there is a free number for it.
    pub fn open(wanted: SignalSet) -> SignalQueue {
        let descriptor = signalfd(-1, wanted).and_then(above_standard);
        if let Err(errno) = &descriptor {
            warn!("cannot open a signalfd: {errno}; rt_sigtimedwait(2) does the same for now");
        }
        SignalQueue { descriptor: descriptor.ok(), is_blocking: true, wanted }
    }

    /// One that takes no descriptor, for a process that waits for nothing else.
    pub fn without_descriptor() -> SignalQueue {
        SignalQueue { descriptor: None, is_blocking: true, wanted: SignalSet::ALL }
    }

    /// Takes these signals from now on, and leaves all others in the kernel.
    pub fn want(&mut self, wanted: SignalSet) {
        if wanted != self.wanted {
            self.wanted = wanted;
            if let Some(descriptor) = &self.descriptor {
                // It changes the set of the descriptor that there is, and fails for none of its arguments.
                let _ = signalfd(descriptor.as_raw_fd(), wanted);
            }
        }
    }

    /// Waits until there is a signal, one of the others is ready, or `timeout` has passed; takes the signal, if there is
    /// one. A stop and SIGCONT may cut the wait short. What has become of the others, their `revents` tell.
    pub fn wait(&mut self, timeout: Option<Duration>, others: &mut [PollFd<'_>]) -> Option<Received> {
        let is_blocking = timeout.is_none() && others.is_empty();
        if let Err(errno) = self.set_blocking(is_blocking) {
            self.do_without_descriptor(errno);
        }
        let Some(descriptor) = &self.descriptor else { return self.wait_without_descriptor(timeout, others) };
        if !is_blocking {
            let signals = PollFd::new(descriptor.as_fd(), PollFlags::POLLIN);
            match wait_for_any(signals, others, timeout) {
                // EINTR: stopped and continued, or traced.
                Ok(()) | Err(Errno::EINTR) => {}
                Err(errno) => {
                    self.do_without_descriptor(errno);
                    return None;
                }
            }
        }
        read_signal(descriptor)
    }

    /// Takes a pending signal of the set, if there is one.
    pub fn take(&self, set: SignalSet) -> Option<Received> {
        take(SignalSet::from_bits(set.bits() & self.wanted.bits()))
    }

    fn set_blocking(&mut self, is_blocking: bool) -> Result<(), Errno> {
        if let Some(descriptor) = self.descriptor.as_ref().filter(|_| self.is_blocking != is_blocking) {
            let flags = if is_blocking { OFlag::empty() } else { OFlag::O_NONBLOCK };
            fcntl(descriptor, FcntlArg::F_SETFL(flags))?;
            self.is_blocking = is_blocking;
        }
        Ok(())
    }

    /// A sandbox may refuse fcntl(2), and then a read waits beyond every deadline; or ppoll(2), which also fails where
    /// RLIMIT_NOFILE is now 0, and then read after read finds nothing.
    #[cold]
    #[inline(never)]
    fn do_without_descriptor(&mut self, errno: Errno) {
        warn!("cannot wait with a signalfd: {errno}; rt_sigtimedwait(2) does the same for now");
        self.descriptor = None;
    }

    #[cold]
    #[inline(never)]
    fn wait_without_descriptor(
        &self,
        timeout: Option<Duration>,
        others: &mut [PollFd<'_>],
    ) -> Option<Received> {
        if others.is_empty() {
            return wait_for(self.wanted, timeout);
        }
        if poll(others, PollTimeout::ZERO) != Ok(0) {
            return self.take(SignalSet::ALL);
        }
        wait_for(self.wanted, Some(timeout.map_or(LOOK_AT_OTHERS, |timeout| timeout.min(LOOK_AT_OTHERS))))
    }
}

/// The longest timeout that is passed to ppoll(2): a `timespec` may have 32 bits, and `--grace 4000000000` is more.
const LONGEST_WAIT: Duration = Duration::from_secs(1 << 30);

/// Waits until one of them is ready, or the time is over.
fn wait_for_any(
    signals: PollFd<'_>,
    others: &mut [PollFd<'_>],
    timeout: Option<Duration>,
) -> Result<(), Errno> {
    let timeout = timeout.map(|timeout| TimeSpec::from_duration(timeout.min(LONGEST_WAIT)));
    if others.is_empty() {
        return ppoll(&mut [signals], timeout, None).map(drop);
    }
    let mut all = vec![signals];
    all.extend(others.iter().map(|other| PollFd::new(other.as_fd(), other.events())));
    let result = ppoll(&mut all, timeout, None).map(drop);
    // Asks once more, as the answers are in `all`, where nobody else looks.
    let _ = poll(others, PollTimeout::ZERO);
    result
}

/// Opens a signalfd, or changes the set of an open one.
fn signalfd(descriptor: RawFd, set: SignalSet) -> Result<RawFd, Errno> {
    let set = KernelSet::from(set);
    // SAFETY: the pointer is to a set of the size given.
    let result = unsafe {
        libc::syscall(libc::SYS_signalfd4, descriptor, &raw const set, KERNEL_SET_SIZE, libc::SFD_CLOEXEC)
    };
    checked(result).map(|descriptor| descriptor as RawFd)
}

/// The same open file under a number that is no standard descriptor's: one of those may be closed.
fn above_standard(descriptor: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: the kernel has just given it to us alone.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    if descriptor.as_raw_fd() > libc::STDERR_FILENO {
        return Ok(descriptor);
    }
    let moved = fcntl(&descriptor, FcntlArg::F_DUPFD_CLOEXEC(libc::STDERR_FILENO + 1))?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}

fn read_signal(descriptor: &OwnedFd) -> Option<Received> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
    // SAFETY: the pointer is to as many bytes as it says.
    let length = unsafe { libc::read(descriptor.as_raw_fd(), info.as_mut_ptr().cast(), size_of_val(&info)) };
    // EAGAIN: there is none. EINTR: stopped and continued, or traced.
    if length != size_of_val(&info) as isize {
        return None;
    }
    // SAFETY: zero bytes are a signalfd_siginfo, and the kernel wrote this one.
    Received::from_signalfd(&unsafe { info.assume_init() })
}

/// Takes a pending signal of the set, if there is one.
pub fn take(set: SignalSet) -> Option<Received> {
    wait_for(set, Some(Duration::ZERO))
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
    checked(result).ok()?;
    // SAFETY: zero bytes are a siginfo_t, and the kernel wrote this one.
    Received::from_siginfo(&unsafe { info.assume_init() })
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

/// The signals that have come and are blocked.
pub fn pending() -> SignalSet {
    let mut set = KernelSet::from(SignalSet::EMPTY);
    // SAFETY: the pointer is to a set of the size given.
    unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut set, KERNEL_SET_SIZE) };
    set.into()
}

/// Sends a signal to one process, with its payload where it came with one (rt_sigqueueinfo(2)).
///
/// The kernel lets no process claim that a signal came from another's kill(2) (`si_code` 0), so one that came that way
/// is sent on by kill(2), and sexton is its sender.
pub fn send(process: Pid, signal: Signal, payload: Option<Payload>) -> Result<(), Errno> {
    let Some(Payload { code, errno, pid, uid, value }) = payload else {
        // SAFETY: takes two integers.
        return checked(unsafe { libc::kill(process.as_raw(), signal.as_raw()) }.into()).map(drop);
    };
    let queued = QueuedInfo { signal: signal.as_raw(), errno, code, fields: Fields { pid, uid, value } };
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: a siginfo_t is larger than a QueuedInfo and aligned alike.
    unsafe { info.as_mut_ptr().cast::<QueuedInfo>().write(queued) };
    // SAFETY: the pointer is to a whole siginfo_t.
    let result =
        unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, process.as_raw(), signal.as_raw(), info.as_ptr()) };
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
    if !super::process::is_init() {
        return Err(Errno::EPERM);
    }
    // SAFETY: takes two integers.
    checked(unsafe { libc::kill(-1, signal.as_raw()) }.into()).map(drop)
}

/// What the C library calls the signal: `Terminated` (strsignal(3)).
#[cfg(feature = "cli")]
pub fn description(signal: Signal) -> String {
    // SAFETY: it gives a C string that stays until the next call, and there is one thread.
    let text = unsafe { libc::strsignal(signal.as_raw()) };
    // SAFETY: as above; it is never null for a signal that there is.
    unsafe { std::ffi::CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
