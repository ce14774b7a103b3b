//! How the reasons are told, in one line each: what is wrong, and what to do.

use std::ffi::OsStr;
use std::fmt::{self, Display, Formatter};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;

use super::path_walk::Restricted;
use super::reason::{Hint, Reason};

impl Reason {
    /// Tells it of a file, in one line.
    pub(super) fn tell(&self, file: &Path, f: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Reason::NotInPath { .. } | Reason::Missing { .. } | Reason::NotADirectory(_) => {
                write!(f, "cannot find {}", shown(file))?;
            }
            Reason::ArgumentsTooLong { .. } | Reason::StringTooLong { .. } | Reason::Unknown(_) => {
                write!(f, "cannot execute {}: ", shown(file))?;
            }
            _ => write!(f, "{} ", shown(file))?,
        }
        write!(f, "{self}")
    }

    fn fmt_not_found(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotInPath { path, path_is_unset, unsearchable, hint } => {
                let path = Shown(path.as_bytes());
                match path_is_unset {
                    true => write!(f, " in {path} (PATH is not set)")?,
                    false => write!(f, " in PATH ({path})")?,
                }
                for directory in unsearchable {
                    write!(f, ", of which {} may not be searched", shown(directory))?;
                }
                match hint {
                    Some(hint) => write!(f, ": {hint}"),
                    None => f.write_str(": install it in the image, or name it by its path"),
                }
            }
            Reason::Missing { directory, name, link, hint } => {
                f.write_str(": ")?;
                if let Some(link) = link {
                    write!(f, "{} is a symbolic link, and ", shown(link))?;
                }
                write!(f, "there is no {} in {}", Shown(name.as_bytes()), in_directory(directory))?;
                hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
            }
            Reason::NotADirectory(path) => write!(f, ": {} is not a directory", shown(path)),
            _ => Ok(()),
        }
    }

    fn fmt_permission(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NoSearch(directory) => write!(
                f,
                "cannot be reached: user {} may not search {}: chmod o+x it, or put the program elsewhere",
                directory.user, directory,
            ),
            Reason::NotExecutable(mode) => {
                write!(
                    f,
                    "is not executable (mode {mode:03o}): chmod +x it, or in a Dockerfile COPY --chmod=755"
                )
            }
            Reason::NotExecutableBy(file) => write!(
                f,
                "is not executable for user {} (mode {:03o}, owner {}:{}): chmod 755 it, or run as its owner",
                file.user, file.mode, file.owner, file.group,
            ),
            Reason::NoexecMount(point) => {
                match point {
                    Some(point) => write!(f, "is on {}, which is mounted noexec", shown(point))?,
                    None => f.write_str("is on a file system that is mounted noexec")?,
                }
                f.write_str(": mount it with exec, or put the program elsewhere")
            }
            _ => Ok(()),
        }
    }

    fn fmt_script(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Reason::InterpreterMissing { path, carriage_return: true } => write!(
                f,
                "has a #! line that ends in CR LF, so its interpreter would be {}: \
                 give it Unix line ends (sed -i 's/\\r$//', or \"* text eol=lf\" in .gitattributes)",
                Shown(&[path.as_os_str().as_bytes(), b"\r"].concat()),
            ),
            Reason::InterpreterMissing { path, .. } if !path.is_absolute() => write!(
                f,
                "is a script for {}, which is not in the working directory: write #!/usr/bin/env {0}",
                shown(path),
            ),
            Reason::InterpreterMissing { path, .. } => write!(
                f,
                "is a script for {}, which is not in this image: install it, or change the #! line",
                shown(path),
            ),
            Reason::Interpreter(path, reason) => {
                write!(f, "is a script for {}, and ", shown(path))?;
                reason.tell(path, f)
            }
            Reason::TooManyInterpreters => {
                f.write_str("is a script for a script for a script, deeper than the kernel goes: name a program in #!")
            }
            Reason::NoInterpreter => {
                f.write_str("has a #! line that names no interpreter: write one, such as #!/bin/sh")
            }
            Reason::InterpreterLineTooLong => {
                f.write_str("has a #! line longer than the kernel reads (255 bytes): shorten the path")
            }
            Reason::TextWithoutShell => f.write_str(
                "is text without a #! line, and there is no /bin/sh: begin it with the #! line of an interpreter that is there",
            ),
            _ => Ok(()),
        }
    }

    fn fmt_format(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Reason::LoaderMissing(loader) => write!(
                f,
                "is linked for {}, which is not in this image: {}",
                shown(loader),
                loader_cure(loader),
            ),
            Reason::Loader(loader, reason) => {
                write!(f, "is linked for {}, and ", shown(loader))?;
                reason.tell(loader, f)
            }
            Reason::OtherArchitecture { built_for, machine } => {
                write!(f, "is built for {built_for}, and this machine is {machine}: build it for {machine}")?;
                platform(machine)
                    .map_or(Ok(()), |platform| write!(f, " (docker build --platform {platform})"))
            }
            Reason::NotAProgram(what) => write!(f, "is {what}, not a program that Linux can run"),
            Reason::Damaged => f.write_str(
                "is an ELF file that the kernel does not understand: it may be cut short; copy it again",
            ),
            Reason::Empty => f.write_str("is an empty file: the build or the copy that made it went wrong"),
            _ => f.write_str(
                "is neither an ELF program nor a script: it may be cut short, compressed or encrypted",
            ),
        }
    }

    fn fmt_shortage(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Reason::ArgumentsTooLong { bytes, limit } => write!(
                f,
                "arguments and environment take {bytes} bytes, and {limit} is the limit: \
                 pass fewer, pass a file, or raise ulimit -s (a quarter of it counts, up to 6 MiB)",
            ),
            Reason::StringTooLong { what, bytes, limit } => {
                write!(f, "{what} takes {bytes} bytes, and {limit} is the limit for one: pass a file")
            }
            Reason::BeingWritten => f.write_str(
                "is open for writing: let whoever writes it close it first, or write a copy and rename it",
            ),
            Reason::OutOfMemory => {
                f.write_str("cannot be loaded for lack of memory: raise the container's memory limit")
            }
            Reason::TooManyProcesses => {
                f.write_str("cannot be started because its user has too many processes: raise ulimit -u")
            }
            Reason::Unknown(errno @ (Errno::EACCES | Errno::EPERM)) => write!(
                f,
                "{errno}, though its mode allows it: an ACL, SELinux, AppArmor or a seccomp filter may forbid it",
            ),
            Reason::Unknown(errno) => write!(f, "{errno}"),
            _ => Ok(()),
        }
    }
}

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotInPath { .. } | Reason::Missing { .. } | Reason::NotADirectory(_) => {
                self.fmt_not_found(f)
            }
            Reason::NoSearch(_)
            | Reason::NotExecutable(_)
            | Reason::NotExecutableBy(_)
            | Reason::NoexecMount(_) => self.fmt_permission(f),
            Reason::TooManyLinks => {
                f.write_str("leads through too many symbolic links: one may lead to itself")
            }
            Reason::Directory => f.write_str("is a directory: name a program in it"),
            Reason::NotAFile => f.write_str("is no regular file: name a program"),
            Reason::InterpreterMissing { .. }
            | Reason::Interpreter(..)
            | Reason::TooManyInterpreters
            | Reason::NoInterpreter
            | Reason::InterpreterLineTooLong
            | Reason::TextWithoutShell => self.fmt_script(f),
            Reason::LoaderMissing(_)
            | Reason::Loader(..)
            | Reason::OtherArchitecture { .. }
            | Reason::NotAProgram(_)
            | Reason::Damaged
            | Reason::Empty
            | Reason::UnknownFormat => self.fmt_format(f),
            Reason::ArgumentsTooLong { .. }
            | Reason::StringTooLong { .. }
            | Reason::BeingWritten
            | Reason::OutOfMemory
            | Reason::TooManyProcesses
            | Reason::Unknown(_) => self.fmt_shortage(f),
        }
    }
}

impl Display for Hint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Hint::Near(path) => write!(f, "did you mean {}?", shown(path)),
            Hint::InWorkingDirectory => f.write_str("it is in the working directory: write ./ before it"),
            Hint::SeveralWords(first) => {
                write!(
                    f,
                    "{} is there: write program and arguments as words of their own",
                    Shown(first.as_bytes())
                )
            }
        }
    }
}

impl Display for Restricted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Restricted { path, mode, owner, group, .. } = self;
        write!(f, "{} (mode {mode:03o}, owner {owner}:{group})", in_directory(path))
    }
}

/// Each C library names its loader in its own way.
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
fn platform(machine: &str) -> Option<&'static str> {
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

/// A word for people: as it is when it is plain, else in quotes and escaped.
pub(super) struct Shown<'a>(pub &'a [u8]);

fn shown(path: &Path) -> Shown<'_> {
    Shown(path.as_os_str().as_bytes())
}

fn in_directory(path: &Path) -> String {
    match path.as_os_str().is_empty() {
        true => "the working directory".to_owned(),
        false => shown(path).to_string(),
    }
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plain = |text: &&str| {
            !text.is_empty()
                && !text.chars().any(|c| c.is_whitespace() || c.is_control() || "\"'\\".contains(c))
        };
        match std::str::from_utf8(self.0).ok().filter(plain) {
            Some(text) => f.write_str(text),
            None => write!(f, "{:?}", OsStr::from_bytes(self.0)),
        }
    }
}
