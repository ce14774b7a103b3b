//! What the C runtime hands to `main`.

use std::borrow::Cow;
use std::ffi::{CStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt as _;

use crate::environment::Entry;

/// The arguments, the program's own name first.
///
/// std has them too, but with musl only the Rust runtime sets them up, and sexton runs without it.
///
/// # Safety
/// `argv` must be what the C runtime passes to `main`: `argc` pointers to strings that live as long as
/// the process.
pub unsafe fn arguments(argc: c_int, argv: *const *const c_char) -> Vec<OsString> {
    let argc = usize::try_from(argc).unwrap_or(0);
    let mut arguments = Vec::with_capacity(argc);
    for index in 0..argc {
        // SAFETY: index < argc, so this is one of the argc pointers.
        let argument = unsafe { argv.add(index) };
        // SAFETY: as above.
        let argument = unsafe { *argument };
        // SAFETY: each of them points to a C string that lives as long as the process.
        let argument = unsafe { CStr::from_ptr(argument) };
        arguments.push(std::ffi::OsStr::from_bytes(argument.to_bytes()).to_owned());
    }
    arguments
}

/// The file that was executed to become this process, as it was named then (AT_EXECFN, getauxval(3)).
#[cfg(feature = "cli")]
pub(crate) fn executed_file() -> Option<std::path::PathBuf> {
    // SAFETY: takes an integer.
    let name = unsafe { nix::libc::getauxval(nix::libc::AT_EXECFN) } as *const c_char;
    if name.is_null() {
        return None;
    }
    // SAFETY: the kernel puts a C string there that lives as long as the process.
    let name = unsafe { CStr::from_ptr(name) };
    Some(std::ffi::OsStr::from_bytes(name.to_bytes()).into())
}

/// The environment, byte for byte: std leaves out entries without `=`. Nothing is copied, as nothing changes it while
/// sexton runs, and nothing refers to it afterwards. (setenv(3) leaves the old string where it is.)
pub(crate) fn environment() -> Vec<Entry> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    let mut entries = Vec::new();
    // SAFETY: nothing else writes the environment meanwhile: sexton has one thread.
    let mut entry = unsafe { environ };
    if entry.is_null() {
        return entries;
    }
    loop {
        // SAFETY: entry points into the array, at most at the null that ends it.
        let string = unsafe { *entry };
        if string.is_null() {
            return entries;
        }
        // SAFETY: every entry before the null is a C string, which stays where it is unless something changes the
        // environment.
        let string = unsafe { CStr::from_ptr(string) };
        entries.push(Cow::Borrowed(string));
        // SAFETY: this entry was not the null, so there is a next one.
        entry = unsafe { entry.add(1) };
    }
}
