//! A stderr that never holds sexton up and never ends it.
//!
//! stderr is shared with the program, so it must stay in blocking mode: O_NONBLOCK would be the program's too.
//! Each write is made non-blocking by itself; what does not fit is lost.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys::descriptors;

/// A pipe takes up to this at once or not at all (PIPE_BUF, pipe(7)).
const PIECE: usize = 4096;

/// Writes what can be written without waiting.
#[cfg(feature = "cli")]
pub fn write(bytes: &[u8]) {
    write_within(bytes, Duration::ZERO);
}

/// Writes, and waits up to this long in all from when it is full for the first time.
pub fn write_within(bytes: &[u8], patience: Duration) {
    let mut deadline = None;
    for piece in bytes.chunks(PIECE) {
        let mut result = try_write(piece);
        if result == Err(Errno::EAGAIN) {
            let now = Instant::now();
            let left = deadline.get_or_insert(now + patience).saturating_duration_since(now);
            if is_writable(PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
                result = try_write(piece);
            }
        }
        if result.is_err() {
            return;
        }
    }
}

fn try_write(piece: &[u8]) -> Result<usize, Errno> {
    match descriptors::write_without_waiting(std::io::stderr().as_fd(), piece) {
        // This kind of file knows no such writes: terminals, and pipes before Linux 6.4.
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL) if is_writable(PollTimeout::ZERO) => {
            nix::unistd::write(std::io::stderr(), piece)
        }
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL) => Err(Errno::EAGAIN),
        result => result,
    }
}

fn is_writable(patience: PollTimeout) -> bool {
    let stderr = std::io::stderr();
    let mut descriptors = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    poll(&mut descriptors, patience).is_ok()
        && descriptors[0].revents().is_some_and(|events| events == PollFlags::POLLOUT)
}
