//! Durations as Go reads them (`time.ParseDuration`, time/format.go).

use std::time::Duration;

/// The largest magnitude, which only a negative duration can have.
const LIMIT: u64 = 1 << 63;

/// A duration, which may be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signed {
    /// Zero or more; minus zero too.
    Positive(Duration),
    /// Less than zero.
    Negative,
}

/// Reads `text`, such as `1h15m30.5s`; `None` for what Go refuses.
pub(super) fn parse(text: &str) -> Option<Signed> {
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Some(Signed::Positive(Duration::ZERO));
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_u64;
    while !rest.is_empty() {
        let (part, after) = term(rest)?;
        total = total.checked_add(part).filter(|total| *total <= LIMIT)?;
        rest = after;
    }
    match (negative, total) {
        (true, 1..) => Some(Signed::Negative),
        (false, LIMIT) => None,
        _ => Some(Signed::Positive(Duration::from_nanos(total))),
    }
}

/// One number with its unit, in nanoseconds, and what follows it.
fn term(text: &str) -> Option<(u64, &str)> {
    let (whole, rest) = digits(text);
    let mut value = 0_u64;
    for digit in whole.bytes() {
        let next = value
            .checked_mul(10)?
            .checked_add(u64::from(digit - b'0'))?;
        value = Some(next).filter(|next| *next <= LIMIT)?;
    }
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let end = rest.find(|character: char| character == '.' || character.is_ascii_digit());
    let (unit, rest) = rest.split_at(end.unwrap_or(rest.len()));
    let unit: u64 = match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        _ => return None,
    };
    let whole = value.checked_mul(unit).filter(|whole| *whole <= LIMIT)?;
    let sum = whole + part_of(fraction, unit);
    (sum <= LIMIT).then_some((sum, rest))
}

/// What `.fraction` of a unit is, with the rounding of Go, which computes in floating point.
fn part_of(fraction: &str, unit: u64) -> u64 {
    let mut value = 0_u64;
    let mut scale = 1_f64;
    for digit in fraction.bytes() {
        let next = value * 10 + u64::from(digit - b'0');
        if next > LIMIT {
            break;
        }
        value = next;
        scale *= 10.0;
        if value > (LIMIT - 1) / 10 {
            break;
        }
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|character: char| !character.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_like_go_reads_them() {
        let read = |text| match parse(text) {
            Some(Signed::Positive(duration)) => Some(duration.as_nanos()),
            Some(Signed::Negative) => panic!("{text} is negative"),
            None => None,
        };
        for (text, nanoseconds) in [
            ("0", 0),
            ("-0", 0),
            ("+0", 0),
            ("0s", 0),
            ("-0s", 0),
            ("10m", 600_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5ms", 500_000),
            ("5.s", 5_000_000_000),
            ("1\u{b5}s", 1_000),
            ("1\u{3bc}s", 1_000),
            ("+3ns", 3),
            ("1s1s", 2_000_000_000),
            ("-0.1ns", 0),
            ("9223372036854775807ns", 9_223_372_036_854_775_807),
            ("0.3333333333333333333h", 1_200_000_000_000),
            ("0.9223372036854775808000h", 3_320_413_933_267),
        ] {
            assert_eq!(read(text), Some(nanoseconds), "{text}");
        }
        for text in [
            "",
            "1",
            "00",
            "s",
            ".s",
            "1d",
            "1 s",
            "1S",
            "-",
            "1s ",
            "1.2.3s",
            "--1s",
            "1w",
            "1sm",
            "9223372036854775808ns",
            "2562048h",
            "99999999999999999999s",
            "1\u{3b1}",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("-1ns"), Some(Signed::Negative));
        assert_eq!(parse("-9223372036854775808ns"), Some(Signed::Negative));
    }
}
