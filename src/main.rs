//! C's `main` and not Rust's: before that, std ignores SIGPIPE and opens /dev/null for standard descriptors that are
//! closed, and the program is to inherit both unchanged.

#![no_main]

use std::ffi::{c_char, c_int};

/// musl's own allocator maps memory for each size separately: a quarter of a start's page faults (docs/performance.md).
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
