//! The bytes of a document: one form, so that "unchanged" is a comparison of bytes.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

/// Members of a JSON object by name, each value rendered already.
pub(super) type Members<'d> = BTreeMap<&'d str, &'d [u8]>;

/// Renders a document as compact JSON with sorted names and one line break at the end.
///
/// `fields` are the top-level members beside `auths`. MCO writes the file in the same form, so that a
/// document in it which needs no change stays the same to the byte.
pub(super) fn render(entries: &Members<'_>, fields: &Members<'_>) -> Zeroizing<Vec<u8>> {
    let size = |members: &Members<'_>| {
        members
            .iter()
            .map(|(name, value)| 2 * name.len() + value.len() + 8)
            .sum::<usize>()
    };
    // Sized beforehand: growing would leave copies of the credentials behind.
    let mut out = Zeroizing::new(Vec::with_capacity(size(entries) + size(fields) + 32));
    out.push(b'{');
    let before = fields.range(..AUTHS);
    let after = fields.range(AUTHS..);
    for (name, value) in before {
        push_member(&mut out, name, value);
    }
    push_separator(&mut out);
    push_string(&mut out, AUTHS);
    out.extend_from_slice(b":{");
    for (name, value) in entries {
        push_member(&mut out, name, value);
    }
    out.push(b'}');
    for (name, value) in after {
        push_member(&mut out, name, value);
    }
    out.extend_from_slice(b"}\n");
    out
}

const AUTHS: &str = "auths";

fn push_member(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    push_separator(out);
    push_string(out, name);
    out.push(b':');
    out.extend_from_slice(value);
}

fn push_separator(out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
}

/// Appends a JSON string literal.
pub(super) fn push_string(out: &mut Vec<u8>, text: &str) {
    #[allow(
        clippy::expect_used,
        reason = "a string always has a JSON form, and memory takes all bytes"
    )]
    serde_json::to_writer(out, text).expect("a string is written to memory");
}

/// A JSON value without the white space around its tokens.
pub(super) fn compacted(raw: &str) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(raw.len()));
    push_compact(&mut out, raw);
    out
}

/// Appends a JSON value without the white space around its tokens.
pub(super) fn push_compact(out: &mut Vec<u8>, raw: &str) {
    let mut in_string = false;
    let mut escaped = false;
    for &byte in raw.as_bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_string = byte == b'"';
        }
        out.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_the_file_ends_in_one_line_break() {
        let entries = Members::from([("b.example", &b"{}"[..]), ("a.example", b"{}")]);
        let fields = Members::from([("zeta", &b"1"[..]), ("HttpHeaders", b"{}")]);
        let bytes = render(&entries, &fields);
        assert_eq!(
            std::str::from_utf8(&bytes).unwrap(),
            "{\"HttpHeaders\":{},\"auths\":{\"a.example\":{},\"b.example\":{}},\"zeta\":1}\n"
        );
        assert_eq!(
            render(&Members::new(), &Members::new()).as_slice(),
            b"{\"auths\":{}}\n"
        );
    }

    #[test]
    fn compacting_leaves_strings_alone() {
        let mut out = Vec::new();
        push_compact(&mut out, "{ \"a b\" : [ 1 , \"\\\" \\\\\" ] }");
        assert_eq!(out, br#"{"a b":[1,"\" \\"]}"#);
    }
}
