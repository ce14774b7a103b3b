//! Sending signals on.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::config;
use crate::news::{News, Tell};
use crate::plan::Plan;
use crate::signal::Signal;
use crate::sys::signals::{self, Payload};

use super::clock::Now;

/// How long to wait before a signal that the receiver's queue had no room for is sent again.
const RETRY: Duration = Duration::from_millis(10);

/// Sends signals to the program or its group, queued ones in the order they came.
#[derive(Debug)]
pub struct Delivery {
    to: config::Delivery,
    program: Pid,
    tell: Tell,
    /// Queued signals for which the program's user has no room (RLIMIT_SIGPENDING, setrlimit(2)).
    unsent: VecDeque<(Signal, Payload)>,
    retry_at: Option<Instant>,
}

impl Delivery {
    /// To the program, or the group that it leads.
    pub fn new(plan: &Plan, program: Pid) -> Delivery {
        Delivery { to: plan.delivery, program, tell: plan.tell, unsent: VecDeque::new(), retry_at: None }
    }

    /// When to call `retry`, if at all.
    pub fn deadline(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Sends a signal, or keeps it for later.
    pub fn send(&mut self, signal: Signal, payload: Option<Payload>, now: &Now) {
        if self.to == config::Delivery::Group {
            return self.report(signal, signals::send_to_group(self.program, signal));
        }
        let Some(payload) = payload else {
            return self.report(signal, signals::send(self.program, signal, None));
        };
        self.unsent.push_back((signal, payload));
        if self.unsent.len() == 1 {
            self.retry(now);
        }
    }

    /// Sends what was kept, until the queue is full again.
    pub fn retry(&mut self, now: &Now) {
        self.retry_at = None;
        while let Some((signal, payload)) = self.unsent.front().copied() {
            let result = signals::send(self.program, signal, Some(payload));
            if result == Err(Errno::EAGAIN) {
                self.retry_at = Some(now.get() + RETRY);
                return;
            }
            self.unsent.pop_front();
            self.report(signal, result);
        }
    }

    /// The program is reaped, and its PID may be anybody's: nothing that was kept is sent any more.
    pub fn forget_program(&mut self) {
        self.unsent.clear();
        self.retry_at = None;
    }

    /// Tells what came of it.
    pub fn report(&self, signal: Signal, result: Result<(), Errno>) {
        (self.tell)(&News::Forwarded { signal, to: self.to, program: self.program, result });
    }
}
