//! Sorting, in one piece of code for all that is sorted here: each type sorted by itself would cost this small
//! binary another ten kilobytes.

use nix::unistd::Pid;

/// The numbers from 0 to `count`, in the order of their keys, and in their own where keys are the same.
pub fn places_by(count: usize, key: impl Fn(usize) -> [u64; 2]) -> Vec<usize> {
    let mut keyed: Vec<([u64; 2], usize)> = (0..count).map(|place| (key(place), place)).collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, place)| place).collect()
}

/// A PID as a part of a key. None is negative.
pub fn of_pid(pid: Pid) -> u64 {
    pid.as_raw().unsigned_abs().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_of_the_keys_and_then_as_it_was() {
        let keys = [[2, 0], [1, 5], [2, 0], [1, 4]];
        assert_eq!(places_by(keys.len(), |place| keys[place]), [3, 1, 0, 2]);
        assert!(places_by(0, |_| [0, 0]).is_empty());
    }
}
