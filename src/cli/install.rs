//! `--install PATH`: copies this executable out of an image that holds nothing else.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::replacement::replace;
use crate::sys::entry;

/// Copies this executable to the file `to`, or into the directory `to` under the name it was called by. An existing
/// file is replaced atomically, even while it runs. The error is a sentence.
pub fn install(to: &Path, called: &str) -> Result<(), String> {
    let target = if to.is_dir() { to.join(called) } else { to.to_owned() };
    let executable = executable()?;
    let permissions = Permissions::from_mode(0o755);
    replace(&target, &executable, Some(permissions))
        .map_err(|error| format!("cannot install {}: {error}", target.display()))
}

/// Without /proc it is read from the path that was executed, which is the same file unless somebody has replaced it.
fn executable() -> Result<Vec<u8>, String> {
    let by_name = |error| match entry::executed_file() {
        Some(name) => fs::read(&name).map_err(|error| format!("cannot read {}: {error}", name.display())),
        None => Err(format!("cannot read /proc/self/exe: {error}")),
    };
    fs::read("/proc/self/exe").or_else(by_name)
}
