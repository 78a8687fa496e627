//! Go's `filepath.Match`, as far as one label of a host name can reach it.
//!
//! kubelet matches labels after it has parsed the key as a URL, so a pattern has no `?`, `\` or
//! `^`, and a bracket only where an IPv6 literal without a port is mistaken for a character class.
//! A malformed pattern matches nothing, because kubelet drops the error.

/// Whether the whole of `name`, which must be ASCII, matches `pattern`.
pub(crate) fn matches(mut pattern: &[u8], mut name: &[u8]) -> bool {
    while !pattern.is_empty() {
        let stars = pattern.iter().take_while(|byte| **byte == b'*').count();
        let (chunk, rest) = split_chunk(&pattern[stars..]);
        if stars > 0 && chunk.is_empty() {
            return true;
        }
        // The first place where the chunk fits; the last chunk has to reach the end of the name.
        let last_place = if stars > 0 { name.len() } else { 0 };
        let left = (0..=last_place)
            .filter_map(|place| match_chunk(chunk, &name[place..]))
            .find(|left| left.is_empty() || !rest.is_empty());
        match left {
            Some(left) => (pattern, name) = (rest, left),
            None => return false,
        }
    }
    name.is_empty()
}

/// Splits before the first star that is outside brackets.
fn split_chunk(pattern: &[u8]) -> (&[u8], &[u8]) {
    let mut in_class = false;
    let star = pattern.iter().position(|byte| {
        match byte {
            b'[' => in_class = true,
            b']' => in_class = false,
            _ => {}
        }
        *byte == b'*' && !in_class
    });
    pattern.split_at(star.unwrap_or(pattern.len()))
}

/// What is left of `name` behind a chunk without stars that matches its beginning.
fn match_chunk<'n>(mut chunk: &[u8], mut name: &'n [u8]) -> Option<&'n [u8]> {
    while let Some((&expected, after)) = chunk.split_first() {
        let (&byte, left) = name.split_first()?;
        chunk = match expected {
            b'[' => match_class(after, char::from(byte))?,
            _ if expected == byte => after,
            _ => return None,
        };
        name = left;
    }
    Some(name)
}

/// What is left of the chunk behind a character class that has `wanted` in it.
fn match_class(class: &[u8], wanted: char) -> Option<&[u8]> {
    let mut rest = class;
    let mut found = false;
    let mut first = true;
    loop {
        if let Some(after) = rest.strip_prefix(b"]")
            && !first
        {
            return found.then_some(after);
        }
        let low;
        (low, rest) = class_character(rest)?;
        let mut high = low;
        if let Some(after) = rest.strip_prefix(b"-") {
            (high, rest) = class_character(after)?;
        }
        found |= (low..=high).contains(&wanted);
        first = false;
    }
}

/// The next character of a class, which must have something behind it.
fn class_character(rest: &[u8]) -> Option<(char, &[u8])> {
    if matches!(rest.first(), None | Some(b'-' | b']')) {
        return None;
    }
    let character = rest.utf8_chunks().next()?.valid().chars().next()?;
    let after = &rest[character.len_utf8()..];
    (!after.is_empty()).then_some((character, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_match_any_text_and_the_rest_itself() {
        let yes = [
            ("", ""),
            ("*", ""),
            ("*", "abc"),
            ("a*", "a"),
            ("*c", "abc"),
            ("a*c", "abc"),
            ("**", "x"),
            ("a*b*c", "axbxbxc"),
            ("*ab", "aab"),
            ("a*ab", "aab"),
            ("abc", "abc"),
        ];
        for (pattern, name) in yes {
            assert!(
                matches(pattern.as_bytes(), name.as_bytes()),
                "{pattern} {name}"
            );
        }
        let no = [
            ("", "a"),
            ("a", ""),
            ("a*", "ba"),
            ("*a", "ab"),
            ("a*b", "acbd"),
            ("A", "a"),
            ("a*a", "a"),
        ];
        for (pattern, name) in no {
            assert!(
                !matches(pattern.as_bytes(), name.as_bytes()),
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn brackets_are_a_class_of_one_character() {
        assert!(matches(b"[A::]", b"A") && matches(b"[::1]", b":"));
        assert!(matches(b"[fe80::1%A-Z]", b"Q") && !matches(b"[fe80::1%A-Z]", b"q"));
        assert!(matches("[a-é]x*[1]".as_bytes(), b"zx11") && !matches(b"[a-z]*", b""));
        for malformed in [&b"["[..], b"[a", b"[a-", b"[]", b"[a-]", b"[-a]", b"[\xff]"] {
            assert!(!matches(malformed, b"a"), "{malformed:?}");
        }
        assert!(!matches(b"[::1]", b"[::1]"));
    }

    proptest! {
        #[test]
        fn a_star_stands_for_any_middle(a in "[a-z]{0,4}", b in "[a-z]{0,4}", c in "[a-z]{0,4}") {
            let pattern = format!("{a}*{c}");
            let name = format!("{a}{b}{c}");
            prop_assert!(matches(pattern.as_bytes(), name.as_bytes()));
        }

        #[test]
        fn matching_never_panics(pattern in prop::collection::vec(any::<u8>(), 0..16), name in "[ -~]{0,12}") {
            matches(&pattern, name.as_bytes());
        }
    }
}
