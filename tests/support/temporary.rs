//! A directory that is removed after the test.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Open to every user, because some tests run as nobody.
pub(crate) struct TemporaryDirectory {
    path: PathBuf,
}

impl TemporaryDirectory {
    pub(crate) fn new() -> TemporaryDirectory {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sexton-test-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("cannot make a temporary directory");
        fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("it is the test's own");
        TemporaryDirectory { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A file in it with this text.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, text).expect("cannot write into the temporary directory");
        path
    }

    /// An executable file in it with these contents.
    ///
    /// install(1) writes it. If it were open for writing in this process, a child that another test forks at that
    /// moment would have it open too until its exec, and meanwhile nobody could execute the file (ETXTBSY).
    pub(crate) fn executable(&self, name: impl AsRef<Path>, contents: &[u8]) -> PathBuf {
        let path = self.path.join(name);
        let mut command = Command::new("install");
        command.args(["-m", "755", "--", "/dev/stdin"]).arg(&path).stdin(Stdio::piped());
        let mut install = command.spawn().expect("cannot run install");
        let written = install.stdin.take().expect("it is a pipe").write_all(contents);
        written.expect("cannot give install the contents");
        assert!(install.wait().expect("it is the test's child").success(), "cannot make {}", path.display());
        path
    }

    /// An executable file in it with this text.
    pub(crate) fn script(&self, name: &str, text: &str) -> PathBuf {
        self.executable(name, text.as_bytes())
    }

    /// An executable copy in it of another file.
    pub(crate) fn copy(&self, from: impl AsRef<Path>, name: impl AsRef<Path>) -> PathBuf {
        self.executable(name, &fs::read(from).expect("cannot read what is to be copied"))
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.path);
    }
}
