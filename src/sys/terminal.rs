//! The controlling terminal.

use std::ffi::CStr;
#[cfg(feature = "cli")]
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

use super::checked;

/// The controlling terminal, by a descriptor that leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// stdin, stdout or stderr.
    Standard(i32),
    /// None of those: `/dev/tty`.
    DevTty,
}

/// The width of the terminal that the descriptor leads to, in columns (TIOCGWINSZ, ioctl_tty(2)); `None` where it is no
/// terminal, or does not know.
#[cfg(feature = "cli")]
pub fn columns(descriptor: BorrowedFd<'_>) -> Option<u16> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the pointer is to a winsize.
    let result = unsafe { libc::ioctl(descriptor.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    checked(result.into()).ok()?;
    Some(size.ws_col).filter(|columns| *columns > 0)
}

/// Makes the terminal on stdin this session's, unless another session has it (TIOCSCTTY, ioctl_tty(2)).
pub fn control_standard_input() -> Result<(), Errno> {
    let steal: libc::c_int = 0;
    // SAFETY: the request takes an integer.
    checked(unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, steal) }.into()).map(drop)
}

const DEV_TTY: &CStr = c"/dev/tty";

impl Terminal {
    /// This process's controlling terminal, if it has one.
    pub fn controlling() -> Option<Terminal> {
        // TIOCGPGRP succeeds for no other terminal than the caller's own (ioctl_tty(2)).
        let standard = (0..=2).map(Terminal::Standard);
        standard.chain([Terminal::DevTty]).find(|terminal| terminal.foreground_group().is_some())
    }

    /// The process group in the foreground, which gets the keyboard's signals. `None` where this does not lead to the
    /// controlling terminal.
    pub fn foreground_group(self) -> Option<Pid> {
        self.with_descriptor(|descriptor| {
            // SAFETY: takes an integer.
            let group = unsafe { libc::tcgetpgrp(descriptor) };
            (group != -1).then(|| Pid::from_raw(group))
        })?
    }

    /// Puts a process group in the foreground. SIGTTOU must be blocked.
    pub fn set_foreground_group(self, group: Pid) -> Result<(), Errno> {
        let result = self.with_descriptor(|descriptor| {
            // SAFETY: takes integers.
            checked(unsafe { libc::tcsetpgrp(descriptor, group.as_raw()) }.into()).map(drop)
        });
        result.unwrap_or_else(|| Err(Errno::last()))
    }

    /// Gives the controlling terminal up. Where this process leads the session, the whole session loses it, and the
    /// foreground group gets SIGHUP and SIGCONT from this process (TIOCNOTTY, ioctl_tty(2)).
    pub fn give_up(self) -> Result<(), Errno> {
        let result = self.with_descriptor(|descriptor| {
            // SAFETY: the request takes no argument.
            checked(unsafe { libc::ioctl(descriptor, libc::TIOCNOTTY) }.into()).map(drop)
        });
        result.unwrap_or_else(|| Err(Errno::last()))
    }

    /// `None` where it cannot be opened, and then `errno` is set. Most starts come here without a terminal, and the reason
    /// does not matter: nix's table of errors would be one more page to touch.
    fn with_descriptor<T>(self, act: impl FnOnce(i32) -> T) -> Option<T> {
        let Terminal::Standard(descriptor) = self else {
            // SAFETY: the path is a C string.
            let opened =
                unsafe { libc::open(DEV_TTY.as_ptr(), libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) };
            if opened == -1 {
                return None;
            }
            let result = act(opened);
            // SAFETY: it was opened above, and nothing else uses it.
            unsafe { libc::close(opened) };
            return Some(result);
        };
        Some(act(descriptor))
    }
}
