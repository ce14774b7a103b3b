//! The reasons why a program cannot be executed, and the line for each: what is wrong, and what to do.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display, Formatter};
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::geteuid;

use crate::process_tree::printable;

/// Why a program cannot be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No directory in PATH has it.
    NotInPath {
        /// PATH, or glibc's default where it is unset.
        path: OsString,
        path_is_unset: bool,
        /// The directories that the user may not search.
        unsearchable: Vec<PathBuf>,
        hint: Option<Hint>,
    },
    /// A part of the path does not exist.
    Missing {
        /// Empty for the working directory.
        directory: PathBuf,
        name: OsString,
        /// The symbolic link that leads there, if one does.
        link: Option<PathBuf>,
        hint: Option<Hint>,
    },
    /// This part of the path is a file and should be a directory.
    NotADirectory(PathBuf),
    /// The user may not search this directory in the path.
    NoSearch(Restricted),
    TooManyLinks,
    Directory,
    /// It is a device, a socket or a FIFO.
    NotAFile,
    /// Nobody may execute it; its mode.
    NotExecutable(u32),
    /// This user may not execute it.
    NotExecutableBy(Restricted),
    /// It is on a file system mounted noexec; the mount point, if known.
    NoexecMount(Option<PathBuf>),
    /// Its `#!` line ends in CR LF; the path that the kernel takes from it, CR included.
    CarriageReturn(PathBuf),
    InterpreterMissing(PathBuf),
    /// The interpreter exists, and this is why it cannot be executed.
    Interpreter(PathBuf, Box<Reason>),
    /// It is a script for a script, and so on, deeper than the kernel goes.
    TooManyInterpreters,
    NoInterpreter,
    InterpreterLineTooLong,
    TextWithoutShell,
    LoaderMissing(PathBuf),
    /// The dynamic loader exists, and this is why it cannot be executed.
    Loader(PathBuf, Box<Reason>),
    OtherArchitecture {
        built_for: String,
        machine: String,
    },
    /// It is this, and no program for Linux.
    NotAProgram(&'static str),
    /// It is an ELF file whose header the kernel does not accept.
    Damaged,
    Empty,
    UnknownFormat,
    /// Arguments and environment are too long together.
    ArgumentsTooLong {
        bytes: usize,
        limit: usize,
    },
    /// One argument or variable is too long.
    StringTooLong {
        what: String,
        bytes: usize,
        limit: usize,
    },
    /// Some process has it open for writing.
    BeingWritten,
    OutOfMemory,
    TooManyProcesses,
    /// The file shows no reason; this is the kernel's.
    Unknown(Errno),
}

/// A file or directory that somebody may not use, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restricted {
    /// Empty for the working directory.
    path: PathBuf,
    /// Its permissions: the lower twelve bits of `st_mode` (inode(7)).
    mode: u32,
    owner: u32,
    group: u32,
    /// The user who may not use it.
    user: u32,
}

impl Restricted {
    pub fn new(path: PathBuf, file: &Metadata) -> Restricted {
        let mode = file.mode() & 0o7777;
        Restricted { path, mode, owner: file.uid(), group: file.gid(), user: geteuid().as_raw() }
    }
}

/// What may have been meant by a name that was not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// This program, whose name is nearly the same.
    Near(PathBuf),
    /// The one in the working directory, where PATH does not look.
    InWorkingDirectory,
    /// This program, with the rest of the name as its arguments.
    SeveralWords(OsString),
}

impl Display for Hint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Hint::Near(path) => write!(f, "did you mean {}?", shown(path)),
            Hint::InWorkingDirectory => f.write_str("it is in the working directory: write ./ before it"),
            Hint::SeveralWords(first) => {
                write!(f, "{} is there: write program and arguments as separate words", shown(first))
            }
        }
    }
}

impl Reason {
    /// Whether there is nothing that could be executed.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Reason::NotInPath { .. } | Reason::Missing { .. } | Reason::NotADirectory(_))
    }

    /// The line about this file.
    pub fn line(&self, file: &Path) -> String {
        let file = shown(file);
        match self {
            Reason::NotInPath { path, path_is_unset, unsearchable, hint } => {
                let path = shown(path);
                let place = match path_is_unset {
                    true => format!("{path} (PATH is not set)"),
                    false => format!("PATH ({path})"),
                };
                let closed = |directory| format!(", of which {} may not be searched", shown(directory));
                let closed: String = unsearchable.iter().map(closed).collect();
                let advice = match hint {
                    Some(hint) => hint.to_string(),
                    None => "install it in the image, or give its path".to_owned(),
                };
                format!("cannot find {file} in {place}{closed}: {advice}")
            }
            Reason::Missing { directory, name, link, hint } => {
                let link = link.as_ref().map(|link| format!("{} is a symbolic link, and ", shown(link)));
                let hint = hint.as_ref().map(|hint| format!("; {hint}"));
                let (link, hint) = (link.unwrap_or_default(), hint.unwrap_or_default());
                let directory = shown_directory(directory);
                format!("cannot find {file}: {link}there is no {} in {directory}{hint}", shown(name))
            }
            Reason::NotADirectory(path) => format!("cannot find {file}: {} is not a directory", shown(path)),
            Reason::NoSearch(Restricted { path, mode, owner, group, user }) => format!(
                "{file} cannot be reached: user {user} may not search {} (mode {mode:03o}, owner {owner}:{group}): \
                 chmod o+x it, or put the program elsewhere",
                shown_directory(path)
            ),
            Reason::TooManyLinks => {
                format!("{file} leads through too many symbolic links: one may lead to itself")
            }
            Reason::Directory => format!("{file} is a directory: name a program in it"),
            Reason::NotAFile => format!("{file} is not a regular file: name a program"),
            Reason::NotExecutable(mode) => format!(
                "{file} is not executable (mode {mode:03o}): chmod +x it, or in a Dockerfile COPY --chmod=755"
            ),
            Reason::NotExecutableBy(Restricted { mode, owner, group, user, .. }) => format!(
                "{file} is not executable for user {user} (mode {mode:03o}, owner {owner}:{group}): \
                 chmod 755 it, or run as its owner"
            ),
            Reason::NoexecMount(point) => {
                let place = match point {
                    Some(point) => format!("{}, which is mounted noexec", shown(point)),
                    None => "a file system that is mounted noexec".to_owned(),
                };
                format!("{file} is on {place}: mount it with exec, or put the program elsewhere")
            }
            Reason::CarriageReturn(path) => format!(
                "{file} has a #! line that ends in CR LF, so the kernel looks for {}: \
                 use Unix line endings (sed -i 's/\\r$//', or \"* text eol=lf\" in .gitattributes)",
                shown(path)
            ),
            Reason::InterpreterMissing(path) if !path.is_absolute() => format!(
                "{file} is a script for {0}, which is not in the working directory: write #!/usr/bin/env {0}",
                shown(path)
            ),
            Reason::InterpreterMissing(path) => format!(
                "{file} is a script for {}, which is not in this image: install it, or change the #! line",
                shown(path)
            ),
            Reason::Interpreter(path, reason) => {
                format!("{file} is a script for {}, and {}", shown(path), reason.line(path))
            }
            Reason::TooManyInterpreters => format!(
                "{file} is a script for a script for a script, deeper than the kernel goes: name a program in #!"
            ),
            Reason::NoInterpreter => {
                format!("{file} has a #! line that names no interpreter: write one, such as #!/bin/sh")
            }
            Reason::InterpreterLineTooLong => {
                format!("{file} has a #! line longer than the kernel reads (255 bytes): shorten the path")
            }
            Reason::TextWithoutShell => format!(
                "{file} is text without a #! line, and there is no /bin/sh to run it: \
                 add a #! line for an interpreter that exists"
            ),
            Reason::LoaderMissing(loader) => format!(
                "{file} is linked for {}, which is not in this image: {}",
                shown(loader),
                loader_cure(loader)
            ),
            Reason::Loader(loader, reason) => {
                format!("{file} is linked for {}, and {}", shown(loader), reason.line(loader))
            }
            Reason::OtherArchitecture { built_for, machine } => {
                let platform =
                    docker_platform(machine).map(|name| format!(" (docker build --platform {name})"));
                let platform = platform.unwrap_or_default();
                format!(
                    "{file} is built for {built_for}, and this machine is {machine}: build it for {machine}{platform}"
                )
            }
            Reason::NotAProgram(what) => format!("{file} is {what}, not a program that Linux can run"),
            Reason::Damaged => format!(
                "{file} is an ELF file that the kernel does not understand: it may be cut short; copy it again"
            ),
            Reason::Empty => format!("{file} is an empty file: the build or copy that made it went wrong"),
            Reason::UnknownFormat => format!(
                "{file} is neither an ELF program nor a script: it may be cut short, compressed or encrypted"
            ),
            Reason::ArgumentsTooLong { bytes, limit } => format!(
                "cannot execute {file}: arguments and environment take {bytes} bytes, and {limit} is the limit: \
                 pass fewer, pass a file, or raise ulimit -s (a quarter of it counts, up to 6 MiB)"
            ),
            Reason::StringTooLong { what, bytes, limit } => format!(
                "cannot execute {file}: {what} takes {bytes} bytes, and {limit} is the limit for one: pass a file"
            ),
            Reason::BeingWritten => format!(
                "{file} is open for writing: let whoever writes it close it first, or write a copy and rename it"
            ),
            Reason::OutOfMemory => {
                format!("{file} cannot be loaded for lack of memory: raise the container's memory limit")
            }
            Reason::TooManyProcesses => {
                format!("{file} cannot be started because its user has too many processes: raise ulimit -u")
            }
            Reason::Unknown(errno @ (Errno::EACCES | Errno::EPERM)) => format!(
                "cannot execute {file}: {errno}, though its mode allows it: \
                 an ACL, SELinux, AppArmor or a seccomp filter may forbid it"
            ),
            Reason::Unknown(errno) => format!("cannot execute {file}: {errno}"),
        }
    }
}

/// Each C library has its own name for its loader.
fn loader_cure(loader: &Path) -> &'static str {
    let name = loader.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with("ld-musl") {
        "build it static, or use an Alpine base"
    } else if name.starts_with("ld-linux") || name.starts_with("ld64.so") || name.starts_with("ld.so") {
        "use a Debian base, or build with a musl target"
    } else {
        "build it static, or use the base it was built for"
    }
}

/// Docker's name for an architecture.
fn docker_platform(machine: &str) -> Option<&'static str> {
    Some(match machine {
        "x86_64" => "linux/amd64",
        "i386" => "linux/386",
        "aarch64" => "linux/arm64",
        "arm" => "linux/arm/v7",
        "ppc64le" => "linux/ppc64le",
        "s390x" => "linux/s390x",
        "riscv64" => "linux/riscv64",
        "loongarch64" => "linux/loong64",
        _ => return None,
    })
}

fn shown_directory(path: &Path) -> String {
    if path.as_os_str().is_empty() { "the working directory".to_owned() } else { shown(path) }
}

/// A word for people: as it is when all of it is printable and it has no blank or quote, else quoted and escaped.
pub fn shown(word: &(impl AsRef<OsStr> + ?Sized)) -> String {
    let word = word.as_ref();
    let text = printable(word.as_bytes());
    let is_plain = text.as_bytes() == word.as_bytes() && !text.is_empty() && !text.contains([' ', '"', '\'']);
    if is_plain { text } else { format!("{word:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_unless_they_are_plain() {
        assert_eq!(shown("/opt/caf\u{e9}-1.0"), "/opt/caf\u{e9}-1.0");
        for (word, quoted) in [
            ("", "\"\""),
            ("sleep 5", "\"sleep 5\""),
            ("it's", "\"it's\""),
            ("a\\b\n", "\"a\\\\b\\n\""),
            ("\u{202e}x", "\"\\u{202e}x\""),
        ] {
            assert_eq!(shown(word), quoted);
        }
        assert_eq!(shown(OsStr::from_bytes(b"a\xff")), "\"a\\xFF\"");
    }
}
