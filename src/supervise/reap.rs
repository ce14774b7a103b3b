//! Reaping, some children at a time.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use nix::time::ClockId;
use nix::unistd::Pid;

use crate::news::{News, Tell};
use crate::plan::Plan;
use crate::process_tree::Named;
use crate::signal::Signal;
use crate::status::ChildStatus;
use crate::sys::process::{self, Waited};
use crate::sys::signals;

use super::clock::Now;
use super::tally::Tallying;

/// How many children are reaped before signals are looked at again: a storm of orphans must not hold
/// them up.
const BATCH: usize = 256;

/// How many leftovers are reaped as they die; those after them are reaped some at a time.
const AT_ONCE: usize = BATCH;

/// How many times as long as reaping has taken leftovers are then let die, and how long at least and at most.
const PAUSE_AFTER_REAPING: u32 = 8;
const PAUSE: RangeInclusive<Duration> = Duration::from_millis(5)..=Duration::from_millis(100);

/// What it takes to reap one at most, unless most of it is the search for a dead one among those that live.
const WITHOUT_SEARCH: Duration = Duration::from_micros(20);

/// When to reap, once the program has ended and thousands die together.
///
/// wait(2) looks through the list of children, the oldest first, until it finds one that is dead (`do_wait_thread` in the
/// kernel). To reap each of N at the moment of its death, most of them being alive, would cost the square of N, and so does
/// it to reap thousands that are younger than thousands that live. So after the first some hundreds sexton lets them gather,
/// the longer the more the search has cost.
#[derive(Debug, Default)]
pub struct Pace {
    /// How many have been reaped since the program ended, if it has.
    reaped: Option<usize>,
    next: Option<Instant>,
}

impl Pace {
    /// The program has ended.
    pub fn begin(&mut self) {
        self.reaped = Some(0);
    }

    /// What sexton has used of the processor, for `after`; nothing as long as the program runs, when nobody asks.
    pub fn cpu_time(&self) -> Duration {
        let time = self.reaped.and_then(|_| ClockId::CLOCK_THREAD_CPUTIME_ID.now().ok());
        time.map_or(Duration::ZERO, Duration::from)
    }

    /// Takes note of a batch, and of the CPU time that it took.
    pub fn after(&mut self, batch: &Batch, took: Duration, now: &Now) {
        let Some(reaped) = &mut self.reaped else { return };
        *reaped += batch.reaped;
        let searched = took > WITHOUT_SEARCH.saturating_mul(u32::try_from(batch.reaped).unwrap_or(u32::MAX));
        let more = batch.reaped > 0 && !batch.childless && (!batch.full || searched);
        let pause = (took * PAUSE_AFTER_REAPING).clamp(*PAUSE.start(), *PAUSE.end());
        self.next = (*reaped > AT_ONCE && more).then(|| now.get() + pause);
    }

    /// Whether a death that is told now is left for later.
    pub fn is_on(&self) -> bool {
        self.next.is_some()
    }

    /// When to reap, where deaths are left for later.
    pub fn deadline(&self) -> Option<Instant> {
        self.next
    }
}

/// Reaps children.
#[derive(Debug)]
pub struct Reaper {
    /// Until it is reaped: then its PID may be another's.
    program: Option<Pid>,
    warn: bool,
    parting_signal: Option<Signal>,
    tell: Tell,
}

/// What a batch brought.
#[derive(Debug)]
pub struct Batch {
    /// The last change of the program's state, if there was one.
    pub program: Option<ChildStatus>,
    /// How many other children died.
    pub reaped: usize,
    /// Whether there may be more to reap.
    pub full: bool,
    /// Whether no child is left, dead or alive.
    pub childless: bool,
}

impl Reaper {
    /// Knows the program from an orphan.
    pub fn new(plan: &Plan, program: Pid) -> Reaper {
        Reaper {
            program: Some(program),
            warn: plan.warn_on_reap,
            parting_signal: plan.parting_signal,
            tell: plan.tell,
        }
    }

    /// Reaps a batch of children, without waiting for any.
    pub fn reap(&mut self, tally: &mut Tallying) -> Batch {
        let mut batch = Batch { program: None, reaped: 0, full: false, childless: false };
        for _ in 0..BATCH {
            let zombie = self.look_at_next();
            match process::wait_for_child() {
                Waited::Child(pid, status) if Some(pid) == self.program => {
                    if let ChildStatus::Ended(ending) = status {
                        self.program = None;
                        (self.tell)(&News::Ended(pid, ending));
                    }
                    batch.program = Some(status);
                }
                Waited::Child(pid, ChildStatus::Ended(ending)) => {
                    batch.reaped += 1;
                    tally.reaped(pid, ending);
                    (self.tell)(&News::Reaped { pid, named: zombie, ending });
                }
                Waited::Child(..) => {}
                Waited::Nothing => return batch,
                Waited::NoChildren => {
                    batch.childless = true;
                    return batch;
                }
            }
        }
        batch.full = true;
        batch
    }

    /// What has to be done before a child is reaped: its name is gone with it, and so is the last hold on its process
    /// group, whose number may then be another's.
    fn look_at_next(&mut self) -> Option<Named> {
        if !self.warn && self.parting_signal.is_none() {
            return None;
        }
        let zombie = process::next_zombie()?;
        if Some(zombie) == self.program
            && let Some(signal) = self.parting_signal.take()
        {
            // It is a member itself as long as it is not reaped, so there is always somebody to signal.
            let _ = signals::send_to_group(zombie, signal);
            (self.tell)(&News::Parted(signal));
        }
        self.warn.then(|| Named::look_up(zombie))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(reaped: usize) -> Batch {
        Batch { program: None, reaped, full: false, childless: false }
    }

    const CHEAP: Duration = Duration::from_micros(100);

    #[test]
    fn e3_only_thousands_that_die_together_are_let_gather() {
        let time = Instant::now();
        let now = &time.into();
        let mut pace = Pace::default();
        pace.after(&batch(AT_ONCE * 2), CHEAP, now);
        assert!(!pace.is_on(), "orphans of a running program are reaped as they die");
        pace.begin();
        pace.after(&batch(AT_ONCE), CHEAP, now);
        assert!(!pace.is_on());
        pace.after(&batch(50), CHEAP, now);
        assert_eq!(pace.deadline(), Some(time + *PAUSE.start()));
        pace.after(&batch(0), CHEAP, now);
        assert!(!pace.is_on(), "the next death wakes sexton");
    }

    #[test]
    fn e3_a_long_search_makes_a_long_pause() {
        let time = Instant::now();
        let now = &time.into();
        let mut pace = Pace::default();
        pace.begin();
        let full = Batch { full: true, ..batch(AT_ONCE * 2) };
        pace.after(&full, CHEAP, now);
        assert!(!pace.is_on(), "there are more that are quickly found");
        pace.after(&full, Duration::from_millis(12), now);
        assert_eq!(pace.deadline(), Some(time + Duration::from_millis(96)));
        pace.after(&full, Duration::from_secs(1), now);
        assert_eq!(pace.deadline(), Some(time + *PAUSE.end()));
    }
}
