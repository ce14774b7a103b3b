//! Why a program was not run.

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
    /// Two options contradict each other, as this sentence says.
    Contradiction(&'static str),
    /// This process has several threads: signals would be blocked in one of them only, and children reaped that
    /// others wait for.
    SeveralThreads,
    /// The user or group that was asked for cannot be found.
    User(UserError),
    /// A variable in an argument cannot be expanded.
    Expand(ExpandError),
    /// A word contains a NUL, so it cannot be handed to the program.
    Nul(OsString),
    /// A step before the start failed.
    #[non_exhaustive]
    Step {
        /// What could not be done: `become a child subreaper`.
        what: String,
        /// The kernel's reason, one of errno(3), as [`std::io::Error::from_raw_os_error`] takes it.
        errno: i32,
    },
    /// The program could not be executed: why, and what to do.
    Exec(Box<ExecFailure>),
}

impl Error {
    pub(crate) fn step(what: impl Into<String>, errno: Errno) -> Error {
        Error::Step { what: what.into(), errno: errno as i32 }
    }

    /// What sexton exits with: 126 where the program was found, 127 where it was not, else 125.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Exec(failure) => failure.exit_code(),
            _ => FAILED,
        }
    }

    /// The kernel's reason, one of errno(3), as [`std::io::Error::raw_os_error`] gives it; `None` where the error is
    /// not the kernel's.
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Error::Step { errno, .. } => Some(*errno),
            Error::Exec(failure) => Some(failure.errno),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoProgram => f.write_str("no program is named; write it after the options"),
            Error::Contradiction(sentence) => f.write_str(sentence),
            Error::SeveralThreads => {
                f.write_str("this process has several threads; sexton needs a process with one")
            }
            Error::User(error) => error.fmt(f),
            Error::Expand(error) => error.fmt(f),
            Error::Nul(word) => write!(f, "{word:?} contains a NUL, which no argument can"),
            Error::Step { what, errno } => write!(f, "cannot {what}: {}", Errno::from_raw(*errno)),
            Error::Exec(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_tells_what_and_why() {
        let error = Error::step("become a child subreaper", Errno::EINVAL);
        assert_eq!(error.to_string(), "cannot become a child subreaper: EINVAL: Invalid argument");
        let same = error.raw_os_error().map(std::io::Error::from_raw_os_error);
        assert_eq!(same.map(|error| error.kind()), Some(std::io::ErrorKind::InvalidInput));
        assert_eq!(Error::NoProgram.raw_os_error(), None);
    }
}
