//! Follows a path as the kernel does, and says where it leads no further.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};

use super::reason::{Reason, Restricted};

/// Whether this process lacks the permission to search a directory or execute a file, whatever gives it: modes,
/// capabilities, access control lists.
pub fn is_refused(path: &Path) -> bool {
    eaccess(or_here(path), AccessFlags::X_OK) == Err(Errno::EACCES)
}

/// As many as the kernel follows (MAXSYMLINKS).
const MOST_LINKS: usize = 40;

/// Follows a path to its end, through symbolic links. The result has no link in it, except one to a file without a
/// name. The error is the obstacle, `None` where it is not known.
pub fn follow(path: &Path) -> Result<PathBuf, Option<Reason>> {
    let mut here = PathBuf::new();
    let mut ahead = parts(path);
    let mut link = None;
    let mut links = 0;
    while let Some(part) = ahead.pop() {
        if part == "/" {
            here = PathBuf::from(part);
            continue;
        }
        check_directory(&here)?;
        let next = here.join(&part);
        let entry = fs::symlink_metadata(&next).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Some(Reason::Missing { directory: here.clone(), name: part, link: link.take(), hint: None })
            }
            _ => None,
        })?;
        if !entry.is_symlink() {
            here = next;
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(Some(Reason::TooManyLinks));
        }
        let target = fs::read_link(&next).map_err(|_| None)?;
        if is_magic(&next, &here.join(&target)) {
            here = next;
            continue;
        }
        ahead.extend(parts(&target));
        link = Some(next);
    }
    // These ends, which Path leaves out of the name, ask for a directory (path_resolution(7)).
    let bytes = path.as_os_str().as_bytes();
    if bytes.ends_with(b"/") || bytes.ends_with(b"/.") {
        check_directory(&here)?;
    }
    Ok(here)
}

/// Whether a link leads elsewhere than its text says: to an open file, which may have no name (`/proc/PID/fd/N`), or
/// into another mount namespace (`/proc/PID/root`); see proc_pid_fd(5).
fn is_magic(link: &Path, target: &Path) -> bool {
    let file = |path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let behind = file(link);
    behind.is_some() && behind != file(target)
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let named = path.components().filter(|part| *part != Component::CurDir);
    named.rev().map(|part| part.as_os_str().to_owned()).collect()
}

fn check_directory(path: &Path) -> Result<(), Option<Reason>> {
    let directory = fs::metadata(or_here(path)).map_err(|_| None)?;
    if !directory.is_dir() {
        return Err(Some(Reason::NotADirectory(path.to_owned())));
    }
    if is_refused(path) {
        return Err(Some(Reason::NoSearch(Restricted::new(path.to_owned(), &directory))));
    }
    Ok(())
}

/// The path, or `.` for the empty one.
pub fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_followed_to_the_file_itself() {
        assert_eq!(follow(Path::new("/proc/self/exe")).ok(), std::env::current_exe().ok());
        assert_eq!(follow(Path::new("src/./../src/lib.rs")), Ok("src/../src/lib.rs".into()));
        let missing =
            Reason::Missing { directory: "/".into(), name: "nowhere".into(), link: None, hint: None };
        assert_eq!(follow(Path::new("/nowhere/at/all")), Err(Some(missing)));
        assert_eq!(follow(Path::new("src/")), Ok("src".into()));
        let not_a_directory = Reason::NotADirectory("src/lib.rs".into());
        assert_eq!(follow(Path::new("src/lib.rs/")), Err(Some(not_a_directory)));
    }
}
