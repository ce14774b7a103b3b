//! Entered as a C program: before a Rust `main`, std's runtime ignores SIGPIPE and opens /dev/null in place of
//! closed standard descriptors, and the program is to inherit both as sexton did.

#![no_main]

use std::ffi::{c_char, c_int};

/// musl's own allocator maps each size apart, and was a fourth of a start's page faults (docs/performance.md).
#[cfg(target_env = "musl")]
#[global_allocator]
static HEAP: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "C calls it, with C's arguments")]
extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    // SAFETY: these are what the C runtime passes to main.
    let arguments = unsafe { sexton::entry::arguments(argc, argv) };
    sexton::cli::main(arguments)
}
