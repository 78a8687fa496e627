//! What an unquoted YAML scalar stands for in kubelet's decoder (go.yaml.in/yaml/v2, resolve.go): YAML 1.1, so
//! `yes` is a boolean. A time stamp is a string there.

use crate::provider::document::Value;

/// The value of a plain scalar.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF"
        | "-.inf" | "-.Inf" | "-.INF" => Value::Number,
        _ if is_number(text) => Value::Number,
        _ => Value::Text(text.to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    match text.as_bytes().first() {
        Some(b'.') => is_float(text),
        Some(b'0'..=b'9' | b'+' | b'-') => {
            let digits = text.replace('_', "");
            is_integer(&digits) || is_float(&digits)
        }
        _ => false,
    }
}

/// `strconv.ParseInt` and `ParseUint` with base 0, for 64 bits, and the binary forms beside them.
fn is_integer(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let signed = unsigned.len() != text.len();
    let prefixed = |lower, upper| {
        unsigned
            .strip_prefix(lower)
            .or_else(|| unsigned.strip_prefix(upper))
    };
    let (digits, radix) = if let Some(digits) = prefixed("0x", "0X") {
        (digits, 16)
    } else if let Some(digits) = prefixed("0b", "0B") {
        // Behind a small `b` a second sign is read.
        let second = digits
            .strip_prefix(['+', '-'])
            .filter(|_| text.starts_with("0b"));
        (second.unwrap_or(digits), 2)
    } else if let Some(digits) = prefixed("0o", "0O") {
        (digits, 8)
    } else if unsigned.len() > 1 && unsigned.starts_with('0') {
        (&unsigned[1..], 8)
    } else {
        (unsigned, 10)
    };
    let limit = match (signed, text.starts_with('-')) {
        (_, true) => 1 << 63,
        (true, false) => (1 << 63) - 1,
        (false, false) => u64::MAX,
    };
    digits.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && u64::from_str_radix(digits, radix).is_ok_and(|magnitude| magnitude <= limit)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?` whose value is finite.
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let form = digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| {
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent)
        });
    form && text.parse::<f64>().is_ok_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_go() {
        let numbers = [
            "0",
            "00",
            "07",
            "-1",
            "+1",
            "1_000",
            "0x1f",
            "0XFF",
            "0b101",
            "0b-1",
            "-0b1",
            "0o17",
            "18446744073709551615",
            "99999999999999999999",
            "1.",
            "1.5",
            ".5",
            "-.5",
            "1e3",
            "1.5E-3",
            "09",
            "0x_1",
            "-9223372036854775808",
            "1_",
        ];
        for number in numbers {
            assert_eq!(resolve(number), Value::Number, "{number}");
        }
        let texts = [
            "0s",
            "5m",
            "1.2.3.4",
            "12:30",
            "2020-01-01",
            "0xg",
            "0x",
            "0b2",
            "1e",
            "e3",
            ".",
            "-",
            "+",
            "1e999",
            "0x1ffffffffffffffff",
            "08:00",
            "--1",
            "_1",
            "0b",
            "a1",
            "1,5",
            "-0b-1",
            "..5",
        ];
        for text in texts {
            assert_eq!(resolve(text), Value::Text(text.to_owned()), "{text}");
        }
    }

    #[test]
    fn words_are_those_of_yaml_1_1() {
        assert_eq!(resolve("yes"), Value::Bool(true));
        assert_eq!(resolve("Off"), Value::Bool(false));
        assert_eq!(resolve(""), Value::Null);
        assert_eq!(resolve("~"), Value::Null);
        assert_eq!(resolve("yEs"), Value::Text("yEs".to_owned()));
        assert_eq!(resolve(".inf"), Value::Number);
    }
}
