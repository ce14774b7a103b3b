//! Why an exec failed, and what to do: looked up in the file itself.
//!
//! execve(2) says little: ENOENT may mean that the program, its interpreter or its loader does not exist; EACCES and
//! ENOEXEC have half a dozen reasons each. So after a failure the file is looked at as the kernel did.

mod argument_size;
mod contents;
mod near;
mod path_walk;
mod reason;

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::iter;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::statvfs::{FsFlags, statvfs};

use self::contents::Contents;
use self::path_walk::{follow, is_refused, or_here};
use self::reason::{Hint, Reason, Restricted};
use crate::environment::Environment;
use crate::mounts;
use crate::status::{CANNOT_EXECUTE, NOT_FOUND};

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
    /// The PATH in which it was looked for; `None` where it was not looked for, or PATH is unset.
    pub path: Option<&'a [u8]>,
    /// Where it is looked for when PATH is unset.
    pub default_path: &'a [u8],
    /// The files that were tried.
    pub candidates: Vec<CString>,
    /// The arguments, the program's name first.
    pub arguments: &'a [CString],
    /// The environment.
    pub environment: &'a Environment,
    /// The index of the candidate that failed.
    pub candidate: usize,
    /// The kernel's reason.
    pub errno: Errno,
    /// The program's working directory, empty where that is this process's.
    pub directory: &'a Path,
}

impl Attempt<'_> {
    /// Looks for the reason.
    pub fn explain(&self) -> ExecFailure {
        let (file, reason) = match self.culprit() {
            Some(candidate) => (Some(path_of(candidate).to_owned()), self.reason(candidate)),
            None => (None, self.not_in_path()),
        };
        let program = self.program.to_owned();
        let text = reason.line(file.as_deref().unwrap_or(Path::new(&program)));
        ExecFailure { program, file, errno: self.errno as i32, text, is_not_found: reason.is_not_found() }
    }

    /// The candidate that the failure is about. One that exists comes before all that do not.
    fn culprit(&self) -> Option<&CStr> {
        let mut all = self.candidates.iter().map(|candidate| candidate.as_c_str());
        let failed = all.clone().nth(self.candidate);
        let is_searched = !self.program.as_bytes().contains(&b'/');
        if !is_searched || !matches!(self.errno, Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) {
            return failed;
        }
        let exists = |candidate: &&CStr| follow(path_of(candidate)).is_ok();
        failed.filter(exists).or_else(|| all.find(exists))
    }

    fn reason(&self, candidate: &CStr) -> Reason {
        match self.errno {
            Errno::E2BIG => argument_size::reason(candidate, self.arguments, self.environment.entries()),
            Errno::ETXTBSY => Reason::BeingWritten,
            Errno::ENOMEM => Reason::OutOfMemory,
            Errno::EAGAIN => Reason::TooManyProcesses,
            errno => match look_at(path_of(candidate), self, 0) {
                Some(Reason::Missing { directory, name, link, .. }) => {
                    let hint = self.hint_for_missing(&directory, &name);
                    Reason::Missing { directory, name, link, hint }
                }
                reason => reason.unwrap_or(Reason::Unknown(errno)),
            },
        }
    }

    fn hint_for_missing(&self, directory: &Path, name: &OsStr) -> Option<Hint> {
        if let Some(word) = first_word(self.program).filter(|word| self.resolve(word).is_file()) {
            return Some(Hint::SeveralWords(word));
        }
        // For a misspelt directory there is no hint.
        if Path::new(self.program).file_name() != Some(name) {
            return None;
        }
        let places = iter::once(directory.to_owned()).chain(self.directories());
        near::program(name, places).map(Hint::Near)
    }

    fn not_in_path(&self) -> Reason {
        let may_not_search = |directory: &PathBuf| match follow(directory) {
            Ok(end) => is_refused(&end),
            Err(obstacle) => matches!(obstacle, Some(Reason::NoSearch(_))),
        };
        let is_in_path = |word: &OsString| self.directories().any(|directory| directory.join(word).is_file());
        let hint = if self.resolve(self.program).is_file() {
            Some(Hint::InWorkingDirectory)
        } else if let Some(word) = first_word(self.program).filter(is_in_path) {
            Some(Hint::SeveralWords(word))
        } else {
            near::program(self.program, self.directories()).map(Hint::Near)
        };
        Reason::NotInPath {
            path: OsStr::from_bytes(self.path.unwrap_or(self.default_path)).to_owned(),
            path_is_unset: self.path.is_none(),
            unsearchable: self.directories().filter(may_not_search).collect(),
            hint,
        }
    }

    /// The directories in PATH; an empty entry is the working directory.
    fn directories(&self) -> impl Iterator<Item = PathBuf> {
        let path = self.path.unwrap_or(self.default_path);
        path.split(|byte| *byte == b':').map(|entry| self.resolve(OsStr::from_bytes(entry)))
    }

    /// What the path leads to from the program's working directory.
    fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        self.directory.join(path)
    }
}

fn path_of(candidate: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(candidate.to_bytes()))
}

/// The first of several words: the caller may have written a whole command line as one.
fn first_word(program: &OsStr) -> Option<OsString> {
    let bytes = program.as_bytes();
    let end = bytes.iter().position(|byte| *byte == b' ')?;
    Some(OsStr::from_bytes(&bytes[..end]).to_owned())
}

/// Whether execvp(3) would have the shell run this file, text without `#!`, and there is a shell.
pub fn is_for_the_shell(file: &CStr) -> bool {
    Contents::read(path_of(file)).is_ok_and(|contents| contents == Contents::Text)
        && Path::new(SHELL).exists()
}

/// What runs text without `#!`.
pub const SHELL: &str = "/bin/sh";

/// How deep the kernel goes where scripts are the interpreters of scripts (exec_binprm in fs/exec.c).
const DEEPEST: usize = 5;

/// What is wrong with a file that is to be executed; `None` when nothing is to be seen.
fn look_at(file: &Path, attempt: &Attempt<'_>, depth: usize) -> Option<Reason> {
    let end = match follow(file) {
        Ok(end) => end,
        Err(obstacle) => return obstacle,
    };
    let found = fs::metadata(or_here(&end)).ok()?;
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
    if is_refused(&end) {
        return Some(Reason::NotExecutableBy(Restricted::new(end, &found)));
    }
    look_into(&end, attempt, depth)
}

/// The mount that a file is on. A descriptor knows its mount's number, whatever path led to it.
fn mount_point(file: &Path) -> Option<PathBuf> {
    let file = File::options().read(true).custom_flags(OFlag::O_PATH.bits()).open(file).ok()?;
    let info = fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", file.as_raw_fd())).ok()?;
    let id: u32 = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()?;
    mounts::all().into_iter().find(|mount| mount.id == id).map(|mount| mount.point)
}

fn look_into(file: &Path, attempt: &Attempt<'_>, depth: usize) -> Option<Reason> {
    match Contents::read(file).ok()? {
        Contents::Unusable(reason) => Some(reason),
        // Only execvp(3) gives text to a shell; the kernel does not take it as an interpreter.
        Contents::Text if depth > 0 => Some(Reason::UnknownFormat),
        Contents::Text if Path::new(SHELL).exists() => None,
        Contents::Text => Some(Reason::TextWithoutShell),
        Contents::Script(interpreter) => look_at_interpreter(interpreter, attempt, depth),
        Contents::Elf { architecture, loader } => {
            let machine = machine();
            // ENOENT: the kernel can run it (32 bits on a 64-bit machine, say), and misses a file.
            if architecture != machine && attempt.errno != Errno::ENOENT {
                return Some(Reason::OtherArchitecture { built_for: architecture, machine });
            }
            look_at_loader(loader?, attempt)
        }
    }
}

fn look_at_interpreter(path: PathBuf, attempt: &Attempt<'_>, depth: usize) -> Option<Reason> {
    if depth == DEEPEST {
        return Some(Reason::TooManyInterpreters);
    }
    Some(match look_at(&attempt.resolve(&path), attempt, depth + 1)? {
        Reason::Missing { .. } | Reason::NotADirectory(_) => Reason::InterpreterMissing(path),
        Reason::TooManyInterpreters => Reason::TooManyInterpreters,
        reason => Reason::Interpreter(path, Box::new(reason)),
    })
}

fn look_at_loader(path: PathBuf, attempt: &Attempt<'_>) -> Option<Reason> {
    // The kernel takes nothing but ELF as a loader.
    Some(match look_at(&attempt.resolve(&path), attempt, DEEPEST)? {
        Reason::Missing { .. } | Reason::NotADirectory(_) => Reason::LoaderMissing(path),
        reason => Reason::Loader(path, Box::new(reason)),
    })
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
