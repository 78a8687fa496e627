//! What is inside the tokens of a well-formed JSON text.

use std::borrow::Cow;

use memchr::memchr2;

/// Go's `maxNestingDepth` (encoding/json, scanner.go).
const MAX_DEPTH: usize = 10_000;

/// Offset of the bracket that opens one level too many. `value` must be well-formed.
pub(super) fn too_deep(value: &str) -> Option<usize> {
    // Nearly always enough, and quick: in lumps small enough to be counted in bytes, many at a time.
    let opens = |byte: &u8| u8::from(matches!(byte, b'[' | b'{'));
    let lumps = value.as_bytes().chunks(usize::from(u8::MAX));
    let opening = lumps.map(|lump| usize::from(lump.iter().map(opens).sum::<u8>()));
    if opening.sum::<usize>() <= MAX_DEPTH {
        return None;
    }
    let mut depth = 0_usize;
    let mut strings = Strings::default();
    value.bytes().position(|byte| {
        let in_string = strings.step(byte);
        match byte {
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth -= 1,
            _ => {}
        }
        depth > MAX_DEPTH
    })
}

/// Where the next value or name begins: after white space, commas and colons.
pub(super) fn skip_blanks(bytes: &[u8], start: usize) -> usize {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b':');
    let blanks = bytes[start..].iter().take_while(|byte| blank(byte)).count();
    start + blanks
}

/// Where the value that begins at `start` ends. The text must be well-formed.
pub(super) fn end_of_value(bytes: &[u8], start: usize) -> usize {
    let structural = |byte: &u8| matches!(byte, b'"' | b'[' | b'{' | b']' | b'}');
    match bytes[start] {
        b'"' => end_of_string(bytes, start),
        b'[' | b'{' => {
            let mut at = start;
            let mut depth = 0_usize;
            while let Some(next) = bytes[at..].iter().position(structural) {
                at += next;
                match bytes[at] {
                    b'"' => {
                        at = end_of_string(bytes, at);
                        continue;
                    }
                    b'[' | b'{' => depth += 1,
                    _ => depth -= 1,
                }
                at += 1;
                if depth == 0 {
                    return at;
                }
            }
            bytes.len()
        }
        _ => {
            let ends =
                |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b']' | b'}');
            let rest = &bytes[start..];
            start + rest.iter().position(ends).unwrap_or(rest.len())
        }
    }
}

/// Where the string whose opening quote is at `start` ends.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(found) = memchr2(b'"', b'\\', &bytes[at..]) {
        at += found + 1;
        if bytes[at - 1] == b'"' {
            return at;
        }
        // Whatever is escaped is no end.
        at += 1;
    }
    bytes.len()
}

/// Whether `text`, the well-formed beginning of a value, stops inside a string.
pub(super) fn ends_in_string(text: &str) -> bool {
    let mut strings = Strings::default();
    text.bytes().fold(false, |_, byte| strings.step(byte))
}

/// The content of a well-formed string literal. Done here and not by serde_json because that
/// refuses lone surrogates for text, and because its scratch buffer would keep a copy of a
/// password.
pub(super) fn unescape(quoted: &str) -> Cow<'_, str> {
    if !quoted.contains('\\') {
        return Cow::Borrowed(quoted);
    }
    let mut text = String::with_capacity(quoted.len());
    let mut rest = quoted;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut after = escape.chars();
        match after.next() {
            Some('b') => text.push('\u{8}'),
            Some('f') => text.push('\u{c}'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('t') => text.push('\t'),
            Some('u') => {
                let (character, following) = unescape_unicode(after.as_str());
                text.push(character);
                rest = following;
                continue;
            }
            Some(itself) => text.push(itself),
            None => {}
        }
        rest = after.as_str();
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Tells the bytes inside string literals from those outside.
#[derive(Default)]
struct Strings {
    inside: bool,
    escaped: bool,
}

impl Strings {
    /// Whether the text is inside a string after `byte`.
    fn step(&mut self, byte: u8) -> bool {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = self.inside,
            b'"' => self.inside = !self.inside,
            _ => {}
        }
        self.inside
    }
}

/// Reads the four digits after `\u`, and a second escape when both make a surrogate pair.
fn unescape_unicode(digits: &str) -> (char, &str) {
    let (unit, rest) = code_unit(digits);
    if let Some(second) = rest.strip_prefix("\\u")
        && let (low, after_pair) = code_unit(second)
        && let Some(Ok(character)) = char::decode_utf16([unit, low]).next()
        && character.len_utf16() == 2
    {
        return (character, after_pair);
    }
    (
        char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER),
        rest,
    )
}

fn code_unit(digits: &str) -> (u16, &str) {
    let (unit, rest) = digits.split_at_checked(4).unwrap_or(("", digits));
    (u16::from_str_radix(unit, 16).unwrap_or(0xfffd), rest)
}
