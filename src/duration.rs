//! Durations as people write them on a command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A duration, read from `10`, `10s`, `1.5s`, `500ms`, `2m` or `1h`; a bare number is seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// Writes seconds, with as many decimals as it takes: `1.5s`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanoseconds) = (self.0.as_secs(), self.0.subsec_nanos());
        if nanoseconds == 0 {
            return write!(f, "{seconds}s");
        }
        let decimals = format!("{nanoseconds:09}");
        write!(f, "{seconds}.{}s", decimals.trim_end_matches('0'))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(word: &str) -> Result<Span, String> {
        let unreadable = || format!("{word:?} is not a duration; write 10s, 1.5s, 500ms, 2m or 1h");
        parse(word).map(Span).ok_or_else(unreadable)
    }
}

fn parse(word: &str) -> Option<Duration> {
    let unit_at = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
    let (number, unit) = word.split_at(unit_at);
    let unit_in_nanoseconds: u128 = match unit {
        "" | "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3600 * 1_000_000_000,
        _ => return None,
    };
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let digits_only = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && decimals.is_empty() || !digits_only(whole) || !digits_only(decimals) {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Decimals beyond the ninth are cut off.
    let decimals = &format!("{decimals:0<9}")[..9];
    let fraction = decimals.parse::<u128>().ok()? * unit_in_nanoseconds / 1_000_000_000;
    let nanoseconds = whole.checked_mul(unit_in_nanoseconds)?.checked_add(fraction)?;
    let seconds = u64::try_from(nanoseconds / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, (nanoseconds % 1_000_000_000) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_every_way_of_writing() {
        let cases = [
            ("10", 10_000),
            ("10s", 10_000),
            ("1.5s", 1_500),
            (".5", 500),
            ("500ms", 500),
            ("2m", 120_000),
            ("0.5m", 30_000),
            ("1h", 3_600_000),
            ("0", 0),
            ("0ms", 0),
        ];
        for (word, milliseconds) in cases {
            assert_eq!(word.parse(), Ok(Span(Duration::from_millis(milliseconds))), "{word}");
        }
    }

    #[test]
    fn refuses_what_is_no_duration() {
        for word in
            ["", "s", ".", "-1", "+1", "1x", "1 s", "1.2.3", "1s1", "1e3", "99999999999999999999999h", "1é"]
        {
            assert!(word.parse::<Span>().is_err(), "{word}");
        }
    }

    proptest! {
        #[test]
        fn a_span_parses_back(seconds: u64, nanoseconds in 0..1_000_000_000u32) {
            let span = Span(Duration::new(seconds, nanoseconds));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }

        #[test]
        fn no_word_panics(word in "\\PC*") {
            let _ = word.parse::<Span>();
        }
    }
}
