//! Why an exec failed, and what to do: looked up in the file itself.
//!
//! execve(2) has few words. ENOENT may mean that the program, its interpreter or its loader is not there,
//! EACCES has six reasons, ENOEXEC as many. So once it has failed the file is looked at as the kernel did.

mod argument_size;
mod contents;
mod near;
mod path_walk;
mod reason;
mod tell;

use std::ffi::{CStr, OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::statvfs::{FsFlags, statvfs};

use self::contents::{Contents, Interpreter};
use self::path_walk::{Obstacle, follow};
use crate::mounts;
use crate::status::{CANNOT_EXECUTE, NOT_FOUND};
use crate::sys::exec::Image;

pub use self::path_walk::Credentials;
use self::path_walk::Restricted;
use self::reason::{Hint, Reason};

/// A program that could not be executed, and why. It displays as a line that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecFailure {
    /// The program as it was asked for.
    pub program: OsString,
    /// The file that the reason is about; `None` where none was found in PATH.
    pub file: Option<PathBuf>,
    /// The kernel's reason, one of errno(3), as [`std::io::Error::from_raw_os_error`] takes it.
    pub errno: i32,
    /// What it is all about, in words.
    text: String,
    is_not_found: bool,
}

impl ExecFailure {
    /// 127 where nothing was found, else 126, as in a shell.
    pub fn exit_code(&self) -> u8 {
        if self.is_not_found { NOT_FOUND } else { CANNOT_EXECUTE }
    }
}

impl fmt::Display for ExecFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl ExecFailure {
    /// As bytes, for the parent of the process that has found it out.
    pub fn encode(&self) -> Vec<u8> {
        let file = self.file.as_ref().map_or(&b""[..], |file| file.as_os_str().as_bytes());
        [&[self.is_not_found.into()], file, b"\0", self.text.as_bytes()].concat()
    }

    /// What `encode` has written for this program and errno.
    pub fn decode(program: &OsStr, errno: Errno, bytes: &[u8]) -> ExecFailure {
        let (is_not_found, rest) = bytes.split_first().unwrap_or((&0, b""));
        let mut parts = rest.splitn(2, |byte| *byte == 0);
        let file = parts.next().filter(|file| !file.is_empty());
        ExecFailure {
            program: program.to_owned(),
            file: file.map(|file| OsStr::from_bytes(file).into()),
            errno: errno as i32,
            text: String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned(),
            is_not_found: *is_not_found != 0,
        }
    }
}

impl std::error::Error for ExecFailure {}

/// An exec that failed.
pub struct Attempt<'a> {
    /// The program as it was asked for.
    pub program: &'a OsStr,
    /// The PATH in which it was looked for, if it was and there is one.
    pub path: Option<&'a [u8]>,
    /// Where it is looked for without PATH.
    pub default_path: &'a [u8],
    /// What was tried.
    pub image: &'a Image,
    /// Which of its candidates failed.
    pub candidate: usize,
    /// The kernel's reason.
    pub errno: Errno,
    /// Who was to execute it.
    pub who: Credentials,
    /// Where: the program's working directory, empty where that is this process's.
    pub directory: &'a Path,
}

impl Attempt<'_> {
    /// Says why.
    pub fn explain(&self) -> ExecFailure {
        let (file, reason) = match self.culprit() {
            Some(candidate) => (Some(path(candidate)), self.reason(candidate)),
            None => (None, self.not_in_path()),
        };
        let program = self.program.to_owned();
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = reason.tell(file.as_deref().unwrap_or(Path::new(&program)), &mut text);
        ExecFailure { program, file, errno: self.errno as i32, text, is_not_found: reason.is_not_found() }
    }

    /// The candidate that the failure is about. One that is there and cannot be executed is told of, before
    /// all the places where there is none.
    fn culprit(&self) -> Option<&CStr> {
        let failed = self.image.candidates.get(self.candidate).map(|candidate| candidate.as_c_str());
        if !self.is_searched() || !matches!(self.errno, Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) {
            return failed;
        }
        let all = self.image.candidates.iter().map(|candidate| candidate.as_c_str());
        failed.into_iter().chain(all).find(|candidate| follow(path_of(candidate), &self.who).is_ok())
    }

    fn is_searched(&self) -> bool {
        !self.program.as_bytes().contains(&b'/')
    }

    fn reason(&self, candidate: &CStr) -> Reason {
        let file = path_of(candidate);
        match self.errno {
            Errno::E2BIG => {
                let arguments: Vec<&CStr> = self.image.arguments.iter().map(AsRef::as_ref).collect();
                let entries = self.image.environment.entries();
                let environment: Vec<&CStr> = entries.iter().map(AsRef::as_ref).collect();
                argument_size::reason(candidate, &arguments, &environment)
            }
            Errno::ETXTBSY => Reason::BeingWritten,
            Errno::ENOMEM => Reason::OutOfMemory,
            Errno::EAGAIN => Reason::TooManyProcesses,
            errno => match look_at(file, self, 0) {
                Some(Reason::Missing { directory, name, link, .. }) => {
                    let hint = self.hint_for_missing(&directory, &name);
                    Reason::Missing { directory, name, link, hint }
                }
                Some(reason) => reason,
                None => Reason::Unknown(errno),
            },
        }
    }

    fn hint_for_missing(&self, directory: &Path, name: &OsStr) -> Option<Hint> {
        let several =
            || first_word(self.program).filter(|word| self.resolve(word).is_file()).map(Hint::SeveralWords);
        // A directory that is named wrong is not looked for.
        let last = || Path::new(self.program).file_name() == Some(name);
        let places = || [directory.to_owned()].into_iter().chain(self.directories());
        let near = || near::program(name, places()).map(Hint::Near);
        several().or_else(|| if last() { near() } else { None })
    }

    /// Of PATH; an empty one is the working directory.
    fn directories(&self) -> impl Iterator<Item = PathBuf> {
        let path = self.path.unwrap_or(self.default_path);
        path.split(|byte| *byte == b':').map(|entry| self.resolve(OsStr::from_bytes(entry)))
    }

    /// What the path leads to from the program's working directory.
    fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        self.directory.join(path)
    }

    fn not_in_path(&self) -> Reason {
        let may_not_search = |directory: &PathBuf| match follow(directory, &self.who) {
            Ok(end) => fs::metadata(path_walk::or_here(&end)).is_ok_and(|found| !self.who.may_search(&found)),
            Err(obstacle) => matches!(obstacle, Obstacle::NoSearch(_)),
        };
        let is_in_path = |word: &OsString| self.directories().any(|directory| directory.join(word).is_file());
        let in_working_directory =
            || self.resolve(self.program).is_file().then_some(Hint::InWorkingDirectory);
        let several = || first_word(self.program).filter(is_in_path).map(Hint::SeveralWords);
        let near = || near::program(self.program, self.directories()).map(Hint::Near);
        Reason::NotInPath {
            path: OsStr::from_bytes(self.path.unwrap_or(self.default_path)).to_owned(),
            path_is_unset: self.path.is_none(),
            unsearchable: self.directories().filter(may_not_search).collect(),
            hint: in_working_directory().or_else(several).or_else(near),
        }
    }
}

fn path_of(candidate: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(candidate.to_bytes()))
}

fn path(candidate: &CStr) -> PathBuf {
    path_of(candidate).to_owned()
}

/// The first of several words: somebody may have written a whole command line as one.
fn first_word(program: &OsStr) -> Option<OsString> {
    let bytes = program.as_bytes();
    let end = bytes.iter().position(|byte| *byte == b' ')?;
    Some(OsStr::from_bytes(&bytes[..end]).to_owned())
}

/// Whether the file is one that execvp(3) would have the shell run, and there is a shell: text without `#!`.
pub fn is_for_the_shell(file: &CStr) -> bool {
    Contents::read(path_of(file)).is_ok_and(|contents| contents == Contents::Text)
        && Path::new(SHELL).exists()
}

/// Who runs text without `#!`.
pub const SHELL: &str = "/bin/sh";

/// A script may be the interpreter of a script; so often does the kernel go on (exec_binprm in fs/exec.c).
const DEEPEST: usize = 5;

/// What is wrong with a file that is to be executed; `None` when nothing is to be seen.
fn look_at(file: &Path, attempt: &Attempt<'_>, depth: usize) -> Option<Reason> {
    let who = &attempt.who;
    let end = match follow(file, who) {
        Ok(end) => end,
        Err(obstacle) => return reason_of(obstacle),
    };
    let found = fs::metadata(path_walk::or_here(&end)).ok()?;
    if found.is_dir() {
        return Some(Reason::Directory);
    }
    if !found.is_file() {
        return Some(Reason::NotAFile);
    }
    if statvfs(&end).is_ok_and(|mount| mount.flags().contains(FsFlags::ST_NOEXEC)) {
        return Some(Reason::NoexecMount(mount_point(&end)));
    }
    if found.mode() & 0o111 == 0 {
        return Some(Reason::NotExecutable(found.mode() & 0o7777));
    }
    if !who.may_execute(&found) {
        return Some(Reason::NotExecutableBy(Restricted::new(end, &found, who.user)));
    }
    look_into(&end, attempt, depth)
}

fn reason_of(obstacle: Obstacle) -> Option<Reason> {
    Some(match obstacle {
        Obstacle::Missing { directory, name, link } => Reason::Missing { directory, name, link, hint: None },
        Obstacle::NotADirectory(path) => Reason::NotADirectory(path),
        Obstacle::NoSearch(directory) => Reason::NoSearch(directory),
        Obstacle::TooManyLinks => Reason::TooManyLinks,
        Obstacle::Unknown => return None,
    })
}

/// The mount that a file is on: the descriptor knows its mount's number, whatever the path to it looks like.
fn mount_point(file: &Path) -> Option<PathBuf> {
    let file = File::options().read(true).custom_flags(OFlag::O_PATH.bits()).open(file).ok()?;
    let info = fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", file.as_raw_fd())).ok()?;
    let id: u32 = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()?;
    mounts::all().into_iter().find(|mount| mount.id == id).map(|mount| mount.point)
}

fn look_into(file: &Path, attempt: &Attempt<'_>, depth: usize) -> Option<Reason> {
    match Contents::read(file).ok()? {
        Contents::Empty => Some(Reason::Empty),
        // Only execvp(3) gives text to a shell; the kernel takes none for an interpreter.
        Contents::Text if depth > 0 => Some(Reason::UnknownFormat),
        Contents::Text => Some(Reason::TextWithoutShell).filter(|_| !Path::new(SHELL).exists()),
        Contents::Foreign(what) => Some(Reason::NotAProgram(what)),
        Contents::Other => Some(Reason::UnknownFormat),
        Contents::DamagedElf => Some(Reason::Damaged),
        Contents::Script(interpreter) => look_at_interpreter(interpreter, attempt, depth),
        Contents::Elf(elf) => {
            let machine = machine();
            // For want of a file a program fails that the kernel knows how to run: a 32-bit one on a 64-bit machine, for one.
            if elf.architecture != machine && attempt.errno != Errno::ENOENT {
                return Some(Reason::OtherArchitecture { built_for: elf.architecture, machine });
            }
            let not_a_program = elf.not_a_program.map(Reason::NotAProgram);
            not_a_program.or_else(|| look_at_loader(elf.loader?, attempt))
        }
    }
}

fn look_at_interpreter(interpreter: Interpreter, attempt: &Attempt<'_>, depth: usize) -> Option<Reason> {
    let (path, carriage_return) = match interpreter {
        Interpreter::Nobody => return Some(Reason::NoInterpreter),
        Interpreter::TooLong => return Some(Reason::InterpreterLineTooLong),
        Interpreter::PathAndCarriageReturn(path) => {
            return Some(Reason::InterpreterMissing { path, carriage_return: true });
        }
        Interpreter::Path(path) => (path, false),
    };
    if depth == DEEPEST {
        return Some(Reason::TooManyInterpreters);
    }
    Some(match look_at(&attempt.resolve(&path), attempt, depth + 1)? {
        Reason::Missing { .. } | Reason::NotADirectory(_) => {
            Reason::InterpreterMissing { path, carriage_return }
        }
        Reason::TooManyInterpreters => Reason::TooManyInterpreters,
        reason => Reason::Interpreter(path, Box::new(reason)),
    })
}

fn look_at_loader(loader: PathBuf, attempt: &Attempt<'_>) -> Option<Reason> {
    // The kernel takes nothing but ELF for a loader.
    match look_at(&attempt.resolve(&loader), attempt, DEEPEST)? {
        Reason::Missing { .. } | Reason::NotADirectory(_) => Some(Reason::LoaderMissing(loader)),
        reason => Some(Reason::Loader(loader, Box::new(reason))),
    }
}

/// This machine's architecture, by the name that [`Contents`] has for it.
fn machine() -> String {
    let name = nix::sys::utsname::uname().map(|system| system.machine().to_string_lossy().into_owned());
    match name.unwrap_or_default().as_str() {
        "" => std::env::consts::ARCH.to_owned(),
        "i486" | "i586" | "i686" => "i386".to_owned(),
        name if name.starts_with("armv") => "arm".to_owned(),
        name => name.to_owned(),
    }
}
