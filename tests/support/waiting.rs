//! Waiting for a condition, and bounds on how long something takes.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::Suite;

pub(crate) fn tests(suite: &mut Suite) {
    suite.test("support::one_attempt_of_three_has_to_be_in_time", one_of_three);
    suite.test("support::one_attempt_with_a_lost_wake_up_fails_the_test", one_lost_wake_up);
}

/// How long something that must happen may take. Only a failing test waits that long, so it can be generous: with
/// busy loops on all its processors a machine takes more than 15 s to make 20,000 zombies.
pub(crate) fn deadline() -> Duration {
    let seconds = std::env::var("SEXTON_TEST_DEADLINE").ok().and_then(|word| word.parse().ok());
    Duration::from_secs(seconds.unwrap_or(60))
}

/// Waits until `check` returns something.
pub(crate) fn poll<T>(what: &str, check: impl FnMut() -> Option<T>) -> T {
    try_poll(deadline(), check).unwrap_or_else(|| panic!("not within {:?}: {what}", deadline()))
}

pub(crate) fn try_poll<T>(limit: Duration, mut check: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        // The last check starts after the deadline, even if the one before took long.
        let is_last = Instant::now() > deadline;
        let found = check();
        if found.is_some() || is_last {
            return found;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// How long sexton waits by default for leftovers that it has asked to end (`Config::grace`).
pub(crate) const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// How long sexton waits for what it has sent SIGKILL, since the last death (`supervise::state::PATIENCE`).
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// How long it waits for that in all (`supervise::state::ALL_PATIENCE`).
pub(crate) const ALL_PATIENCE: Duration = Duration::from_secs(30);

/// Longer than a machine stands still. For `within`, where sexton has no later deadline: with a lost wake-up it would
/// wait until something else wakes it.
pub(crate) const LONGER_THAN_A_STALL: Duration = Duration::from_secs(10);

/// Measures up to three times, and returns the first time that is within `limit`. A machine that stands still for a
/// second spoils one attempt of three; slow code spoils all three.
///
/// An attempt that takes `lost` or longer fails at once. `lost` is how long sexton would take if it lost a wake-up
/// and waited for its next deadline. A lost wake-up is a race, which may show in one attempt only.
#[track_caller]
pub(crate) fn within(limit: Duration, lost: Duration, measure: impl FnMut() -> Duration) -> Duration {
    assert!(limit < lost, "within {limit:?} is no attempt of {lost:?}");
    first_within(limit, Some(lost), measure)
}

/// The same for what waits for nothing, such as CPU time: no lost wake-up can show in it.
#[track_caller]
pub(crate) fn costs_at_most(limit: Duration, measure: impl FnMut() -> Duration) -> Duration {
    first_within(limit, None, measure)
}

#[track_caller]
fn first_within(limit: Duration, lost: Option<Duration>, mut measure: impl FnMut() -> Duration) -> Duration {
    let mut all = Vec::new();
    while all.len() < 3 {
        let took = measure();
        if let Some(lost) = lost.filter(|lost| took >= *lost) {
            panic!("a wake-up was lost: took {took:?}, and {lost:?} is no stall (before: {all:?})");
        }
        if took <= limit {
            return took;
        }
        all.push(took);
    }
    panic!("not once within {limit:?}, but {all:?}");
}

const LIMIT: Duration = Duration::from_secs(1);
const LOST: Duration = Duration::from_secs(5);

/// The result of attempts that take these milliseconds, and how many of them are made.
fn attempts(all: &[u64]) -> (Result<Duration, String>, usize) {
    let made = Cell::new(0);
    let measure = || Duration::from_millis(all[made.replace(made.get() + 1)]);
    let result = catch_unwind(AssertUnwindSafe(|| within(LIMIT, LOST, measure)));
    let message = |payload: Box<dyn std::any::Any + Send>| *payload.downcast::<String>().expect("a message");
    (result.map_err(message), made.into_inner())
}

fn one_of_three() {
    assert_eq!(attempts(&[1000]), (Ok(LIMIT), 1));
    assert_eq!(attempts(&[1001, 4999, 7]), (Ok(Duration::from_millis(7)), 3));
    let (result, made) = attempts(&[1001, 4999, 1002]);
    assert!(result.expect_err("none is in time").starts_with("not once within 1s"));
    assert_eq!(made, 3);
}

fn one_lost_wake_up() {
    for (all, expected) in [(&[5000, 7][..], 1), (&[1001, 60_000, 7], 2)] {
        let (result, made) = attempts(all);
        let message = result.expect_err("a wake-up was lost");
        assert!(message.starts_with("a wake-up was lost"), "{message}");
        assert_eq!(made, expected, "no further attempt is made");
    }
}
