//! A name that is there and nearly the one asked for.

use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::path_walk::or_here;

/// The program in these directories whose name is nearest to the one asked for; `None` when none could be meant.
pub fn program(name: &OsStr, directories: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    let wanted = name.to_string_lossy();
    let near = |entry: DirEntry| {
        let distance = distance(&wanted, &entry.file_name().to_string_lossy())?;
        Some((distance, entry.path())).filter(|(_, path)| is_program(path))
    };
    // Of two equally near ones in a directory the first by name, whatever order they are listed in.
    let nearest_in =
        |directory: PathBuf| fs::read_dir(or_here(&directory)).ok()?.flatten().filter_map(near).min();
    let nearest = directories.into_iter().filter_map(nearest_in).min_by_key(|(distance, _)| *distance);
    nearest.map(|(_, path)| path)
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// How many slips of the finger lead from one name to the other: a letter more, less, wrong, or two swapped.
/// `None` when they are too many for a name of this length.
fn distance(wanted: &str, found: &str) -> Option<usize> {
    let allowed = (wanted.chars().count() / 3).min(3);
    // Cheap: of thousands of names, the lengths of most already differ too much.
    if wanted.len().abs_diff(found.len()) > 4 * allowed {
        return None;
    }
    if wanted.eq_ignore_ascii_case(found) {
        return Some(0);
    }
    Some(strsim::osa_distance(wanted, found)).filter(|distance| *distance <= allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_near_and_other_words_are_not() {
        for (wanted, found) in
            [("ngnix", "nginx"), ("pyton3", "python3"), ("MyApp", "myapp"), ("bsh", "bash")]
        {
            assert!(distance(wanted, found).is_some(), "{wanted} {found}");
        }
        for (wanted, found) in [("sh", "ls"), ("app", "sed"), ("server", "sleep"), ("a", "b"), ("", "[")] {
            assert_eq!(distance(wanted, found), None, "{wanted} {found}");
        }
    }

    #[test]
    fn the_nearest_program_is_found() {
        let directories = || ["/nowhere", "/bin"].map(PathBuf::from);
        assert_eq!(program(OsStr::new("slep"), directories()), Some(PathBuf::from("/bin/sleep")));
        assert_eq!(program(OsStr::new("no-such-thing-at-all"), directories()), None);
    }
}
