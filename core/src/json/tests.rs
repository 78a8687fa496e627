use proptest::prelude::*;

use super::*;

fn syntax_error(text: &str) -> SyntaxError {
    Text::new(text.as_bytes()).parse().unwrap_err()
}

fn string(literal: &[u8]) -> String {
    let text = Text::new(literal);
    text.parse().unwrap().text().unwrap().into_owned()
}

#[test]
fn members_keep_order_duplicates_and_places() {
    let text = Text::new(br#" {"b": 1, "a":[true, null] ,"b":{"x":"y"}, "\u0061": "z"} "#);
    let root = text.parse().unwrap();
    assert_eq!((root.kind(), root.offset()), (Kind::Object, 1));
    let members: Vec<_> = root.members().unwrap().collect();
    let seen: Vec<_> = members
        .iter()
        .map(|member| {
            (
                member.name.as_ref(),
                member.offset,
                member.value.kind(),
                member.value.raw(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("b", 2, Kind::Number, "1"),
            ("a", 10, Kind::Array, "[true, null]"),
            ("b", 28, Kind::Object, r#"{"x":"y"}"#),
            ("a", 43, Kind::String, r#""z""#),
        ]
    );
    let nested: Vec<_> = members[2].value.members().unwrap().collect();
    assert_eq!(nested[0].offset, text.as_str().find("\"x\"").unwrap());
    assert_eq!(
        nested[0].value.offset(),
        text.as_str().find("\"y\"").unwrap()
    );
    let elements = members[1].value.elements().unwrap();
    assert_eq!(
        elements.map(|node| node.kind()).collect::<Vec<_>>(),
        [Kind::Bool, Kind::Null]
    );
    assert!(members[1].value.members().is_none() && root.elements().is_none());
    assert!(root.text().is_none() && members[3].value.text().is_some());
}

#[test]
fn each_invalid_byte_becomes_one_replacement_character() {
    assert_eq!(string(b"\"\xff\""), "\u{fffd}");
    // A cut-off sequence and an encoded surrogate: Go replaces byte by byte, not per sequence.
    assert_eq!(string(b"\"\xe2\x82a\""), "\u{fffd}\u{fffd}a");
    assert_eq!(string(b"\"\xed\xa0\x80\""), "\u{fffd}\u{fffd}\u{fffd}");
    assert_eq!(string("\"é\u{10ffff}\"".as_bytes()), "é\u{10ffff}");
    // Outside a string it is as wrong as any other stray byte.
    assert_eq!(Text::new(b"{\xff}").parse().unwrap_err().offset, 1);
}

#[test]
fn escapes_are_read_as_go_reads_them() {
    assert_eq!(
        string(br#""\b\f\n\r\t\"\\\/\u0041\u00e9""#),
        "\u{8}\u{c}\n\r\t\"\\/Aé"
    );
    assert_eq!(string(br#""\ud83d\ude00!""#), "\u{1f600}!");
    assert_eq!(string(br#""\ud800""#), "\u{fffd}");
    assert_eq!(string(br#""\udc00\ud800""#), "\u{fffd}\u{fffd}");
    assert_eq!(string(br#""\ud800\u0041""#), "\u{fffd}A");
    assert_eq!(string(br#""\ud800\ud83d\ude00""#), "\u{fffd}\u{1f600}");
    assert_eq!(string(br#""\ud800\n""#), "\u{fffd}\n");
    assert_eq!(string(br#""\u0000""#), "\0");
}

#[test]
fn errors_name_the_place_and_a_fixed_reason() {
    let cases = [
        ("", 0, "unexpected end of the text"),
        (" \n", 2, "unexpected end of the text"),
        ("{\"a\":", 5, "unexpected end of the text"),
        ("\u{feff}{}", 0, "byte order mark"),
        ("{} x", 3, "data after the value"),
        ("{}\u{a0}", 2, "data after the value"),
        ("{\"a\":1,}", 7, "unexpected character"),
        ("{\n \"a\" 1}", 7, "unexpected character"),
        ("{\"a\":\n\n'x'}", 7, "unexpected character"),
        ("{\"a\":\"b\nc\"}", 7, "control character in a string"),
        ("[\"é\tx\"]", 4, "control character in a string"),
        ("[01]", 2, "unexpected character"),
        ("[1.]", 3, "unexpected character"),
        ("nul", 3, "unexpected end of the text"),
        ("[1,\n]", 4, "unexpected character"),
        ("[1\u{1}]", 2, "unexpected character"),
        ("NaN", 0, "unexpected character"),
        ("[\"\\x\"]", 3, "unexpected character"),
        ("é", 0, "unexpected character"),
    ];
    for (text, offset, what) in cases {
        assert_eq!(syntax_error(text), SyntaxError { offset, what }, "{text:?}");
    }
}

#[test]
fn the_first_value_is_enough_for_a_decoder() {
    for (text, raw) in [("{} {\"a\"", "{}"), ("nullx", "null"), ("\"a\"\0", "\"a\"")] {
        let text = Text::new(text.as_bytes());
        assert_eq!(text.parse_first().unwrap().raw(), raw);
        assert_eq!(text.parse().unwrap_err().what, "data after the value");
    }
}

#[test]
fn nesting_ends_where_it_ends_for_go() {
    const MAX_DEPTH: usize = 10_000;
    let nest = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(Text::new(nest(MAX_DEPTH).as_bytes()).parse().is_ok());
    let error = syntax_error(&nest(MAX_DEPTH + 1));
    assert_eq!(
        error,
        SyntaxError {
            offset: MAX_DEPTH,
            what: "nested too deeply"
        }
    );
    let wide = format!("[{}[]]", "[],".repeat(MAX_DEPTH));
    assert!(Text::new(wide.as_bytes()).parse().is_ok());
    let quoted = format!("[\"\\\"{}\"]", "[{".repeat(MAX_DEPTH));
    assert!(Text::new(quoted.as_bytes()).parse().is_ok());
    assert!(
        Text::new("[{\"a\":".repeat(1_000_000).as_bytes())
            .parse()
            .is_err()
    );
}

#[test]
fn positions_count_lines_and_characters_from_one() {
    let text = Text::new("{\n  \"é\": 1\n}".as_bytes());
    let at = |offset| text.position(offset).to_string();
    assert_eq!(at(0), "line 1, column 1");
    assert_eq!(at(4), "line 2, column 3");
    assert_eq!(at(text.as_str().find(':').unwrap()), "line 2, column 6");
    assert_eq!(at(text.as_str().len()), "line 3, column 2");
    assert_eq!(at(usize::MAX), "line 3, column 2");
}

#[test]
fn field_names_fold_as_in_go() {
    assert!(folds_to("auths", "auths") && folds_to("AuThS", "auths"));
    assert!(folds_to("auth\u{17f}", "auths") && folds_to("\u{212a}ey", "key"));
    assert!(folds_to("CREDHELPERS", "credHelpers"));
    for other in [
        "auth",
        "authss",
        "auths ",
        "aüths",
        "",
        "ａuths",
        "auth\u{df}",
    ] {
        assert!(!folds_to(other, "auths"), "{other:?}");
    }
}

#[test]
fn debug_output_and_errors_show_no_content() {
    let text = Text::new(br#"{"s3cret-name": "s3cret", "s3cret": }"#);
    let error = text.parse().unwrap_err();
    let whole = Text::new(br#"{"s3cret-name": "s3cret"}"#);
    let root = whole.parse().unwrap();
    let shown = format!(
        "{text:?} {error:?} {error} {root:?} {:?}",
        root.members().unwrap().collect::<Vec<_>>()
    );
    assert!(!shown.contains("s3cret"), "{shown}");
}

proptest! {
    #[test]
    fn any_bytes_parse_or_fail_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let text = Text::new(&bytes);
        if let Err(error) = text.parse() {
            prop_assert!(error.offset <= text.as_str().len());
            text.position(error.offset);
        }
    }

    #[test]
    fn any_json_like_text_agrees_with_serde_json(text in r#"([\[\]{}:,"\\ueE.+\-0-9 \n\ttruefalsn]|\\u[dD][8-9a-f]00|"a"){0,12}"#) {
        let ours = Text::new(text.as_bytes());
        prop_assert_eq!(ours.parse().is_ok(), serde_json::from_str::<&RawValue>(&text).is_ok());
        walk(ours.parse().ok());
    }

    #[test]
    fn cutting_a_document_up_loses_nothing(value in value(), pretty in any::<bool>()) {
        let write = if pretty { serde_json::to_vec_pretty } else { serde_json::to_vec };
        let text = Text::new(&write(&value).unwrap());
        prop_assert_eq!(rebuilt(text.parse().unwrap()), value);
    }

    #[test]
    fn what_serde_json_writes_is_read_back(value in "\\PC{0,12}", name in ".{0,12}") {
        let written = serde_json::to_vec(&serde_json::json!({ &name: &value })).unwrap();
        let text = Text::new(&written);
        let members: Vec<_> = text.parse().unwrap().members().unwrap().collect();
        prop_assert_eq!(&members[0].name, &name);
        prop_assert_eq!(members[0].value.text().unwrap(), value);
    }
}

/// Any JSON value, with strings that look like structure.
fn value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let text = || prop_oneof![".{0,6}", r#"[\[\]{}:,"\\ \n]{0,6}"#];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn rebuilt(node: Node<'_>) -> serde_json::Value {
    match node.kind() {
        Kind::Object => node
            .members()
            .unwrap()
            .map(|member| (member.name.into_owned(), rebuilt(member.value)))
            .collect(),
        Kind::Array => node.elements().unwrap().map(rebuilt).collect(),
        Kind::String => node.text().unwrap().into(),
        Kind::Null | Kind::Bool | Kind::Number => serde_json::from_str(node.raw()).unwrap(),
    }
}

fn walk(node: Option<Node<'_>>) {
    let Some(node) = node else { return };
    match node.kind() {
        Kind::Object => {
            for member in node.members().unwrap() {
                walk(Some(member.value));
            }
        }
        Kind::Array => {
            for element in node.elements().unwrap() {
                walk(Some(element));
            }
        }
        Kind::String => {
            node.text().unwrap();
        }
        Kind::Null | Kind::Bool | Kind::Number => {}
    }
}
