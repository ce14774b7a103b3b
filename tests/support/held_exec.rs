//! An exec that hangs until the test lets it go: a permission event of fanotify(7) that nobody answers, as on-access
//! scanners ask for them. A dead NFS server looks the same from above.
//!
//! The process that executes the file is in the kernel meanwhile, in state D. Only a signal that ends it wakes it
//! (`fanotify_get_response` in the kernel).

use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::fanotify::{
    EventFFlags, Fanotify, FanotifyEvent, FanotifyResponse, InitFlags, MarkFlags, MaskFlags, Response,
};

use super::{poll, skip};

/// Whoever executes the file hangs as long as this lives.
pub(crate) struct HeldExec {
    group: Fanotify,
    event: Option<FanotifyEvent>,
}

impl HeldExec {
    pub(crate) fn of(file: &Path) -> HeldExec {
        let flags = InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
        let group = Fanotify::init(flags, EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC);
        let group = group.unwrap_or_else(|error| skip(format!("needs root and fanotify: {error}")));
        let marked = group.mark(MarkFlags::FAN_MARK_ADD, MaskFlags::FAN_OPEN_EXEC_PERM, AT_FDCWD, Some(file));
        marked.unwrap_or_else(|error| skip(format!("needs permission events of fanotify: {error}")));
        HeldExec { group, event: None }
    }

    /// Waits until somebody executes the file, and returns its PID.
    pub(crate) fn wait(&mut self) -> i32 {
        let event = poll("somebody executes the file", || match self.group.read_events() {
            Ok(events) => events.into_iter().next(),
            Err(Errno::EAGAIN) => None,
            Err(error) => panic!("cannot read events: {error}"),
        });
        self.event.insert(event).pid()
    }

    /// Lets it go on, and all that follow.
    pub(crate) fn allow(self) {
        self.answer(Response::FAN_ALLOW);
    }

    /// The exec fails with EPERM; those that follow go on.
    pub(crate) fn deny(self) {
        self.answer(Response::FAN_DENY);
    }

    fn answer(self, response: Response) {
        let event = self.event.as_ref().and_then(FanotifyEvent::fd).expect("somebody executes the file");
        self.group.write_response(FanotifyResponse::new(event, response)).expect("cannot answer");
    }
}
