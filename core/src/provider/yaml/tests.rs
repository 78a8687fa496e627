use super::*;

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[test]
fn the_first_document_counts_and_the_rest_does_not() {
    let expected = Value::Object(vec![(
        "a".to_owned(),
        Value::List(vec![text("b"), Value::Null]),
    )]);
    for document in [
        "a: [b, ~]",
        "---\na:\n- b\n-\n",
        "# comment\n\n--- # comment\na:\n  - \"b\"\n  - null\n--- }{ garbage: [\n",
        "a: ['b', ]\n".replace(", ]", ", ~]").as_str(),
        "\"a\":\r\n  - b\r\n  - \r\n...\n{{{",
    ] {
        assert_eq!(parse(document).unwrap(), expected, "{document:?}");
    }
    assert_eq!(parse("").unwrap(), Value::Null);
    assert_eq!(parse("---\n---\na: b").unwrap(), Value::Null);
}

#[test]
fn what_is_unusual_says_what_and_where() {
    for (document, line, what) in [
        ("a: &x b", 1, Unusual::Anchor),
        ("a: b\n<<: c", 2, Unusual::Anchor),
        ("a: !!str b", 1, Unusual::Tag),
        ("a:\tb", 1, Unusual::Tab),
        ("\u{feff}a: b", 1, Unusual::Character('\u{feff}')),
        ("a: b\n---\nc: \u{0}", 3, Unusual::Character('\0')),
        ("--- {a: b}", 1, Unusual::Marker),
        ("...\na: b", 1, Unusual::Marker),
    ] {
        assert_eq!(parse(document), Err(unusual(line, what)), "{document:?}");
    }
    assert!(parse("# a\ttab\na: b").is_ok());
}

#[test]
fn what_is_broken_says_where() {
    for (document, expected) in [
        ("a: b\nc: [\n", 3),
        ("a: b: c", 1),
        ("a: b\n  c: d", 2),
        ("a: 'x", 1),
    ] {
        let Err(What::Yaml { line, .. }) = parse(document) else {
            panic!("{document:?} {:?}", parse(document));
        };
        assert!(line.abs_diff(expected) <= 1, "{document:?} {line}");
    }
}

#[test]
fn a_question_mark_between_brackets_may_begin_a_key() {
    assert_eq!(parse("a: [x?y]"), Err(unusual(1, Unusual::Flow)));
    assert_eq!(parse("a: {b: {c: d?}}"), Err(unusual(1, Unusual::Flow)));
    assert_eq!(parse("a: [:x]"), Err(unusual(1, Unusual::Flow)));
    assert_eq!(parse("a: {b:, c}"), Err(unusual(1, Unusual::Flow)));
    assert!(parse("a: [x]\nb: x?y\nc: ['?']").is_ok());
    assert_eq!(
        parse("%YAML 1.1\n---\na: b"),
        Err(unusual(1, Unusual::Directive))
    );
}

#[test]
fn escapes_are_those_of_yaml_1_1() {
    assert_eq!(parse("a: \"\\/\""), Err(unusual(1, Unusual::Escape)));
    assert_eq!(parse("\"\\\\/\\\\ud83d\""), Ok(text("\\/\\ud83d")));
    assert_eq!(
        parse("a: b\nc: \"\\uD83D\\ude00\""),
        Err(unusual(2, Unusual::Escape))
    );
    assert_eq!(
        parse("\"\\U0001F600\\ud7ff\""),
        Ok(text("\u{1f600}\u{d7ff}"))
    );
}

#[test]
fn a_key_has_its_colon_on_its_own_line() {
    for document in [
        "a: {b\n  : c}",
        "{\"a\"\n: b}",
        "? a\n: b",
        "[a]: b",
        "{a: b, {c: d}: e}",
    ] {
        let Err(What::UnusualYaml { what, .. }) = parse(document) else {
            panic!("{document:?} {:?}", parse(document));
        };
        assert!(matches!(what, Unusual::Key), "{document:?} {what:?}");
    }
    assert!(parse("a : b\n\"c\" :\n  d").is_ok());
}
