//! Keys of annotations (apimachinery, `validation.IsQualifiedName`, in lower case).

/// Whether a Kubernetes object can have an annotation under this key. Letter case does not count.
pub(super) fn is_key(key: &str) -> bool {
    let key: String = key.chars().map(lower).collect();
    match key.split_once('/') {
        None => is_name(&key),
        Some((prefix, name)) => is_subdomain(prefix) && is_name(name),
    }
}

/// As Go's `strings.ToLower`, as far as the outcome is ASCII: two letters beyond ASCII become one of it.
fn lower(character: char) -> char {
    match character {
        '\u{130}' => 'i',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= 63 && is_framed(name, |byte| is_letter(byte) || b"-_.".contains(&byte))
}

fn is_subdomain(prefix: &str) -> bool {
    let label = |label: &str| is_framed(label, |byte| is_letter(byte) || byte == b'-');
    prefix.len() <= 253 && prefix.split('.').all(label)
}

/// Not empty, with a letter or digit at both ends.
fn is_framed(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    let end = |byte: Option<u8>| byte.is_some_and(is_letter);
    text.bytes().all(allowed) && end(text.bytes().next()) && end(text.bytes().last())
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_qualified_names_whatever_their_case() {
        let longest = "a".repeat(63);
        for key in [
            "a",
            "role",
            "eks.amazonaws.com/role-arn",
            "Example.COM/My_Name.x",
            "\u{212a}ey",
            "9",
            &longest,
        ] {
            assert!(is_key(key), "{key}");
        }
        let too_long = "a".repeat(64);
        for key in [
            "", "/a", "a/", "a/b/c", "-a", "a-", "_a", "a b", "a..b/c", "a_b/c", "ä", ".a/b",
            "a\n", &too_long, "a/-",
        ] {
            assert!(!is_key(key), "{key}");
        }
        assert!(is_key(&format!("{}/a", "a".repeat(253))));
        assert!(!is_key(&format!("{}/a", "a".repeat(254))));
    }
}
