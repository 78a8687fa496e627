//! How many of how many.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A number of nodes, or a part of them: `5` or `10%`, as in `maxUnavailable` of a Deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So many.
    Count(u32),
    /// Of every hundred, from 0 to 100.
    Percent(u8),
}

/// Why a text is no limit. Nothing is admitted where one cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LimitError {
    /// Below zero.
    #[error("must not be below 0")]
    Negative,
    /// Neither a number nor a percentage.
    #[error("must be a number of nodes such as 5, or a percentage such as 10%")]
    NotANumber,
    /// More than all.
    #[error("must be at most 100%")]
    MoreThanAll,
}

impl Limit {
    /// How many of `total` that is. A percentage is rounded down, but a part of something is one at least: a limit of 10 %
    /// lets a cluster of five go on.
    pub fn of(self, total: usize) -> usize {
        match self {
            Self::Count(count) => total.min(usize::try_from(count).unwrap_or(usize::MAX)),
            Self::Percent(0) => 0,
            Self::Percent(percent) => {
                // In two parts, so that no total is too large.
                let percent = usize::from(percent);
                let part = total / 100 * percent + total % 100 * percent / 100;
                part.max(1).min(total)
            }
        }
    }
}

impl FromStr for Limit {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let (number, percent) = match text.strip_suffix('%') {
            Some(number) => (number, true),
            None => (text, false),
        };
        let digits = number.strip_prefix('-').unwrap_or(number);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(LimitError::NotANumber);
        }
        if digits.len() < number.len() {
            return Err(LimitError::Negative);
        }
        // More nodes than there can be is no limit, and no mistake.
        let value = digits.parse::<u32>().unwrap_or(u32::MAX);
        match (percent, u8::try_from(value)) {
            (false, _) => Ok(Self::Count(value)),
            (true, Ok(value @ 0..=100)) => Ok(Self::Percent(value)),
            (true, _) => Err(LimitError::MoreThanAll),
        }
    }
}

/// A number or a text, as Kubernetes' `IntOrString`.
impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u32(*count),
            Self::Percent(percent) => serializer.collect_str(&format_args!("{percent}%")),
        }
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum IntOrString {
            Int(i64),
            Text(String),
        }
        let parsed = match IntOrString::deserialize(deserializer)? {
            IntOrString::Int(number) => number.to_string().parse(),
            IntOrString::Text(text) => text.parse(),
        };
        parsed.map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_a_limit_is_none() {
        for (text, error) in [
            ("-1", LimitError::Negative),
            ("-5%", LimitError::Negative),
            ("150%", LimitError::MoreThanAll),
            ("256%", LimitError::MoreThanAll),
            ("abc", LimitError::NotANumber),
            ("", LimitError::NotANumber),
            ("%", LimitError::NotANumber),
            ("-", LimitError::NotANumber),
            ("1.5", LimitError::NotANumber),
            (" 5", LimitError::NotANumber),
            ("+5", LimitError::NotANumber),
            ("5%%", LimitError::NotANumber),
        ] {
            assert_eq!(text.parse::<Limit>(), Err(error), "{text}");
            let json = serde_json::to_string(text).unwrap();
            assert!(serde_json::from_str::<Limit>(&json).is_err(), "{text}");
        }
        for json in ["-1", "1.5", "null", "true", "[]", "{}"] {
            assert!(serde_json::from_str::<Limit>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_part_is_rounded_down_and_one_at_least() {
        for (limit, total, part) in [
            ("0", 10, 0),
            ("3", 10, 3),
            ("30", 10, 10),
            ("99999999999", 10, 10),
            ("0%", 10, 0),
            ("10%", 0, 0),
            ("10%", 5, 1),
            ("10%", 19, 1),
            ("10%", 5000, 500),
            ("100%", 7, 7),
        ] {
            assert_eq!(limit.parse::<Limit>().unwrap().of(total), part, "{limit}");
        }
    }

    proptest! {
        #[test]
        fn a_limit_is_never_more_than_all_and_reads_back(percent in 0_u8..=100, count in any::<u32>(), total in any::<usize>()) {
            for limit in [Limit::Percent(percent), Limit::Count(count)] {
                prop_assert!(limit.of(total) <= total);
                let json = serde_json::to_string(&limit).unwrap();
                prop_assert_eq!(serde_json::from_str::<Limit>(&json).unwrap(), limit);
            }
        }
    }
}
