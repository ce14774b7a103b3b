//! The reasons why a program cannot be executed.

use std::ffi::OsString;
use std::path::PathBuf;

use nix::errno::Errno;

use super::path_walk::Restricted;

/// Why a program cannot be executed. What it displays follows the name of the file: `is a directory: ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No directory of PATH has it.
    NotInPath {
        /// The directories, as PATH lists them.
        path: OsString,
        /// Whether there is no PATH, and these are the usual ones.
        path_is_unset: bool,
        /// Those that the user may not search.
        unsearchable: Vec<PathBuf>,
        /// What may have been meant.
        hint: Option<Hint>,
    },
    /// A part of the path is not there.
    Missing {
        /// Where it is not; empty for the working directory.
        directory: PathBuf,
        /// What is not there.
        name: OsString,
        /// The symbolic link that leads there, if one does.
        link: Option<PathBuf>,
        /// What may have been meant.
        hint: Option<Hint>,
    },
    /// A part of the path is a file and should be a directory.
    NotADirectory(PathBuf),
    /// The user may not search a directory of the path.
    NoSearch(Restricted),
    /// The path leads through too many symbolic links.
    TooManyLinks,
    /// It is a directory.
    Directory,
    /// It is a device, a socket, a FIFO.
    NotAFile,
    /// Nobody has the permission to execute it; its mode.
    NotExecutable(u32),
    /// This user has not the permission to execute it.
    NotExecutableBy(Restricted),
    /// It is on a file system that is mounted noexec; where, if that is known.
    NoexecMount(Option<PathBuf>),
    /// It is a script, and its interpreter is not there.
    InterpreterMissing {
        /// The interpreter, as the `#!` line has it.
        path: PathBuf,
        /// Whether that line ends in CR LF, so that the kernel looks for a name that ends in CR.
        carriage_return: bool,
    },
    /// It is a script, and its interpreter is there and cannot be executed.
    Interpreter(PathBuf, Box<Reason>),
    /// Scripts whose interpreters are scripts, too many.
    TooManyInterpreters,
    /// Its `#!` line names nobody.
    NoInterpreter,
    /// Its `#!` line is longer than the kernel reads.
    InterpreterLineTooLong,
    /// It is text without a `#!` line, and there is no /bin/sh to run it.
    TextWithoutShell,
    /// It is a program whose dynamic loader is not there.
    LoaderMissing(PathBuf),
    /// It is a program whose dynamic loader is there and cannot be executed.
    Loader(PathBuf, Box<Reason>),
    /// It is a program for another architecture.
    OtherArchitecture {
        /// Which.
        built_for: String,
        /// This machine's.
        machine: String,
    },
    /// It is no program but this.
    NotAProgram(&'static str),
    /// Its header makes no sense, or the kernel cannot make sense of it.
    Damaged,
    /// Nothing is in it.
    Empty,
    /// It is nothing that the kernel knows.
    UnknownFormat,
    /// Arguments and environment are too long together.
    ArgumentsTooLong {
        /// How long they are.
        bytes: usize,
        /// How long they may be.
        limit: usize,
    },
    /// One argument or variable is too long.
    StringTooLong {
        /// Which.
        what: String,
        /// How long it is.
        bytes: usize,
        /// How long one may be.
        limit: usize,
    },
    /// Somebody has it open for writing.
    BeingWritten,
    /// There is not enough memory.
    OutOfMemory,
    /// The user has as many processes as he may have.
    TooManyProcesses,
    /// The file does not show it; this is the kernel's reason.
    Unknown(Errno),
}

/// What may have been meant by a name that was not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// This is there, and its name is nearly the same.
    Near(PathBuf),
    /// It is there in the working directory, where PATH does not look.
    InWorkingDirectory,
    /// The name has blanks in it, and its first word is there.
    SeveralWords(OsString),
}

impl Reason {
    /// Whether the program was not found, so that there is nothing that could be executed.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Reason::NotInPath { .. } | Reason::Missing { .. } | Reason::NotADirectory(_))
    }
}
