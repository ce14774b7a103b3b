//! Follows a path as the kernel does for a given user, and says where it leads no further.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use nix::unistd::{Gid, getegid, geteuid, getgroups};

use super::reason::{Reason, Restricted};

/// Who wants to use a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
    /// The supplementary groups.
    pub groups: Vec<u32>,
    /// Whether the user has the capability CAP_DAC_OVERRIDE: then the mode hardly counts.
    pub overrides_permissions: bool,
}

/// Its number (capabilities(7)).
const CAP_DAC_OVERRIDE: u32 = 1;

impl Credentials {
    /// This process's own effective ones.
    pub fn own() -> Credentials {
        let user = geteuid();
        Credentials {
            user: user.as_raw(),
            group: getegid().as_raw(),
            groups: getgroups().unwrap_or_default().into_iter().map(Gid::as_raw).collect(),
            overrides_permissions: effective_capabilities()
                .map_or(user.is_root(), |set| set & (1 << CAP_DAC_OVERRIDE) != 0),
        }
    }

    /// Whether they may search a directory.
    pub fn may_search(&self, directory: &Metadata) -> bool {
        self.overrides_permissions || self.has_execute_bit(directory)
    }

    /// Whether they may execute a file. Even with the capability, somebody must have the permission.
    pub fn may_execute(&self, file: &Metadata) -> bool {
        self.overrides_permissions && file.mode() & 0o111 != 0 || self.has_execute_bit(file)
    }

    fn has_execute_bit(&self, file: &Metadata) -> bool {
        let bit = if self.user == file.uid() {
            0o100
        } else if self.group == file.gid() || self.groups.contains(&file.gid()) {
            0o010
        } else {
            0o001
        };
        file.mode() & bit != 0
    }
}

/// `None` where /proc does not tell.
fn effective_capabilities() -> Option<u64> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(set.trim(), 16).ok()
}

/// As many as the kernel follows (MAXSYMLINKS).
const MOST_LINKS: usize = 40;

/// Follows a path to its end, through symbolic links. The result has no link in it, except one to a file without a
/// name. The error is the obstacle, `None` where it is not known.
pub fn follow(path: &Path, who: &Credentials) -> Result<PathBuf, Option<Reason>> {
    let mut here = PathBuf::new();
    let mut ahead = parts(path);
    let mut link = None;
    let mut links = 0;
    while let Some(part) = ahead.pop() {
        if part == "/" {
            here = PathBuf::from(part);
            continue;
        }
        check_directory(&here, who)?;
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
        check_directory(&here, who)?;
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

fn check_directory(path: &Path, who: &Credentials) -> Result<(), Option<Reason>> {
    let directory = fs::metadata(or_here(path)).map_err(|_| None)?;
    if !directory.is_dir() {
        return Err(Some(Reason::NotADirectory(path.to_owned())));
    }
    if !who.may_search(&directory) {
        return Err(Some(Reason::NoSearch(Restricted::new(path.to_owned(), &directory, who.user))));
    }
    Ok(())
}

/// The path, or `.` for the empty one.
pub fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// The metadata of a file with this mode, owned by the user and group that run the test.
    fn file(mode: u32) -> Metadata {
        let path = std::env::temp_dir().join(format!("sexton-path-walk-{}-{mode:o}", std::process::id()));
        let file = File::create(&path).unwrap();
        file.set_permissions(Permissions::from_mode(mode)).unwrap();
        fs::remove_file(path).unwrap();
        file.metadata().unwrap()
    }

    #[test]
    fn the_first_class_that_fits_counts_and_no_other() {
        let is_allowed = |mode, owner: bool, group: bool, overrides_permissions| {
            let file = file(mode);
            let groups = if group { vec![file.gid()] } else { vec![] };
            let user = if owner { file.uid() } else { file.uid() + 1 };
            Credentials { user, group: file.gid() + 1, groups, overrides_permissions }.may_execute(&file)
        };
        // The mode, who is allowed: the owner, a member of the group, another, and who overrides permissions.
        let cases = [
            (0o700, [true, false, false, true]),
            (0o070, [false, true, false, true]),
            (0o007, [false, false, true, true]),
            (0o677, [false, true, true, true]),
            (0o666, [false, false, false, false]),
        ];
        for (mode, allowed) in cases {
            let who =
                [(true, true, false), (false, true, false), (false, false, false), (false, false, true)];
            let found = who.map(|(owner, group, overrides)| is_allowed(mode, owner, group, overrides));
            assert_eq!(found, allowed, "{mode:o}");
        }
    }

    #[test]
    fn a_path_is_followed_to_the_file_itself() {
        let who = Credentials::own();
        assert_eq!(follow(Path::new("/proc/self/exe"), &who).ok(), std::env::current_exe().ok());
        assert_eq!(follow(Path::new("src/./../src/lib.rs"), &who), Ok("src/../src/lib.rs".into()));
        let missing =
            Reason::Missing { directory: "/".into(), name: "nowhere".into(), link: None, hint: None };
        assert_eq!(follow(Path::new("/nowhere/at/all"), &who), Err(Some(missing)));
        assert_eq!(follow(Path::new("src/"), &who), Ok("src".into()));
        let not_a_directory = Reason::NotADirectory("src/lib.rs".into());
        assert_eq!(follow(Path::new("src/lib.rs/"), &who), Err(Some(not_a_directory)));
    }
}
