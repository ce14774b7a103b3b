//! How much may be handed to a program, and which part is too much (execve(2), "Limits on size of arguments").

use std::ffi::CStr;

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{SysconfVar, sysconf};

use super::reason::Reason;
use super::tell::Shown;

/// A single string may have this many pages (MAX_ARG_STRLEN).
const PAGES_OF_A_STRING: usize = 32;
/// All together get at least this much (ARG_MAX), and at most three quarters of the usual stack.
const LEAST: usize = 128 * 1024;
const MOST: usize = 6 * 1024 * 1024;

/// Why these are too much for execve(2).
pub fn reason(file: &CStr, arguments: &[&CStr], environment: &[&CStr]) -> Reason {
    let string_limit = PAGES_OF_A_STRING * page_size();
    let size = |string: &&CStr| string.to_bytes_with_nul().len();
    let long = |strings: &[&CStr]| strings.iter().position(|string| size(string) > string_limit);
    if let Some(index) = long(arguments) {
        let what = format!("argument {index}");
        return Reason::StringTooLong { what, bytes: size(&arguments[index]), limit: string_limit };
    }
    if let Some(index) = long(environment) {
        let name = environment[index].to_bytes().split(|byte| *byte == b'=').next().unwrap_or_default();
        let what = format!("the environment variable {}", Shown(name));
        return Reason::StringTooLong { what, bytes: size(&environment[index]), limit: string_limit };
    }
    let strings = || arguments.iter().chain(environment);
    let pointers = (arguments.len() + environment.len()) * size_of::<usize>();
    let bytes = file.to_bytes_with_nul().len() + strings().map(size).sum::<usize>() + pointers;
    Reason::ArgumentsTooLong { bytes, limit: limit() }
}

/// bprm_stack_limits() in fs/exec.c.
fn limit() -> usize {
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
        let Reason::ArgumentsTooLong { bytes, limit } = reason(c"/a", &[c"word"; 100], &[]) else { panic!() };
        assert_eq!(bytes, 3 + 100 * (5 + size_of::<usize>()));
        assert!((LEAST..=MOST).contains(&limit));
    }
}
