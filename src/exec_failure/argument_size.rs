//! How much may be handed to a program, and which part is too much (execve(2), "Limits on size of arguments").

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt as _;

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{SysconfVar, sysconf};

use super::reason::{Reason, shown};
use crate::environment::key_of;

/// The limit on one string, in pages (MAX_ARG_STRLEN).
const PAGES_OF_A_STRING: usize = 32;
/// The limit on all strings together is at least this (ARG_MAX), and at most three quarters of the usual stack.
const LEAST: usize = 128 * 1024;
const MOST: usize = 6 * 1024 * 1024;

/// Why these are too much for execve(2).
pub fn reason(file: &CStr, arguments: &[impl AsRef<CStr>], environment: &[impl AsRef<CStr>]) -> Reason {
    let size = |string: &CStr| string.to_bytes_with_nul().len();
    let arguments: Vec<&CStr> = arguments.iter().map(AsRef::as_ref).collect();
    let environment: Vec<&CStr> = environment.iter().map(AsRef::as_ref).collect();
    let limit = PAGES_OF_A_STRING * page_size();
    let is_too_long = |string: &&CStr| size(string) > limit;
    if let Some(index) = arguments.iter().position(is_too_long) {
        return Reason::StringTooLong {
            what: format!("argument {index}"),
            bytes: size(arguments[index]),
            limit,
        };
    }
    if let Some(entry) = environment.iter().copied().find(is_too_long) {
        let what = format!("the environment variable {}", shown(OsStr::from_bytes(key_of(entry))));
        return Reason::StringTooLong { what, bytes: size(entry), limit };
    }
    let strings = arguments.iter().chain(&environment).map(|string| size(string) + size_of::<usize>());
    Reason::ArgumentsTooLong { bytes: size(file) + strings.sum::<usize>(), limit: limit_on_all() }
}

/// bprm_stack_limits() in fs/exec.c.
fn limit_on_all() -> usize {
    let stack = getrlimit(Resource::RLIMIT_STACK).map_or(u64::MAX, |(soft, _)| soft);
    usize::try_from(stack / 4).unwrap_or(usize::MAX).clamp(LEAST, MOST)
}

fn page_size() -> usize {
    sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|size| usize::try_from(size).ok()).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;

    #[test]
    fn the_long_one_is_named() {
        let short = CString::new("a").unwrap();
        let long = CString::new(format!("LONG={}", "x".repeat(PAGES_OF_A_STRING * page_size()))).unwrap();
        let what = |arguments: &[&CStr], environment: &[&CStr]| match reason(c"/a", arguments, environment) {
            Reason::StringTooLong { what, .. } => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(what(&[&short, &long], &[]), "argument 1");
        assert_eq!(what(&[&short], &[&short, &long]), "the environment variable LONG");
    }

    #[test]
    fn all_together_are_counted_with_their_pointers() {
        const NONE: &[&CStr] = &[];
        let Reason::ArgumentsTooLong { bytes, limit } = reason(c"/a", &[c"word"; 100], NONE) else {
            panic!()
        };
        assert_eq!(bytes, 3 + 100 * (5 + size_of::<usize>()));
        assert!((LEAST..=MOST).contains(&limit));
    }
}
