//! System calls that nix does not have in the form that is needed here. The only place with `unsafe`.
//!
//! libc's signal sets leave out the signals that it keeps for itself (32 and 33 in glibc, up to 34 in musl), so masks,
//! waiting and queueing go to the kernel with sets of 64 bits.

#![allow(unsafe_code, reason = "this is where it is fenced in")]

pub mod descriptors;
pub mod entry;
pub mod exec;
pub mod process;
pub mod signal_state;
pub mod signals;
pub mod terminal;

use nix::errno::Errno;
use nix::libc;

/// The result of a raw system call, which is -1 when it failed and `errno` is set.
#[inline]
fn checked(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result == -1 { Err(Errno::last()) } else { Ok(result) }
}
