//! A stderr that never holds sexton up and never ends it.
//!
//! stderr is shared with the program, so it must stay in blocking mode: O_NONBLOCK would hold for the program too.
//! Instead each single write does not block; what does not fit is lost.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat};

use crate::sys::descriptors;

/// Up to this much a pipe takes whole or not at all (PIPE_BUF, pipe(7)).
const PIECE: usize = 4096;

/// Writes what can be written without waiting.
#[cfg(feature = "cli")]
pub fn write(bytes: &[u8]) {
    write_within(bytes, Duration::ZERO);
}

/// Writes, and once stderr is full waits this long in all.
pub fn write_within(bytes: &[u8], patience: Duration) {
    let mut deadline = None;
    for mut piece in bytes.chunks(PIECE) {
        while !piece.is_empty() {
            match try_write(piece) {
                Ok(written @ 1..) => piece = &piece[written..],
                Err(Errno::EAGAIN) => {
                    let now = Instant::now();
                    let left = deadline.get_or_insert(now + patience).saturating_duration_since(now);
                    if left.is_zero() || !is_writable(left) {
                        return;
                    }
                }
                Ok(0) | Err(_) => return,
            }
        }
    }
}

fn try_write(piece: &[u8]) -> Result<usize, Errno> {
    match descriptors::write_without_waiting(io::stderr().as_fd(), piece) {
        // Not supported by this kind of file: terminals, and pipes before Linux 6.4.
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL) if is_writable(Duration::ZERO) => {
            write_where_there_is_room(piece)
        }
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL) => Err(Errno::EAGAIN),
        // XFS and btrfs do so for every write that changes the file's times (file_update_time in the kernel). There is
        // no reader to wait for.
        Err(Errno::EAGAIN) if is_regular_file() => nix::unistd::write(io::stderr(), piece),
        result => result,
    }
}

/// A terminal may have room for a part only, and then keeps the writer until somebody reads (`n_tty_write` in the
/// kernel). O_NONBLOCK holds for all that share the open file, so it is opened once more, for this write alone.
fn write_where_there_is_room(piece: &[u8]) -> Result<usize, Errno> {
    let stderr = io::stderr();
    if stderr.is_terminal() {
        let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
        let opened = File::options().write(true).custom_flags(flags).open("/proc/self/fd/2");
        // Without /proc, or on another user's terminal, only the write below is left.
        if let Ok(terminal) = opened {
            return nix::unistd::write(terminal, piece);
        }
    }
    nix::unistd::write(stderr, piece)
}

fn is_regular_file() -> bool {
    fstat(io::stderr())
        .is_ok_and(|file| SFlag::from_bits_truncate(file.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG)
}

fn is_writable(patience: Duration) -> bool {
    let stderr = io::stderr();
    let mut descriptors = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
    poll(&mut descriptors, patience).is_ok()
        && descriptors[0].revents().is_some_and(|events| events == PollFlags::POLLOUT)
}
