//! Sending signals to the program or its process group.

use std::collections::VecDeque;

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::config;
use crate::signal::{Rewrites, Signal, SignalSet};
use crate::sys::signals::{self, Payload};

/// How many queued signals are kept. When so many wait, all further ones stay in the kernel.
const ROOM: usize = 4096;

/// By how much the room grows each time that the program takes none, and up to what. The signals that stay in the kernel
/// count against the limit of their receiver's user, which may be the program's user too: then the program gets none
/// before sexton has taken enough of them.
const MORE_ROOM: usize = 16;
const MOST_ROOM: usize = 4 * ROOM;

/// Sends signals, and keeps queued ones while the program's user may not have more of them (RLIMIT_SIGPENDING,
/// setrlimit(2)).
#[derive(Debug)]
pub struct Delivery {
    to: config::Delivery,
    unsent: VecDeque<(Signal, Payload)>,
    room: usize,
}

impl Delivery {
    /// To the program, or the group that it leads.
    pub fn new(to: config::Delivery) -> Delivery {
        Delivery { to, unsent: VecDeque::new(), room: ROOM }
    }

    /// Sends a signal; `None` where it is kept for later.
    pub fn send(
        &mut self,
        program: Pid,
        signal: Signal,
        payload: Option<Payload>,
    ) -> Option<Result<(), Errno>> {
        if self.to == config::Delivery::Group {
            return Some(match signals::send_to_group(program, signal) {
                // The program has not made its session yet, and is alone.
                Err(Errno::ESRCH) => signals::send(program, signal, None),
                result => result,
            });
        }
        let Some(payload) = payload else { return Some(signals::send(program, signal, None)) };
        if self.unsent.is_empty() {
            let result = signals::send(program, signal, Some(payload));
            if result != Err(Errno::EAGAIN) {
                return Some(result);
            }
        }
        self.unsent.push_back((signal, payload));
        None
    }

    /// Sends the next signal that was kept, and says what came of it; `None` where none is left, or the program may not
    /// have more.
    pub fn retry(&mut self, program: Pid) -> Option<(Signal, Result<(), Errno>)> {
        let Some((signal, payload)) = self.unsent.front().copied() else {
            self.room = ROOM;
            return None;
        };
        let result = signals::send(program, signal, Some(payload));
        if result == Err(Errno::EAGAIN) {
            if self.unsent.len() >= self.room {
                self.room = MOST_ROOM.min(self.room + MORE_ROOM);
            }
            return None;
        }
        self.unsent.pop_front();
        Some((signal, result))
    }

    /// Whether there is something to retry.
    pub fn is_waiting(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// The signals to take from the kernel: as long as there is no room, none that would be sent as one that waits.
    pub fn wanted(&self, rewrites: &Rewrites) -> SignalSet {
        if self.unsent.len() < self.room {
            return SignalSet::ALL;
        }
        let waiting: SignalSet = self.unsent.iter().map(|(signal, _)| *signal).collect();
        let has_room = |signal: &Signal| rewrites.apply(*signal).is_none_or(|to| !waiting.contains(to));
        Signal::all().filter(has_room).collect()
    }

    /// The program is reaped: its PID may be another process's, and nothing is sent any more.
    pub fn forget(&mut self) {
        self.unsent = VecDeque::new();
    }
}
