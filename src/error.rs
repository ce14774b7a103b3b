//! Why a run did not come to pass.

use std::ffi::OsString;
use std::fmt;

use nix::errno::Errno;

use crate::environment::ExpandError;
use crate::exec_failure::ExecFailure;
use crate::status::FAILED;
use crate::users::UserError;

/// Why the program was not run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// No program was named, or its name is empty.
    NoProgram,
    /// The wishes contradict one another, as the sentence says.
    Contradiction(&'static str),
    /// This process has several threads: the others would go on unguarded while signals are blocked and children reaped.
    SeveralThreads,
    /// The user or group that was asked for cannot be found.
    User(UserError),
    /// A variable in an argument cannot be expanded.
    Expand(ExpandError),
    /// A word cannot be handed to the program, because it has a NUL in it.
    Nul(OsString),
    /// A step of the preparation failed: what could not be done, and the kernel's reason.
    Step(String, Errno),
    /// The program could not be executed: why, and what to do.
    Exec(Box<ExecFailure>),
}

impl Error {
    /// What sexton exits with: 126 where the program was found, 127 where it was not, else 125.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Exec(failure) => failure.exit_code(),
            _ => FAILED,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoProgram => f.write_str("no program is named; write it after the options"),
            Error::Contradiction(sentence) => f.write_str(sentence),
            Error::SeveralThreads => {
                f.write_str("this process has several threads; sexton needs one with one")
            }
            Error::User(error) => error.fmt(f),
            Error::Expand(error) => error.fmt(f),
            Error::Nul(word) => write!(f, "{word:?} has a NUL in it, which no argument can have"),
            Error::Step(step, errno) => write!(f, "cannot {step}: {errno}"),
            Error::Exec(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for Error {}
