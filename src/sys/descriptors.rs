//! Descriptors: what nix has no safe call for.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::libc;

use super::checked;

/// Writes what can be written without waiting (RWF_NOWAIT, pwritev2(2)).
pub fn write_without_waiting(descriptor: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    let part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // -1: where the file's own position is. It is passed as two halves, the low one first.
    let (low, high): (libc::c_long, libc::c_long) = (-1, -1);
    let parts: libc::c_ulong = 1;
    // SAFETY: the iovec describes `bytes`, which is only read.
    let written = unsafe {
        libc::syscall(
            libc::SYS_pwritev2,
            descriptor.as_raw_fd(),
            &raw const part,
            parts,
            low,
            high,
            libc::RWF_NOWAIT,
        )
    };
    checked(written).map(|written| written as usize)
}
