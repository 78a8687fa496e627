use super::*;
use crate::json::Position;

fn check(text: &str) -> Checked {
    Document::check(text.as_bytes(), Shape::ConfigJson)
}

fn reasons(checked: &Checked) -> Vec<&'static str> {
    checked
        .findings
        .iter()
        .map(|finding| finding.reason.as_str())
        .collect()
}

fn rendered(checked: &Checked) -> String {
    String::from_utf8(checked.document.as_ref().unwrap().render().to_vec()).unwrap()
}

// base64 of "user:pass" is dXNlcjpwYXNz, of "us:pass" dXM6cGFzcw==.

#[test]
fn a_flawless_document_has_no_findings_and_renders_to_itself() {
    let text = "{\"auths\":{\"quay.io\":{\"auth\":\"dXNlcjpwYXNz\",\"email\":\"a@b\"}}}\n";
    let checked = check(text);
    assert_eq!(checked.findings, []);
    assert_eq!(rendered(&checked), text);
}

#[test]
fn what_is_no_document_is_refused_with_its_place() {
    for (text, reason) in [
        ("", "MalformedJSON"),
        ("{", "MalformedJSON"),
        ("{\"auths\":{}} x", "MalformedJSON"),
        ("[]", "NotAnObject"),
        ("\"x\"", "NotAnObject"),
        ("{\"auths\":[]}", "NotAnObject"),
        ("{\"auths\":\"x\"}", "NotAnObject"),
        ("{\"quay.io\":{\"auth\":\"dXNlcjpwYXNz\"}}", "WrongShape"),
    ] {
        let checked = check(text);
        assert_eq!(reasons(&checked), [reason], "{text:?}");
        assert!(checked.document.is_none(), "{text:?}");
    }
    let checked = check("{\n  \"auths\": []}");
    assert_eq!(
        checked.findings[0].position,
        Some(Position {
            line: 2,
            column: 12
        })
    );
}

#[test]
fn a_config_json_in_a_dockercfg_place_is_told() {
    let body = b"{\"auths\":{\"quay.io\":{\"auth\":\"dXNlcjpwYXNz\"}}}";
    let checked = Document::check(body, Shape::DockerCfg);
    assert_eq!(reasons(&checked), ["WrongShape"]);
    let legacy = b"{\"quay.io\":{\"auth\":\"dXNlcjpwYXNz\"}}";
    let checked = Document::check(legacy, Shape::DockerCfg);
    assert_eq!(checked.findings, []);
    assert_eq!(
        rendered(&checked),
        "{\"auths\":{\"quay.io\":{\"auth\":\"dXNlcjpwYXNz\"}}}\n"
    );
}

#[test]
fn documents_without_entries_are_empty_and_say_so() {
    for (text, reason) in [
        ("null", "MissingAuths"),
        ("{}", "MissingAuths"),
        ("{\"auths\":null}", "MissingAuths"),
        ("{\"auths\":{}}", "EmptyAuths"),
    ] {
        let checked = check(text);
        assert_eq!(reasons(&checked), [reason], "{text:?}");
        assert!(checked.document.unwrap().is_empty(), "{text:?}");
    }
}

#[test]
fn a_bad_entry_is_named_and_left_out_and_the_good_ones_stay() {
    let checked = check(
        "{\"auths\":{\n\"a.example\":{\"auth\":\"bar\"},\n\"b.example\":{\"auth\":\"dXNlcjpwYXNz\"},\n\
         \"c.example\":{\"auth\":7},\n\"d.example\":[],\n\"e.example\":{\"auth\":\"OnB3\"},\n\
         \"f.example\":{\"auth\":\"%%%%\"},\n\"g.example\":null,\n\"h.example\":{},\n\"\":{\"auth\":\"dXNlcjpwYXNz\"}}}",
    );
    let told: Vec<_> = checked
        .findings
        .iter()
        .map(|f| {
            (
                f.reason.as_str(),
                f.registry.as_deref().unwrap(),
                f.position.unwrap().line,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("BadEntry", "a.example", 2),
            ("BadEntry", "c.example", 4),
            ("BadEntry", "d.example", 5),
            ("BadEntry", "e.example", 6),
            ("BadEntry", "f.example", 7),
            ("EmptyCredential", "g.example", 8),
            ("EmptyCredential", "h.example", 9),
            ("BadKey", "(unprintable key)", 10),
        ]
    );
    assert_eq!(
        rendered(&checked),
        "{\"auths\":{\"b.example\":{\"auth\":\"dXNlcjpwYXNz\"}}}\n"
    );
}

#[test]
fn safe_repairs_are_made_and_told() {
    for written in [
        r#"{"auth":"dXM6cGFzcw"}"#,
        r#"{"auth":"dXM6\ncGFz\r\ncw=="}"#,
        r#"{"auth":" dXM6cGFzcw== "}"#,
        r#"{"username":"us","password":"pass"}"#,
        r#"{"auth":"dXM6cGFzcwA="}"#,
    ] {
        let checked = check(&format!("{{\"auths\":{{\"quay.io\":{written}}}}}"));
        assert_eq!(reasons(&checked), ["Repaired"], "{written}");
        assert_eq!(
            rendered(&checked),
            "{\"auths\":{\"quay.io\":{\"auth\":\"dXM6cGFzcw==\"}}}\n",
            "{written}"
        );
    }
    let checked = check("\u{feff}{\"auths\":{\"quay.io\":{\"auth\":\"dXNlcjpwYXNz\"}}}");
    assert_eq!(reasons(&checked), ["ByteOrderMark"]);
}

#[test]
fn names_fold_and_equal_names_count_as_go_reads_them() {
    let checked = check(
        r#"{"AUTHS":{"a.example":{"AUTH":"dXNlcjpwYXNz"}},"auths":{"b.example":{"auth":"dXNlcjpwYXNz","auth":null}},
            "auths":{"b.example":{"auth":"dXM6cGFzcw=="}}}"#,
    );
    assert_eq!(
        rendered(&checked),
        "{\"auths\":{\"a.example\":{\"auth\":\"dXNlcjpwYXNz\"},\"b.example\":{\"auth\":\"dXM6cGFzcw==\"}}}\n"
    );
    let duplicates: Vec<_> = checked
        .findings
        .iter()
        .filter(|finding| finding.reason == Reason::DuplicateKey)
        .map(|finding| (finding.registry.as_deref(), finding.position.unwrap().line))
        .collect();
    assert_eq!(duplicates, [(None, 1), (None, 2), (Some("b.example"), 2)]);
}

#[test]
fn of_equal_keys_the_last_counts_whatever_it_is() {
    let checked = check(
        "{\"auths\":{\n\"b.example\":{\"auth\":\"dXNlcjpwYXNz\"},\n\"a.example\":{\"auth\":\"bar\"},\n\
         \"b.example\":{},\n\"a.example\":{\"auth\":\"dXNlcjpwYXNz\"},\n\"a.example\":{\"auth\":\"dXM6cGFzcw==\"}}}",
    );
    let document = checked.document.as_ref().unwrap();
    assert_eq!(document.left_out().collect::<Vec<_>>(), ["b.example"]);
    assert_eq!(
        rendered(&checked),
        "{\"auths\":{\"a.example\":{\"auth\":\"dXM6cGFzcw==\"}}}\n"
    );
    let duplicates: Vec<_> = checked
        .findings
        .iter()
        .filter(|finding| finding.reason == Reason::DuplicateKey)
        .map(|finding| {
            (
                finding.registry.as_deref().unwrap(),
                finding.position.unwrap().line,
            )
        })
        .collect();
    assert_eq!(
        duplicates,
        [("b.example", 4), ("a.example", 5), ("a.example", 6)]
    );
}

#[test]
fn unknown_fields_stay_and_fields_that_cost_a_reader_the_file_go() {
    let checked = check(
        r#"{"HttpHeaders":{"X":"y"},"credsStore":"pass","psFormat":7,"zeta":[1, 2],
            "auths":{"quay.io":{"auth":"dXNlcjpwYXNz","zulu":{"a": 1},"note":"x"}}}"#,
    );
    assert_eq!(reasons(&checked), ["HelperIgnored", "BadField"]);
    assert_eq!(
        rendered(&checked),
        "{\"HttpHeaders\":{\"X\":\"y\"},\"auths\":{\"quay.io\":{\"auth\":\"dXNlcjpwYXNz\",\"note\":\"x\",\
         \"zulu\":{\"a\":1}}},\"credsStore\":\"pass\",\"zeta\":[1,2]}\n"
    );
}

#[test]
fn a_bad_field_goes_without_auths_beside_it_too() {
    let checked = check(r#"{"credHelpers":{"quay.io":{}},"zeta":1}"#);
    assert_eq!(reasons(&checked), ["BadField", "MissingAuths"]);
    assert_eq!(rendered(&checked), "{\"auths\":{},\"zeta\":1}\n");
}

#[test]
fn surprises_of_keys_are_told() {
    let told = |key: &str| {
        let checked = check(&format!(
            "{{\"auths\":{{\"{key}\":{{\"auth\":\"dXNlcjpwYXNz\"}}}}}}"
        ));
        reasons(&checked)
    };
    assert_eq!(told("quay.io/team"), ["PrefixLeak", "WideningPath"]);
    assert_eq!(told("https://quay.io/team/"), ["WideningPath"]);
    assert_eq!(told("*.example.com"), ["GlobIgnored"]);
    assert_eq!(told("Quay.io"), ["UppercaseHost"]);
    assert_eq!(told("quay.io:443"), ["DefaultPort"]);
    assert_eq!(told("docker.io"), ["HubAlias"]);
    assert_eq!(told("https://index.docker.io/v1/"), [""; 0]);
    assert_eq!(told("[::1]"), ["IPv6Literal"]);
}

// === merging ===

const KEPT: Rules = Rules {
    readers: &[crate::reader::Reader::Kubelet],
    foreign: Foreign::Keep,
};

fn ledger() -> Ledger {
    Ledger::new(HashKey::new([7; 32]))
}

fn document(text: &str) -> Document {
    check(text).document.unwrap()
}

fn source<'d>(document: &'d Document) -> [Contribution<'d>; 1] {
    [Contribution {
        source: "global",
        document: Some(document),
        broken: &[],
    }]
}

fn merged(contributions: &[Contribution<'_>], disk: Option<&str>, ledger: &Ledger) -> Merged {
    let wanted = Wanted::join(contributions, &mut Vec::new());
    let disk = disk.and_then(|text| check(text).document);
    merge(&wanted, disk.as_ref(), ledger, KEPT)
}

fn text(merged: &Merged) -> &str {
    std::str::from_utf8(&merged.bytes).unwrap()
}

const A: &str = r#"{"auths":{"a.example":{"auth":"dXNlcjpwYXNz"}}}"#;
const A2: &str = r#"{"auths":{"a.example":{"auth":"dXM6cGFzcw=="}}}"#;
const B: &str = r#"{"auths":{"b.example":{"auth":"dXNlcjpwYXNz"}}}"#;

#[test]
fn foreign_entries_survive_and_removed_managed_ones_go() {
    let a = document(A);
    let first = merged(&source(&a), Some(B), &ledger());
    assert_eq!(text(&first).matches("example").count(), 2);
    let b2 = document(r#"{"auths":{"c.example":{"auth":"dXNlcjpwYXNz"}}}"#);
    let second = merged(&source(&b2), Some(text(&first)), &first.ledger);
    assert_eq!(
        second.changes.removed.iter().collect::<Vec<_>>(),
        ["a.example"]
    );
    assert!(text(&second).contains("b.example") && text(&second).contains("c.example"));
}

#[test]
fn without_a_difference_there_is_nothing_to_write_whatever_the_layout() {
    let a = document(A);
    let first = merged(&source(&a), None, &ledger());
    let pretty = "{\n \"auths\": {\n  \"a.example\": { \"auth\": \"dXNlcjpwYXNz\" } } }\n\n";
    assert!(
        merged(&source(&a), Some(pretty), &first.ledger)
            .changes
            .is_empty()
    );
}

#[test]
fn an_entry_that_others_changed_is_drift_and_one_they_took_over_is_theirs() {
    let a = document(A);
    let first = merged(&source(&a), None, &ledger());
    let again = merged(&source(&a), Some(A2), &first.ledger);
    assert_eq!(again.findings[0].reason, Reason::Drift);
    assert_eq!(text(&again), text(&first));
    let b = document(B);
    let moved_on = merged(&source(&b), Some(A2), &first.ledger);
    assert_eq!(moved_on.findings[0].reason, Reason::TakenOver);
    assert!(text(&moved_on).contains("a.example"));
}

#[test]
fn a_silent_source_and_a_broken_entry_keep_what_is_on_the_node() {
    let a = document(A);
    let first = merged(&source(&a), None, &ledger());
    let silent = [Contribution {
        source: "global",
        document: None,
        broken: &[],
    }];
    assert!(merged(&silent, Some(A), &first.ledger).changes.is_empty());
    let b = document(B);
    let broken = ["a.example".to_owned()];
    let broken = [Contribution {
        source: "global",
        document: Some(&b),
        broken: &broken,
    }];
    let kept = merged(&broken, Some(A), &first.ledger);
    assert_eq!(kept.findings[0].reason, Reason::LastGoodKept);
    assert!(text(&kept).contains("a.example"));
    // A source of lower rank does not step in for a silent one.
    let a2 = document(A2);
    let lower = [
        silent[0],
        Contribution {
            source: "extra",
            document: Some(&a2),
            broken: &[],
        },
    ];
    assert_eq!(text(&merged(&lower, Some(A), &first.ledger)).trim_end(), A);
}

#[test]
fn the_first_source_wins_under_every_spelling_of_a_registry() {
    let a = document(A);
    let other =
        document(r#"{"auths":{"https://a.example/v1/":{"auth":"dXM6cGFzcw=="}},"credsStore":"x"}"#);
    let both = [
        source(&a)[0],
        Contribution {
            source: "extra",
            document: Some(&other),
            broken: &[],
        },
    ];
    let mut findings = Vec::new();
    let wanted = Wanted::join(&both, &mut findings);
    assert_eq!(wanted.len(), 1);
    let told: Vec<_> = findings.iter().map(|finding| finding.reason).collect();
    assert_eq!(told, [Reason::SourceConflict, Reason::FieldIgnored]);
    let required = ["a.example/team".to_owned(), "docker.io".to_owned()];
    let missing = wanted.missing(&required, Severity::Error);
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].registry.as_deref(), Some("docker.io"));
}

#[test]
fn a_crash_between_record_and_write_leaves_every_entry_recognisable() {
    let (a, a2, b) = (document(A), document(A2), document(B));
    let first = merged(&source(&a), None, &ledger());
    let second = merged(&source(&a2), Some(A), &first.ledger);
    let under_way = first.ledger.or(&second.ledger);
    for disk in [A, A2] {
        let after = merged(&source(&b), Some(disk), &under_way);
        assert_eq!(after.changes.removed.len(), 1, "{disk}");
    }
    let stored = Ledger::from_json(&under_way.to_json()).unwrap();
    assert!(stored == under_way);
    assert!(Ledger::from_json(b"{}").is_err());
}

#[test]
fn a_broken_foreign_entry_does_not_cost_the_file() {
    let a = document(A);
    let disk = r#"{"auths":{"fake":{"auth":"bar"},"marker.example":{}}}"#;
    let merged = merged(&source(&a), Some(disk), &ledger());
    assert_eq!(
        text(&merged),
        "{\"auths\":{\"a.example\":{\"auth\":\"dXNlcjpwYXNz\"},\"marker.example\":{}}}\n"
    );
    assert_eq!(merged.findings[0].reason, Reason::ForeignBroken);
}

#[test]
fn only_an_entry_that_was_there_before_makes_a_restart_useful() {
    let (a, a2, nothing) = (document(A), document(A2), document(r#"{"auths":{}}"#));
    let first = merged(&source(&a), Some(B), &ledger());
    assert!(!first.changes.is_empty() && !first.changes.replace_something());
    let disk = text(&first);
    let changed = merged(&source(&a2), Some(disk), &first.ledger);
    assert!(changed.changes.replace_something());
    let gone = merged(&source(&nothing), Some(disk), &first.ledger);
    assert!(gone.changes.replace_something());
    let same = merged(&source(&a), Some(disk), &first.ledger);
    assert!(!same.changes.replace_something());
}
