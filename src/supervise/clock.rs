//! The time, looked at only where something depends on it.

use std::cell::OnceCell;
use std::time::Instant;

/// The time of one step, the same however often it is asked for.
///
/// Where nothing has a deadline nobody asks, and then the clock is not read: the vDSO that reads it (vdso(7)) would be
/// two page faults more in a start.
#[derive(Debug, Default)]
pub struct Now(OnceCell<Instant>);

impl Now {
    /// The time when it is asked for first.
    pub fn when_asked() -> Now {
        Now::default()
    }

    /// What it is.
    pub fn get(&self) -> Instant {
        *self.0.get_or_init(Instant::now)
    }
}

#[cfg(test)]
impl From<Instant> for Now {
    /// A made-up time.
    fn from(instant: Instant) -> Now {
        Now(instant.into())
    }
}
