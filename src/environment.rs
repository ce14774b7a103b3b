//! The program's environment, and the variables in its arguments.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::rc::Rc;

/// An entry: one that lies in this process's own environment, or one made for the program.
pub type Entry = Cow<'static, CStr>;

/// Entries, usually `KEY=VALUE`; their order is kept, and so are odd ones. Clones share the entries until one of them
/// is changed, which is rare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(Rc<Vec<Entry>>);

impl Environment {
    pub fn new(entries: Vec<Entry>) -> Environment {
        Environment(Rc::new(entries))
    }

    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// The value of a variable, as [`find`] gives it.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        find(&self.0, key)
    }

    /// Removes a variable, all copies of it.
    pub fn remove(&mut self, key: &[u8]) {
        let is_it = |entry: &Entry| value_of(entry, key).is_some() || entry.to_bytes() == key;
        if self.0.iter().any(is_it) {
            Rc::make_mut(&mut self.0).retain(|entry| !is_it(entry));
        }
    }

    /// Sets a variable in place of the old one. All other copies are removed: getenv(3) takes the first, and shells the
    /// last.
    pub fn set(&mut self, entry: CString) {
        let is_old = |old: &Entry| value_of(old, key_of(&entry)).is_some();
        let entries = Rc::make_mut(&mut self.0);
        let place = entries.iter().position(is_old).unwrap_or(entries.len());
        entries.retain(|old| !is_old(old));
        entries.insert(place, entry.into());
    }
}

/// The value of a variable; of the first copy, as with getenv(3).
pub fn find<'a>(entries: &'a [Entry], key: &[u8]) -> Option<&'a [u8]> {
    entries.iter().find_map(|entry| value_of(entry, key))
}

/// What comes before the first `=`.
pub fn key_of(entry: &CStr) -> &[u8] {
    entry.to_bytes().split(|byte| *byte == b'=').next().unwrap_or_default()
}

/// The value, if the entry is this variable's.
fn value_of<'a>(entry: &'a CStr, key: &[u8]) -> Option<&'a [u8]> {
    entry.to_bytes().strip_prefix(key)?.strip_prefix(b"=")
}

/// Why an argument cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpandError {
    /// A `${` without its `}`.
    NotClosed(OsString),
    /// What stands between the braces is not `VAR` or `VAR:-default`.
    NotAVariable(OsString),
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExpandError::NotClosed(word) => {
                write!(f, "{word:?} has a ${{ that is not closed; write ${{VAR}}, or $${{ for a plain ${{")
            }
            ExpandError::NotAVariable(what) => {
                write!(
                    f,
                    "{what:?} is not a variable; write ${{VAR}}, ${{VAR:-default}}, or $${{ for a plain ${{"
                )
            }
        }
    }
}

impl std::error::Error for ExpandError {}

/// Replaces `${VAR}` and `${VAR:-default}` by their values; `$${` stands for a plain `${`.
///
/// As in a shell, a variable that is unset or empty gives the default, or nothing where there is none. Unlike in a
/// shell, a value is never split into words, and a default is taken literally.
pub fn expand(word: &OsStr, environment: &Environment) -> Result<OsString, ExpandError> {
    let mut rest = word.as_bytes();
    let mut expanded = Vec::with_capacity(rest.len());
    while let Some(at) = rest.windows(2).position(|pair| pair == b"${") {
        let (before, from_dollar) = rest.split_at(at);
        let after = &from_dollar[2..];
        if let Some(before) = before.strip_suffix(b"$") {
            expanded.extend_from_slice(before);
            expanded.extend_from_slice(b"${");
            rest = after;
            continue;
        }
        let Some(end) = after.iter().position(|byte| *byte == b'}') else {
            return Err(ExpandError::NotClosed(word.to_owned()));
        };
        expanded.extend_from_slice(before);
        expanded.extend_from_slice(value(&after[..end], environment)?);
        rest = &after[end + 1..];
    }
    expanded.extend_from_slice(rest);
    Ok(OsString::from_vec(expanded))
}

fn value<'a>(inside: &'a [u8], environment: &'a Environment) -> Result<&'a [u8], ExpandError> {
    let (key, default) = match inside.windows(2).position(|pair| pair == b":-") {
        Some(at) => (&inside[..at], &inside[at + 2..]),
        None => (inside, &b""[..]),
    };
    let is_name = key.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    if !is_name || key.first().is_none_or(u8::is_ascii_digit) {
        return Err(ExpandError::NotAVariable(OsStr::from_bytes(inside).to_owned()));
    }
    Ok(environment.get(key).filter(|value| !value.is_empty()).unwrap_or(default))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn environment(entries: &[&str]) -> Environment {
        Environment::new(entries.iter().map(|entry| CString::new(*entry).unwrap().into()).collect())
    }

    fn expanded(word: &str) -> Result<OsString, ExpandError> {
        expand(word.as_ref(), &environment(&["A=1", "EMPTY=", "DOLLAR=${A}"]))
    }

    #[test]
    fn p1_variables_are_expanded_once() {
        let cases = [
            ("", ""),
            ("plain $A {A} $", "plain $A {A} $"),
            ("${A}", "1"),
            ("--port=${A}${A}", "--port=11"),
            ("${NONE}", ""),
            ("${NONE:-x y}", "x y"),
            ("${EMPTY:-x}", "x"),
            ("${A:-x}", "1"),
            ("${NONE:-}", ""),
            ("${DOLLAR}", "${A}"),
            ("$${A}", "${A}"),
            ("$$${A}", "$${A}"),
        ];
        for (word, result) in cases {
            assert_eq!(expanded(word), Ok(result.into()), "{word}");
        }
    }

    #[test]
    fn p1_what_is_no_variable_is_refused() {
        for word in ["${", "${A", "${}", "${1A}", "${A-B}", "${A B}", "${:-x}"] {
            assert!(expanded(word).is_err(), "{word}");
        }
    }

    #[test]
    fn set_and_removed_and_the_rest_untouched() {
        let mut environment = environment(&["odd", "A=1", "B=2", "A=3", "AB=4", "B=7", "B=8"]);
        environment.set(CString::new("B=5").unwrap());
        environment.set(CString::new("C=6").unwrap());
        environment.remove(b"A");
        let left: Vec<_> = environment.entries().iter().map(|entry| entry.to_str().unwrap()).collect();
        assert_eq!(left, ["odd", "B=5", "AB=4", "C=6"]);
        assert_eq!(environment.get(b"A"), None);
    }

    proptest! {
        #[test]
        fn no_word_panics(word: Vec<u8>) {
            let _ = expand(OsStr::from_bytes(&word), &environment(&["A=1"]));
        }

        #[test]
        fn a_word_without_variables_stays(word in "[^$]*") {
            prop_assert_eq!(expanded(&word), Ok(word.into()));
        }
    }
}
