//! Processes: making children and waiting for them; handles of others; this process's place among them.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{ForkResult, Pid};

use super::checked;
use crate::signal::Signal;
use crate::status::ChildStatus;

/// Whether this process is the init of its PID namespace.
pub fn is_init() -> bool {
    nix::unistd::getpid().as_raw() == 1
}

/// What wait(2) found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// A child's state changed. One that ended is now reaped, and its PID may be given to a new process.
    Child(Pid, ChildStatus),
    /// There are children, and none has changed its state.
    Nothing,
    /// There are no children.
    NoChildren,
}

/// Takes the next change of a child's state, of any child or of one, without waiting.
pub fn wait_for_child(which: Option<Pid>) -> Waited {
    loop {
        let mut status = 0;
        let options = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
        // SAFETY: the pointer is to an int.
        let pid = unsafe { libc::waitpid(which.map_or(-1, Pid::as_raw), &raw mut status, options) };
        match checked(pid.into()) {
            Ok(0) => return Waited::Nothing,
            Err(_) => return Waited::NoChildren,
            Ok(_) => {
                if let Some(status) = ChildStatus::from_raw(status) {
                    return Waited::Child(Pid::from_raw(pid), status);
                }
            }
        }
    }
}

/// Whether this process has children, dead or alive.
pub fn has_children() -> bool {
    look_at_child(libc::P_ALL, 0, libc::WEXITED).is_ok()
}

/// The child whose change of state comes next, and whether it is dead. The news is left for `wait_for_child`, which
/// may take another child's unless it is told which: a child that dies meanwhile may come first. `None` where there are
/// children, and none has changed its state; an error where there are none.
pub fn next_change() -> Result<Option<(Pid, bool)>, Errno> {
    let is_death = |code| matches!(code, libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED);
    let change = look_at_child(libc::P_ALL, 0, libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED)?;
    Ok(change.map(|(child, code)| (child, is_death(code))))
}

/// Whether a child that was stopped has been continued since; the news is left for `wait_for_child`.
pub fn is_continued(child: Pid) -> bool {
    matches!(look_at_child(libc::P_PID, child.as_raw().unsigned_abs(), libc::WCONTINUED), Ok(Some(_)))
}

/// Takes the news that a child was stopped or continued. `None` where it is no news any more: it has died, say, and its
/// death is left for `wait_for_child`.
pub fn wait_for_stop(child: Pid) -> Option<ChildStatus> {
    let id = child.as_raw().unsigned_abs();
    let (_, code, status) = wait_id(libc::P_PID, id, libc::WSTOPPED | libc::WCONTINUED).ok()??;
    // As waitpid(2) writes it.
    ChildStatus::from_raw(if code == libc::CLD_CONTINUED { 0xffff } else { status << 8 | 0x7f })
}

/// A change of a child's state, which stays to be told (waitid(2), WNOWAIT): the child, and `si_code`. `None` where
/// there are children, and none has changed.
fn look_at_child(
    kind: libc::idtype_t,
    id: libc::id_t,
    changes: libc::c_int,
) -> Result<Option<(Pid, libc::c_int)>, Errno> {
    Ok(wait_id(kind, id, changes | libc::WNOWAIT)?.map(|(child, code, _)| (child, code)))
}

/// The child, `si_code` and `si_status`, without waiting.
fn wait_id(
    kind: libc::idtype_t,
    id: libc::id_t,
    options: libc::c_int,
) -> Result<Option<(Pid, libc::c_int, libc::c_int)>, Errno> {
    // SAFETY: zero bytes are a siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a siginfo_t.
    let result = unsafe { libc::waitid(kind, id, &raw mut info, options | libc::WNOHANG) };
    checked(result.into())?;
    // SAFETY: waitid(2) filled in a SIGCHLD's siginfo_t, or left the zeros when there was no child to tell of.
    let child = unsafe { info.si_pid() };
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    Ok((child > 0).then(|| (Pid::from_raw(child), info.si_code, status)))
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

/// Makes this process the parent of every orphan among its descendants, or no longer (PR_SET_CHILD_SUBREAPER(2const)).
pub fn set_child_subreaper(on: bool) -> Result<(), Errno> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, libc::c_ulong::from(on))
}

/// Whether this process is a child subreaper.
pub fn is_child_subreaper() -> bool {
    ask(libc::PR_GET_CHILD_SUBREAPER) != 0
}

/// The signal that the kernel sends this process when its parent dies, if one is set.
pub fn parent_death_signal() -> Option<Signal> {
    Signal::from_raw(ask(libc::PR_GET_PDEATHSIG))
}

fn ask(option: libc::c_int) -> libc::c_int {
    let mut answer: libc::c_int = 0;
    // SAFETY: the options above take a pointer to an int.
    unsafe { libc::prctl(option, &raw mut answer) };
    answer
}

/// Whether this process has one thread only. unshare(2) with CLONE_THREAD does nothing in a process with one thread, and
/// is EINVAL in any other: a question that needs no /proc.
pub fn has_one_thread() -> bool {
    // SAFETY: it does nothing, or fails.
    match checked(unsafe { libc::unshare(libc::CLONE_THREAD) }.into()) {
        Ok(_) => true,
        Err(Errno::EINVAL) => false,
        // Docker's seccomp profile refuses every unshare(2) to a container without CAP_SYS_ADMIN.
        Err(_) => std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1),
    }
}

/// Makes a copy of this process, which must have one thread.
pub fn fork() -> Result<ForkResult, Errno> {
    // SAFETY: with one thread no lock is held by another that the child would wait for.
    unsafe { nix::unistd::fork() }
}

/// The same for a child that does nothing but to execute a program: without what the C library does for one that lives on,
/// which is five system calls in musl.
pub fn fork_to_exec() -> Result<ForkResult, Errno> {
    let (flags, no_stack, nowhere): (libc::c_ulong, libc::c_ulong, libc::c_ulong) =
        (libc::SIGCHLD as _, 0, 0);
    // Without a stack the child goes on in a copy of its parent's (clone(2), which names the order of the arguments).
    let (first, second) = if cfg!(target_arch = "s390x") { (no_stack, flags) } else { (flags, no_stack) };
    // SAFETY: as above; the three pointers are not used without flags that say so.
    match checked(unsafe { libc::syscall(libc::SYS_clone, first, second, nowhere, nowhere, nowhere) })? {
        0 => Ok(ForkResult::Child),
        child => Ok(ForkResult::Parent { child: Pid::from_raw(child as i32) }),
    }
}

/// Makes this process the one that the sockets in its environment are for (sd_listen_fds(3)). It must have one thread.
pub fn take_sockets_over() {
    // SAFETY: no other thread reads or writes the environment.
    unsafe { std::env::set_var("LISTEN_PID", std::process::id().to_string()) };
    // SAFETY: as above.
    unsafe { std::env::remove_var("LISTEN_PIDFDID") };
}

/// Has the kernel send this process the signal when its parent dies, or none (PR_SET_PDEATHSIG(2const)).
pub fn set_parent_death_signal(signal: Option<Signal>) -> Result<(), Errno> {
    prctl(libc::PR_SET_PDEATHSIG, signal.map_or(0, |signal| signal.number().into()))
}

/// Forbids every exec to give this process more privileges (PR_SET_NO_NEW_PRIVS(2const)).
pub fn forbid_new_privileges() -> Result<(), Errno> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

fn prctl(option: libc::c_int, value: libc::c_ulong) -> Result<(), Errno> {
    let zero: libc::c_ulong = 0;
    // SAFETY: the options above take one integer.
    checked(unsafe { libc::prctl(option, value, zero, zero, zero) }.into()).map(drop)
}

/// Closes every descriptor from 3 on.
pub fn close_descriptors_from_three() {
    // SAFETY: nothing in this process uses a descriptor above 2.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) };
    if checked(result).is_ok() {
        return;
    }
    // Linux before 5.9.
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<i32> = open
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd >= 3)
        .collect();
    for descriptor in open {
        // SAFETY: as above. The directory's own descriptor is in the list and closed already, which is only EBADF.
        unsafe { libc::close(descriptor) };
    }
}

/// Closes stdin and stdout.
pub fn close_standard_input_and_output() {
    for descriptor in [libc::STDIN_FILENO, libc::STDOUT_FILENO] {
        // SAFETY: nothing in this process reads or writes them.
        unsafe { libc::close(descriptor) };
    }
}
