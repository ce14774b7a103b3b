//! What has come through a pipe so far: bytes, lines with their time of arrival, and the end.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// A line and when it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) at: Instant,
}

#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    lines: Vec<Line>,
    partial: Vec<u8>,
    ended: bool,
}

impl Seen {
    fn add(&mut self, bytes: &[u8]) {
        let at = Instant::now();
        self.bytes.extend(bytes);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend(part);
            if let Some(text) = self.partial.strip_suffix(b"\n") {
                self.lines.push(Line { text: String::from_utf8_lossy(text).into_owned(), at });
                self.partial.clear();
            }
        }
    }
}

/// A thread of its own reads the pipe. Clones see the same.
#[derive(Clone, Default)]
pub(crate) struct Output {
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

impl Output {
    pub(crate) fn of(mut pipe: impl Read + Send + 'static) -> Output {
        let output = Output::default();
        let shared = output.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 1 << 16];
            loop {
                let count = pipe.read(&mut buffer).unwrap_or(0);
                let (seen, changed) = &*shared.seen;
                let mut seen = seen.lock().expect("no holder panics");
                seen.add(&buffer[..count]);
                seen.ended |= count == 0;
                changed.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        output
    }

    /// Waits until `check` finds something. `None` if it has not within `limit`.
    fn wait<T>(&self, limit: Duration, mut check: impl FnMut(&Seen) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        let (seen, changed) = &*self.seen;
        let mut seen = seen.lock().expect("no holder panics");
        loop {
            if let Some(found) = check(&seen) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            seen = changed.wait_timeout(seen, left).expect("no holder panics").0;
        }
    }

    /// Waits for line number `index`. `None` at the end of the output or after `limit`.
    pub(crate) fn line(&self, index: usize, limit: Duration) -> Option<Line> {
        let line = |seen: &Seen| match seen.lines.get(index) {
            Some(line) => Some(Some(line.clone())),
            None => seen.ended.then_some(None),
        };
        self.wait(limit, line).flatten()
    }

    /// Waits until `check` holds for the text so far. False if it does not by the end of the output or within `limit`.
    pub(crate) fn text_until(&self, limit: Duration, check: impl Fn(&str) -> bool) -> bool {
        let checked = |seen: &Seen| {
            let holds = check(&String::from_utf8_lossy(&seen.bytes));
            (holds || seen.ended).then_some(holds)
        };
        self.wait(limit, checked).unwrap_or(false)
    }

    pub(crate) fn ends_within(&self, limit: Duration) -> bool {
        self.wait(limit, |seen| seen.ended.then_some(())).is_some()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.seen.0.lock().expect("no holder panics").bytes.clone()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}
