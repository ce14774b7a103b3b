//! One sort for everything that is sorted here: each further type to sort adds ten kilobytes to this small binary.

use nix::unistd::Pid;

/// The numbers below `count`, in the order of their keys; where keys are equal, in their own.
pub fn places_by(count: usize, key: impl Fn(usize) -> [u64; 2]) -> Vec<usize> {
    let mut keyed: Vec<([u64; 2], usize)> = (0..count).map(|place| (key(place), place)).collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, place)| place).collect()
}

/// A PID, which is never negative, as a part of a key.
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
