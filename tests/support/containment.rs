//! Limits programs that fork wildly, by a `pids` cgroup of their own (version 1 or 2).

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{skip, try_poll};

/// A cgroup with a limit. Dropping it removes it, once it is empty.
pub(crate) struct PidsLimit {
    path: PathBuf,
}

impl PidsLimit {
    /// The limit is for the init and its descendants; up to two processes of the test's own come on top.
    pub(crate) fn new(limit: u32) -> PidsLimit {
        PidsLimit::exactly(limit + 2)
    }

    pub(crate) fn exactly(limit: u32) -> PidsLimit {
        let roots = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"];
        let group = roots.iter().find_map(|root| PidsLimit::below(Path::new(root), limit));
        group.unwrap_or_else(|| skip("needs root and a pids cgroup"))
    }

    /// Inside the cgroup `above`. `None` where that is impossible, or `above` does not delegate the controller.
    pub(crate) fn below(above: &Path, limit: u32) -> Option<PidsLimit> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let path = loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = above.join(format!("sexton-test-{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => break path,
                // Another run has the same PID in a PID namespace of its own.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(_) => return None,
            }
        };
        let group = PidsLimit { path };
        // It must be there already: version 1 is mounted below a tmpfs, which takes any file and limits nothing.
        let mut file = File::options().write(true).open(group.path.join("pids.max")).ok()?;
        file.write_all(limit.to_string().as_bytes()).is_ok().then_some(group)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PidsLimit {
    fn drop(&mut self) {
        // Processes leave the cgroup a moment after they are reaped.
        try_poll(Duration::from_secs(5), || fs::remove_dir(&self.path).ok());
    }
}

/// How many processes are in the cgroup, zombies included.
pub(crate) fn count(cgroup: &Path) -> Option<u32> {
    fs::read_to_string(cgroup.join("pids.current")).ok()?.trim().parse().ok()
}
