//! The bytes of a document: one form, so that "unchanged" is a comparison of bytes.

use zeroize::Zeroizing;

/// Members of a JSON object sorted by name, each name once and each value rendered already.
pub(super) type Members<'d> = Vec<(&'d str, &'d [u8])>;

/// Renders a document as compact JSON with sorted names and one line break at the end.
///
/// `fields` are the top-level members beside `auths`. MCO writes the file in the same form, so that a
/// document in it which needs no change stays the same to the byte.
pub(super) fn render(entries: &[(&str, &[u8])], fields: &[(&str, &[u8])]) -> Zeroizing<Vec<u8>> {
    let size = |members: &[(&str, &[u8])]| {
        members
            .iter()
            .map(|(name, value)| 2 * name.len() + value.len() + 8)
            .sum::<usize>()
    };
    // Sized beforehand: growing would leave copies of the credentials behind.
    let mut out = Zeroizing::new(Vec::with_capacity(size(entries) + size(fields) + 32));
    out.push(b'{');
    let (before, after) = fields.split_at(fields.partition_point(|(name, _)| *name < AUTHS));
    for (name, value) in before {
        push_member(&mut out, name, value);
    }
    push_name(&mut out, AUTHS);
    out.push(b'{');
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
    push_name(out, name);
    out.extend_from_slice(value);
}

/// Appends the name of the next member of an object, and what separates it from its neighbours.
pub(super) fn push_name(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    push_string(out, name);
    out.push(b':');
}

/// Appends a JSON string literal.
pub(super) fn push_string(out: &mut Vec<u8>, text: &str) {
    let special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    // Without a way out in the middle, so that many bytes are looked at together.
    if !text
        .bytes()
        .fold(false, |found, byte| found | special(byte))
    {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
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
    fn auths_stands_among_the_fields_and_the_file_ends_in_one_line_break() {
        let entries = [("a.example", &b"{}"[..]), ("b.example", b"{}")];
        let fields = [("HttpHeaders", &b"{}"[..]), ("zeta", b"1")];
        let bytes = render(&entries, &fields);
        assert_eq!(
            std::str::from_utf8(&bytes).unwrap(),
            "{\"HttpHeaders\":{},\"auths\":{\"a.example\":{},\"b.example\":{}},\"zeta\":1}\n"
        );
        assert_eq!(render(&[], &[]).as_slice(), b"{\"auths\":{}}\n");
    }

    #[test]
    fn compacting_leaves_strings_alone() {
        let mut out = Vec::new();
        push_compact(&mut out, "{ \"a b\" : [ 1 , \"\\\" \\\\\" ] }");
        assert_eq!(out, br#"{"a b":[1,"\" \\"]}"#);
    }
}
