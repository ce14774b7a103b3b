//! Starting the program: fork(2) and execve(2), without waiting for either.
//!
//! An exec may take for ever: its file lies on a dead NFS server, or a scanner holds it back (fanotify(7)). vfork(2)
//! would make sexton wait for it, deaf to signals and deadlines. So the child is forked, and what goes wrong in it is
//! noted in a page that both share, which sexton reads when it has reaped the child. A pipe would tell as much, but it
//! takes two descriptors, and there may be none to be had (RLIMIT_NOFILE, setrlimit(2)).

use std::ffi::{CStr, CString, c_char};
use std::ptr::{self, NonNull};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{ForkResult, Gid, Pid, Uid, getpid, setgroups, setpgid, setresgid, setresuid, setsid};

use super::process;
use super::signal_state as signals;
use super::terminal::{self, Terminal};
use crate::environment::Environment;
use crate::exec_failure;
use crate::signal::{Signal, SignalSet};
use crate::status::{Ending, NOT_FOUND};

/// One thing the child does to itself between fork(2) and execve(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Becomes the leader of a process group of its own.
    LeadGroup,
    /// Becomes the leader of a session of its own, and takes the terminal on stdin if no other session has it.
    LeadSession,
    /// Puts its process group in the terminal's foreground.
    TakeTerminal(Terminal),
    /// Ignores a signal.
    Ignore(Signal),
    /// Sets the default action for a signal.
    Default(Signal),
    /// Sets the default action for every signal that has a handler: a handler of the host's that runs in the child
    /// could write to a pipe that the host reads.
    DropHandlers,
    /// Sets the supplementary groups.
    SetGroups(Vec<Gid>),
    /// Sets the real, effective and saved group.
    SetGroup(Gid),
    /// Sets the real, effective and saved user.
    SetUser(Uid),
    /// Forbids every exec to give more privileges.
    NoNewPrivs,
    /// Changes the working directory.
    ChangeDirectory(CString),
}

/// All that the child needs.
#[derive(Clone, Debug)]
pub struct Image {
    /// The files to try, in this order, as execvp(3) does with PATH.
    pub candidates: Vec<CString>,
    /// The arguments, the program's name first.
    pub arguments: Vec<CString>,
    /// `KEY=VALUE` each.
    pub environment: Environment,
    /// The index of a `LISTEN_PID=` in the environment that is to name the program (sd_listen_fds(3)).
    pub listen_pid: Option<usize>,
    /// What the child does first.
    pub steps: Vec<Step>,
    /// The signal mask that the program starts with.
    pub mask: SignalSet,
}

/// Why the child did not become the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// `Image::steps[index]` failed.
    Step(usize, Errno),
    /// execve(2) failed, and this is what the child had to say of it.
    Exec(Errno, Vec<u8>),
}

/// Finds out why `Image::candidates[index]` could not be executed, and puts it into bytes. The child does it, in the
/// directory that it was started in: it has the descriptors, and is the user that the exec failed for.
pub type Explain<'a> = &'a dyn Fn(usize, Errno) -> Vec<u8>;

/// A child that is or becomes the program.
#[derive(Debug)]
pub struct Started {
    /// Its PID.
    pub program: Pid,
    note: Note,
}

/// The variable that names the process that is meant to take the sockets handed on.
pub const LISTEN_PID: &str = "LISTEN_PID=";

/// Starts the program. All signals must be blocked, and this process must have one thread.
pub fn start(image: &Image, explain: Explain<'_>) -> Result<Started, Errno> {
    let note = Note::new()?;
    match process::fork_to_exec()? {
        ForkResult::Child => {
            note.write(&become_program(image, explain));
            // SAFETY: ends this process without running what the parent has registered with atexit(3).
            unsafe { libc::_exit(NOT_FOUND.into()) }
        }
        ForkResult::Parent { child } => {
            if image.steps.contains(&Step::LeadGroup) {
                // The child does it too, and either may come first: a signal to the group must not find none. It fails
                // where the child has called execve(2) by now, and so has done it.
                let _ = setpgid(child, child);
            }
            Ok(Started { program: child, note })
        }
    }
}

impl Started {
    /// Why the child did not become the program, where its end is that of one that did not.
    pub fn failure(&self, ending: Ending) -> Option<Failure> {
        if ending == Ending::Exited(NOT_FOUND) { self.note.read() } else { None }
    }
}

fn become_program(image: &Image, explain: Explain<'_>) -> Failure {
    let moves = image.steps.iter().any(|step| matches!(step, Step::ChangeDirectory(_)));
    let started_in = if moves { nix::unistd::getcwd().ok() } else { None };
    for (index, step) in image.steps.iter().enumerate() {
        if let Err(errno) = take(step) {
            return Failure::Step(index, errno);
        }
    }
    let mut environment = pointers(image.environment.entries());
    let own_pid;
    if let Some(entry) = image.listen_pid {
        own_pid = CString::new(format!("{LISTEN_PID}{}", getpid())).unwrap_or_default();
        environment[entry] = own_pid.as_ptr();
    }
    let arguments = pointers(&image.arguments);
    // Last of all: from here on a signal may end the child, as it may end the program.
    signals::set_mask(image.mask);
    let (candidate, errno) = exec(image, &arguments, &environment);
    signals::set_mask(SignalSet::ALL);
    if let Some(directory) = started_in {
        let _ = nix::unistd::chdir(&directory);
    }
    Failure::Exec(errno, explain(candidate, errno))
}

/// Tries the candidates as execvp(3) does. One that exists but may not be executed tells more than one that does not
/// exist. Gives back the candidate that tells most.
fn exec(image: &Image, arguments: &[*const c_char], environment: &[*const c_char]) -> (usize, Errno) {
    let mut failure = (0, Errno::ENOENT);
    for (index, candidate) in image.candidates.iter().enumerate() {
        match exec_file(candidate, arguments, environment) {
            libc::ENOENT | libc::ENOTDIR | libc::ENODEV | libc::ESTALE | libc::ETIMEDOUT => {}
            libc::EACCES => failure = (index, Errno::EACCES),
            errno => {
                if errno == libc::ENOEXEC && exec_failure::is_for_the_shell(candidate) {
                    exec_by_shell(candidate, arguments, environment);
                }
                return (index, Errno::from_raw(errno));
            }
        }
    }
    failure
}

/// Has the shell run a file that is text without `#!`, as execvp(3) does.
#[cold]
#[inline(never)]
fn exec_by_shell(file: &CStr, arguments: &[*const c_char], environment: &[*const c_char]) {
    // A name that begins with a hyphen would be an option.
    let prefix: &[u8] = if file.to_bytes().starts_with(b"-") { b"./" } else { b"" };
    let Ok(script) = CString::new([prefix, file.to_bytes()].concat()) else { return };
    let Ok(shell) = CString::new(exec_failure::SHELL) else { return };
    let arguments = [&[shell.as_ptr(), script.as_ptr()], &arguments[1..]].concat();
    exec_file(&shell, &arguments, environment);
}

/// Gives back errno as a plain number: the search along PATH fails in most starts, and nix's table of errors would be
/// one more page to touch.
fn exec_file(file: &CStr, arguments: &[*const c_char], environment: &[*const c_char]) -> i32 {
    // SAFETY: a C string, and two arrays of C strings that end with null.
    unsafe { libc::execve(file.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    Errno::last_raw()
}

/// The array that execve(2) takes.
fn pointers<S: AsRef<CStr>>(strings: &[S]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ref().as_ptr()).chain([ptr::null()]).collect()
}

/// Takes a step, in the child.
pub fn take(step: &Step) -> Result<(), Errno> {
    let myself = Pid::from_raw(0);
    match step {
        Step::LeadGroup => setpgid(myself, myself),
        Step::LeadSession => {
            let session = setsid().map(drop);
            // There may be no terminal, or it may be another session's.
            let _ = terminal::control_standard_input();
            session
        }
        Step::TakeTerminal(terminal) => terminal.set_foreground_group(getpid()),
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
        Step::SetGroups(groups) => setgroups(groups),
        Step::SetGroup(group) => setresgid(*group, *group, *group),
        Step::SetUser(user) => setresuid(*user, *user, *user),
        Step::NoNewPrivs => process::forbid_new_privileges(),
        Step::ChangeDirectory(directory) => nix::unistd::chdir(directory.as_c_str()),
    }
}

/// What the child leaves for its parent to read when something went wrong. All zeros is an empty note, so a start that
/// succeeds does not touch its pages.
#[repr(C)]
struct Page {
    /// 0: nothing. 1: a step. 2: execve(2).
    kind: i32,
    errno: i32,
    /// Of the step.
    index: usize,
    /// How much of `text` is used.
    length: usize,
    text: [u8; LONGEST_TEXT],
}

/// Room for what is to be said of an exec that failed, with a PATH in it; more is cut off.
const LONGEST_TEXT: usize = 128 * 1024;

/// A page that a child shares with its parent.
#[derive(Debug)]
struct Note(NonNull<Page>);

impl Note {
    fn new() -> Result<Note, Errno> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, at a place that the kernel chooses.
        let address = unsafe { libc::mmap(ptr::null_mut(), size_of::<Page>(), protection, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        NonNull::new(address.cast()).map(Note).ok_or(Errno::ENOMEM)
    }

    /// In the child.
    fn write(&self, failure: &Failure) {
        // SAFETY: the mapping is as large as a Page, and the parent reads it only when this process has ended.
        let page = unsafe { &mut *self.0.as_ptr() };
        match failure {
            Failure::Step(index, errno) => (page.kind, page.index, page.errno) = (1, *index, *errno as i32),
            Failure::Exec(errno, text) => {
                let length = text.len().min(LONGEST_TEXT);
                page.text[..length].copy_from_slice(&text[..length]);
                (page.kind, page.length, page.errno) = (2, length, *errno as i32);
            }
        }
    }

    /// In the parent, when the child has ended.
    fn read(&self) -> Option<Failure> {
        // SAFETY: the mapping is as large as a Page, any bytes of which are one, and its other user is gone.
        let page = unsafe { &*self.0.as_ptr() };
        let errno = Errno::from_raw(page.errno);
        match page.kind {
            1 => Some(Failure::Step(page.index, errno)),
            2 => Some(Failure::Exec(errno, page.text[..page.length.min(LONGEST_TEXT)].to_vec())),
            _ => None,
        }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        // SAFETY: nothing else refers to the mapping.
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<Page>()) };
    }
}
