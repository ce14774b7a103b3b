//! Starting the program: vfork(2) and execve(2), with everything prepared before.
//!
//! The child shares this process's memory, and this process stands still until the child has called
//! execve(2) or ended: vfork(2) without its pitfalls, as posix_spawn(3) of glibc and musl does it, with a
//! stack of the child's own. It saves the copying of page tables, and what went wrong comes back
//! in shared memory, without a pipe; so sexton has no descriptor open when the program starts.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{Gid, Pid, Uid};

use super::terminal::Terminal;
use super::{checked, signals};
use crate::environment::Environment;
use crate::signal::{Signal, SignalSet};

/// One thing the child does to itself between its start and execve(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Makes itself the leader of a process group of its own.
    LeadGroup,
    /// Makes itself the leader of a session of its own, and takes the terminal on stdin if no other session has it.
    LeadSession,
    /// Puts its process group in the foreground of the terminal.
    TakeTerminal(Terminal),
    /// Ignores a signal.
    Ignore(Signal),
    /// Sets the default action for a signal.
    Default(Signal),
    /// Sets the default action for every signal that has a handler: a handler must not run in shared memory.
    DropHandlers,
    /// Sets the supplementary groups.
    SetGroups(Vec<Gid>),
    /// Sets the real, effective and saved group.
    SetGroup(Gid),
    /// Sets the real, effective and saved user.
    SetUser(Uid),
    /// Lets no exec give more privileges.
    NoNewPrivs,
    /// Changes the working directory.
    ChangeDirectory(CString),
}

/// All that the child needs; it allocates nothing.
#[derive(Clone, Debug)]
pub struct Image {
    /// The files to try, in this order, as execvp(3) does with PATH.
    pub candidates: Vec<CString>,
    /// The arguments, the program's name first.
    pub arguments: Vec<CString>,
    /// `KEY=VALUE` each.
    pub environment: Environment,
    /// The place of a `LISTEN_PID=` in the environment that is to name the program (sd_listen_fds(3)).
    pub listen_pid: Option<usize>,
    /// What the child does first.
    pub steps: Vec<Step>,
    /// The signal mask that the program starts with.
    pub mask: SignalSet,
}

/// Why the child did not become the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is no child: clone(2) failed.
    Clone(Errno),
    /// `Image::steps[index]` failed.
    Step(usize, Errno),
    /// execve(2) failed for `Image::candidates[index]`, the one that tells most.
    Exec(usize, Errno),
}

/// What the child works with: the image as the pointers that execve(2) takes.
struct Child<'a> {
    image: &'a Image,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    listen_pid: [u8; LISTEN_PID.len() + 11],
    failure: Cell<Option<Failure>>,
}

/// The variable that names the process that is meant to take the sockets handed on.
pub const LISTEN_PID: &str = "LISTEN_PID=";

/// Enough for the few calls that the child makes; only the pages that it touches cost memory.
const STACK_SIZE: usize = 32 * 1024;

/// The child's stack. Every architecture wants it aligned to 16 bytes.
#[repr(align(16))]
struct Stack {
    _bytes: [u8; STACK_SIZE],
}

/// In the zeroed data: on the heap it would be between what is there, and set foot on two pages more. Locked, it is
/// one child's at a time.
static STACK: Mutex<Stack> = Mutex::new(Stack { _bytes: [0; STACK_SIZE] });

/// Starts the program. All signals must be blocked.
///
/// Gives back the program's PID once it runs. A child that fails before is dead by then and not yet reaped.
pub fn start(image: &Image) -> Result<Pid, (Option<Pid>, Failure)> {
    let mut child = Child {
        image,
        arguments: pointers(&image.arguments),
        environment: pointers(image.environment.entries()),
        listen_pid: [0; _],
        failure: Cell::new(None),
    };
    let mut stack = STACK.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: one past the end of the array; stacks grow down on every architecture that sexton runs on.
    let top = unsafe { ptr::from_mut(&mut *stack).add(1) };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack is the child's alone, and `child` outlives it: CLONE_VFORK keeps this thread from
    // going on before the child has another image or has ended. The child makes async-signal-safe calls only.
    let pid = unsafe { libc::clone(run_child, top.cast(), flags, (&raw mut child).cast()) };
    match (checked(pid.into()), child.failure.get()) {
        (Err(errno), _) => Err((None, Failure::Clone(errno))),
        (Ok(_), Some(failure)) => Err((Some(Pid::from_raw(pid)), failure)),
        (Ok(_), None) => Ok(Pid::from_raw(pid)),
    }
}

/// The array that execve(2) takes.
fn pointers<S: AsRef<CStr>>(strings: &[S]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ref().as_ptr()).chain([ptr::null()]).collect()
}

extern "C" fn run_child(child: *mut c_void) -> c_int {
    // SAFETY: `start` passes its Child, which nothing else uses while this runs.
    let child = unsafe { &mut *child.cast::<Child<'_>>() };
    let failure = child.become_program();
    child.failure.set(Some(failure));
    // SAFETY: ends this process alone; the memory is the parent's.
    unsafe { libc::_exit(127) }
}

impl Child<'_> {
    fn become_program(&mut self) -> Failure {
        for (index, step) in self.image.steps.iter().enumerate() {
            if let Err(errno) = take(step) {
                return Failure::Step(index, errno);
            }
        }
        if let Some(entry) = self.image.listen_pid {
            write_listen_pid(&mut self.listen_pid);
            self.environment[entry] = self.listen_pid.as_ptr().cast();
        }
        // Last of all: from here on a signal may end the child, as it may end the program.
        signals::set_mask(self.image.mask);
        let failure = self.exec();
        signals::set_mask(SignalSet::ALL);
        failure
    }

    /// Tries the candidates as execvp(3) does. One that is there and may not be executed tells more than
    /// one that is not there.
    fn exec(&self) -> Failure {
        let mut failure = Failure::Exec(0, Errno::ENOENT);
        for (index, candidate) in self.image.candidates.iter().enumerate() {
            match self.exec_file(candidate) {
                libc::ENOENT | libc::ENOTDIR | libc::ENODEV | libc::ESTALE | libc::ETIMEDOUT => {}
                libc::EACCES => failure = Failure::Exec(index, Errno::EACCES),
                errno => return Failure::Exec(index, Errno::from_raw(errno)),
            }
        }
        failure
    }

    /// A plain number: the search along PATH fails in most starts, and nix's table of errors would be a page more.
    fn exec_file(&self, file: &CStr) -> i32 {
        // SAFETY: a C string, and two arrays of C strings that end with null.
        unsafe { libc::execve(file.as_ptr(), self.arguments.as_ptr(), self.environment.as_ptr()) };
        Errno::last_raw()
    }
}

/// Takes a step, in the child. Async-signal-safe.
pub fn take(step: &Step) -> Result<(), Errno> {
    let myself = Pid::from_raw(0);
    match step {
        Step::LeadGroup => nix::unistd::setpgid(myself, myself),
        Step::LeadSession => {
            let session = nix::unistd::setsid().map(drop);
            // There may be none, or it may be another's.
            let _ = super::terminal::control_standard_input();
            session
        }
        Step::TakeTerminal(terminal) => terminal.set_foreground_group(nix::unistd::getpid()),
        Step::Ignore(signal) => {
            signals::set_ignored(*signal);
            Ok(())
        }
        Step::Default(signal) => {
            signals::set_default(*signal);
            Ok(())
        }
        Step::DropHandlers => {
            signals::drop_handlers();
            Ok(())
        }
        // The C library's own calls would make every thread of the shared memory's owner follow (nptl(7)).
        Step::SetGroups(groups) => {
            // SAFETY: the pointer is to as many numbers as it says; a Gid is one (`repr(transparent)`).
            let result = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
            checked(result).map(drop)
        }
        Step::SetGroup(group) => {
            let group = group.as_raw();
            // SAFETY: takes integers.
            checked(unsafe { libc::syscall(libc::SYS_setresgid, group, group, group) }).map(drop)
        }
        Step::SetUser(user) => {
            let user = user.as_raw();
            // SAFETY: takes integers.
            checked(unsafe { libc::syscall(libc::SYS_setresuid, user, user, user) }).map(drop)
        }
        Step::NoNewPrivs => super::process::forbid_new_privileges(),
        Step::ChangeDirectory(directory) => nix::unistd::chdir(directory.as_c_str()),
    }
}

/// Writes `LISTEN_PID=` and this process's PID, without allocating.
fn write_listen_pid(entry: &mut [u8]) {
    let mut pid = nix::unistd::getpid().as_raw().unsigned_abs();
    let digits = pid.checked_ilog10().unwrap_or(0) as usize + 1;
    entry[..LISTEN_PID.len()].copy_from_slice(LISTEN_PID.as_bytes());
    for place in (LISTEN_PID.len()..LISTEN_PID.len() + digits).rev() {
        entry[place] = b'0' + (pid % 10) as u8;
        pid /= 10;
    }
}
