//! Files that are replaced whole.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// How many names are tried for the temporary file. One that is taken is another process's that is writing now, or was
/// left by one that was killed: PIDs tell nothing apart here, as in every container it is PID 1 that writes.
const NAMES: u32 = 1000;

/// Writes a file beside the target and renames it, so that there is never half a file under that name: somebody
/// may be about to read it, or to execute it. It gets the permissions, or else those of any new file.
pub fn replace(target: &Path, bytes: &[u8], permissions: Option<Permissions>) -> io::Result<()> {
    if target.file_name().is_none() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    // Nobody is to have it open for writing who may not later.
    let mode = if permissions.is_some() { 0o600 } else { 0o666 };
    let (temporary, mut file) = create_beside(target, mode)?;
    let result = file
        .write_all(bytes)
        // The umask does not count for this.
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

/// Its name has nothing of the target's, which may be as long as a name can be.
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
