//! The mounts that /proc/self/mountinfo lists (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// A mount: one line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub id: u32,
    /// Which directory of the file system is mounted; `/` for all of it.
    pub root: PathBuf,
    pub point: PathBuf,
    /// The kind of file system: `ext4`, `cgroup2`.
    pub kind: String,
    /// The file system's own mount options; for cgroup v1 its controllers.
    pub options: String,
}

/// All mounts that this process sees, later ones on top of earlier ones; none where /proc does not tell.
pub fn all() -> Vec<Mount> {
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    table.split(|byte| *byte == b'\n').filter_map(Mount::parse).collect()
}

impl Mount {
    fn parse(line: &[u8]) -> Option<Mount> {
        let mut fields = line.split(|byte| *byte == b' ');
        let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
        let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        // After parent and device.
        let root = unescape(fields.nth(2)?);
        let point = unescape(fields.next()?);
        // Mount options and optional fields end with a hyphen.
        fields.find(|field| *field == b"-")?;
        let kind = text(fields.next()?);
        Some(Mount { id, root, point, kind, options: text(fields.nth(1)?) })
    }
}

/// Blank, tab, newline and backslash are written as three octal digits (mangle_path in the kernel).
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let code = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match (first, code.and_then(|digits| u8::from_str_radix(digits, 8).ok())) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_line_is_understood() {
        let line = b"36 35 98:0 /mnt1 /a\\040b\\134 rw,noatime master:1 - cgroup2 /dev/root rw,nsdelegate";
        let mount = Mount::parse(line).unwrap();
        assert_eq!(
            (mount.id, mount.root.to_str(), mount.point.to_str()),
            (36, Some("/mnt1"), Some("/a b\\"))
        );
        assert_eq!((mount.kind.as_str(), mount.options.as_str()), ("cgroup2", "rw,nsdelegate"));
        assert_eq!(Mount::parse(b"36 35 98:0 / /"), None);
        assert_eq!(Mount::parse(b""), None);
    }

    #[test]
    fn the_root_is_a_mount() {
        assert!(all().iter().any(|mount| mount.point == Path::new("/")));
    }
}
