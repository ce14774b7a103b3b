//! Signal calls straight to the kernel, with its 64-bit sets: a C library hides signals 32 to 34.
#![allow(unsafe_code, reason = "no safe wrapper covers real-time signals and all 64 bits of a mask")]

use std::io;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{ForkResult, Pid, fork};

/// Size of the kernel's signal set in bytes.
const SET_SIZE: usize = size_of::<u64>();

/// The bit of `signal` in a mask.
pub(crate) fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

pub(crate) fn set_mask(mask: u64) -> nix::Result<()> {
    let none: *mut u64 = std::ptr::null_mut();
    let mask = &raw const mask;
    // SAFETY: `mask` is a readable set of SET_SIZE bytes, and nothing is written through a null pointer.
    let result = unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, mask, none, SET_SIZE) };
    Errno::result(result).map(drop)
}

/// The blocked signals that have arrived.
pub(crate) fn pending() -> nix::Result<u64> {
    let mut set = 0;
    let pending = &raw mut set;
    // SAFETY: `set` is a writable set of SET_SIZE bytes.
    let result = unsafe { libc::syscall(libc::SYS_rt_sigpending, pending, SET_SIZE) };
    Errno::result(result).map(|_| set)
}

/// The dispositions that survive an exec.
#[derive(Clone, Copy)]
pub(crate) enum Disposition {
    Default,
    Ignore,
}

pub(crate) fn set_disposition(signal: i32, disposition: Disposition) -> nix::Result<()> {
    let handler = match disposition {
        Disposition::Default => 0,
        Disposition::Ignore => 1,
    };
    // The kernel's struct sigaction: handler, flags, restorer, mask.
    let action: [u64; 4] = [handler, 0, 0, 0];
    let none: *mut u64 = std::ptr::null_mut();
    let action = &raw const action;
    // SAFETY: `action` is a readable struct sigaction, and nothing is written through a null pointer.
    let result = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action, none, SET_SIZE) };
    Errno::result(result).map(drop)
}

pub(crate) fn kill(pid: i32, signal: i32) -> nix::Result<()> {
    // SAFETY: kill has no requirements on memory.
    let result = unsafe { libc::syscall(libc::SYS_kill, pid, signal) };
    Errno::result(result).map(drop)
}

/// Who a queued signal says it is from, and what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) value: u64,
    pub(crate) pid: i32,
    pub(crate) uid: u32,
}

/// rt_sigqueueinfo(2) with SI_QUEUE.
pub(crate) fn queue(pid: i32, signal: i32, payload: Payload) -> nix::Result<()> {
    #[repr(C)]
    struct Info {
        number: i32,
        errno: i32,
        code: i32,
        padding: i32,
        pid: i32,
        uid: u32,
        value: u64,
        rest: [u64; 12],
    }
    const { assert!(size_of::<Info>() == size_of::<libc::siginfo_t>()) };
    let Payload { value, pid: sender, uid } = payload;
    let code = libc::SI_QUEUE;
    let info = Info { number: signal, errno: 0, code, padding: 0, pid: sender, uid, value, rest: [0; 12] };
    // SAFETY: `info` is as large as a siginfo_t and readable.
    let result = unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, pid, signal, &raw const info) };
    Errno::result(result).map(drop)
}

/// Forks. Only for what has one thread: the guardian before it starts the tests, and the hidden modes of this binary.
pub(crate) fn fork_single_threaded() -> nix::Result<ForkResult> {
    // SAFETY: the callers have started no thread, so the child finds every lock and all memory in order.
    unsafe { fork() }
}

/// The raw wait status of a child; `None` while it runs and `block` is not set.
pub(crate) fn wait_raw(pid: Pid, block: bool) -> nix::Result<Option<i32>> {
    let flags = if block { 0 } else { libc::WNOHANG };
    let mut status = 0;
    loop {
        // SAFETY: `status` is writable.
        let result = unsafe { libc::waitpid(pid.as_raw(), &raw mut status, flags) };
        match Errno::result(result) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(status)),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Moves the descriptor `from` to the number `to`, with the close-on-exec flag as given.
pub(crate) fn place_descriptor(from: i32, to: i32, close_on_exec: bool) -> nix::Result<()> {
    if from != to {
        // SAFETY: dup2 of any two numbers is defined; a bad one is an error.
        Errno::result(unsafe { libc::dup2(from, to) })?;
        close_descriptor(from);
    }
    let flag = if close_on_exec { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: F_SETFD takes a number; a bad descriptor is an error.
    Errno::result(unsafe { libc::fcntl(to, libc::F_SETFD, flag) }).map(drop)
}

pub(crate) fn close_descriptor(number: i32) {
    // SAFETY: only the launcher calls this, for descriptors that nothing in it owns.
    unsafe { libc::close(number) };
}

pub(crate) fn close_range(first: u32, last: u32) {
    // SAFETY: as for `close_descriptor`.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
}

/// Fills the pipe at `descriptor` until it takes nothing more, and leaves it blocking.
pub(crate) fn fill_pipe(descriptor: i32) -> nix::Result<()> {
    // SAFETY: F_GETFL reads flags.
    let flags = Errno::result(unsafe { libc::fcntl(descriptor, libc::F_GETFL) })?;
    // SAFETY: F_SETFL takes flags.
    Errno::result(unsafe { libc::fcntl(descriptor, libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    for size in [4096, 1] {
        let page = [b'.'; 4096];
        // SAFETY: `page` has at least `size` readable bytes.
        while unsafe { libc::write(descriptor, page.as_ptr().cast(), size) } > 0 {}
    }
    // SAFETY: F_SETFL takes flags.
    Errno::result(unsafe { libc::fcntl(descriptor, libc::F_SETFL, flags) }).map(drop)
}

/// Makes this process adopt its descendants' orphans.
pub(crate) fn become_subreaper() -> nix::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)
}

/// Lets a process that changed its user ID write its own /proc/self/uid_map.
pub(crate) fn set_dumpable() -> nix::Result<()> {
    nix::sys::prctl::set_dumpable(true)
}

pub(crate) fn set_niceness(nice: i32) -> nix::Result<()> {
    // SAFETY: setpriority has no requirements on memory.
    Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map(drop)
}

/// Gives a command `descriptor` as `number`, where the launcher looks for it.
pub(crate) fn pass_descriptor(command: &mut std::process::Command, descriptor: i32, number: i32) {
    use std::os::unix::process::CommandExt;
    let place = move || {
        // SAFETY: dup2 is async-signal-safe, and both numbers are plain.
        let result = unsafe { libc::dup2(descriptor, number) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: `place` makes one async-signal-safe call and allocates nothing.
    unsafe { command.pre_exec(place) };
}

/// Makes `to` another name of `from`.
pub(crate) fn duplicate(from: i32, to: i32) -> nix::Result<()> {
    // SAFETY: dup2 of any two numbers is defined; a bad one is an error.
    Errno::result(unsafe { libc::dup2(from, to) }).map(drop)
}

/// A descriptor that is readable when the process has ended.
pub(crate) fn open_pidfd(pid: Pid) -> nix::Result<i32> {
    // SAFETY: pidfd_open has no requirements on memory.
    let result = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    Ok(i32::try_from(result).expect("a descriptor fits"))
}

/// For the launcher's descriptors, which stay open as long as it lives.
pub(crate) fn borrow(descriptor: i32) -> BorrowedFd<'static> {
    // SAFETY: the launcher closes none of the descriptors that it borrows.
    unsafe { BorrowedFd::borrow_raw(descriptor) }
}

pub(crate) fn set_variable(name: &str, value: &str) {
    // SAFETY: only the launcher calls this, and it has one thread.
    unsafe { std::env::set_var(name, value) };
}

/// TIOCSWINSZ (ioctl_tty(2)).
pub(crate) fn set_window_size(terminal: i32, rows: u16, columns: u16) -> nix::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `size` is a readable winsize.
    Errno::result(unsafe { libc::ioctl(terminal, libc::TIOCSWINSZ, &raw const size) }).map(drop)
}

/// From here on a system call fails with this errno (seccomp(2)).
pub(crate) fn refuse(call: libc::c_long, errno: Errno) -> nix::Result<()> {
    let instruction =
        |code: u32, jump_if_not, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: jump_if_not, k };
    let number_of_the_call = 0;
    let mut program = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, number_of_the_call),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, call as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // Without privileges a filter needs this first.
    // SAFETY: prctl takes integers here.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    // SAFETY: `program` points to as many instructions as it says.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    Errno::result(result).map(drop)
}
