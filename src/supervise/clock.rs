//! The time, read only where something depends on it.

use std::cell::OnceCell;
use std::time::Instant;

/// The time of one event, the same however often it is asked for.
///
/// Where nothing has a deadline nothing asks, and the clock is not read: the vDSO that reads it (vdso(7)) would cost a
/// start two more page faults.
#[derive(Debug, Default)]
pub struct Now(OnceCell<Instant>);

impl Now {
    /// The time at which it is first asked for.
    pub fn when_asked() -> Now {
        Now::default()
    }

    /// Reads the clock the first time.
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
