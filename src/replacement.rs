//! Replacing a file as a whole.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// How many names are tried for the temporary file. A name may belong to a process that is writing now, or be left over
/// from one that was killed. PIDs do not tell them apart: in every container it is PID 1 that writes.
const NAMES: u32 = 1000;

/// Writes a file beside the target and renames it, so that nobody reads or executes half a file. It gets these
/// permissions, or those of any new file.
pub fn replace(target: &Path, bytes: &[u8], permissions: Option<Permissions>) -> io::Result<()> {
    if target.file_name().is_none() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    // Whoever may not write it later must not open it for writing now.
    let mode = if permissions.is_some() { 0o600 } else { 0o666 };
    let (temporary, mut file) = create_beside(target, mode)?;
    let result = file
        .write_all(bytes)
        // By chmod(2): the umask would take from the mode at creation.
        .and_then(|()| permissions.map_or(Ok(()), |permissions| file.set_permissions(permissions)))
        .and_then(|()| file.sync_all())
        .and_then(|()| {
            // A file that is open for writing cannot be executed (ETXTBSY).
            drop(file);
            fs::rename(&temporary, target)
        });
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// The new name does not contain the target's, which may already be as long as a name can be.
fn create_beside(target: &Path, mode: u32) -> io::Result<(PathBuf, File)> {
    let mut number = 0;
    loop {
        let temporary = target.with_file_name(format!(".sexton-{}-{number}", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < NAMES => number += 1,
            result => return result.map(|file| (temporary, file)),
        }
    }
}
