use proptest::prelude::*;

use super::*;
use crate::json::Kind;

/// A document with one entry for each key; the first has the login `u1:p`, the next `u2:p`, ….
pub(super) fn document(keys: &[&str]) -> String {
    let logins = ["dTE6cA==", "dTI6cA==", "dTM6cA=="];
    let entries: Vec<_> = keys
        .iter()
        .zip(logins)
        .map(|(key, auth)| format!("{key:?}:{{\"auth\":{auth:?}}}"))
        .collect();
    format!("{{\"auths\":{{{}}}}}", entries.join(","))
}

/// How a lookup ends: the outcome's name, then each candidate as `user rule rank`.
pub(super) fn ending(reader: Reader, shape: Shape, document: &str, image: &str) -> String {
    let text = Text::new(document.as_bytes());
    let view = match read(reader, &text, shape) {
        Ok(view) => view,
        Err(error) => return error.fault.reason().to_owned(),
    };
    let image = ImageRef::parse(image).unwrap();
    let lookup = view.lookup(&image);
    let candidates = lookup.candidates.iter().map(|candidate| {
        let user = match &candidate.credential {
            Ok(credential) => String::from_utf8_lossy(credential.username()).into_owned(),
            Err(_) => "broken".to_owned(),
        };
        format!(", {user} {} {}", candidate.rule.as_str(), candidate.rank)
    });
    format!(
        "{}{}",
        lookup.outcome.as_str(),
        candidates.collect::<String>()
    )
}

fn error(reader: Reader, document: &str) -> DocumentError {
    let text = Text::new(document.as_bytes());
    read(reader, &text, Shape::ConfigJson).unwrap_err()
}

#[test]
fn errors_name_the_place_the_entry_and_a_reason() {
    let broken = r#"{"auths":{"a":{},"b":{"auth":"dXNlcg=="},"c":{"auth":"s3cret!"}}}"#;
    for reader in [Reader::Kubelet, Reader::Docker] {
        let error = error(reader, broken);
        assert_eq!(error.fault, Fault::NoColon);
        assert_eq!(error.offset, broken.find("\"dXNlcg").unwrap());
        assert_eq!(error.entry, broken.find("\"b\""));
    }
    let wrong = r#"{"auths":{"b":{"auth":["s3cret"]}}}"#;
    for reader in Reader::ALL {
        let error = error(reader, wrong);
        assert_eq!(
            error.fault,
            Fault::WrongType {
                expected: "a string",
                found: Kind::Array
            }
        );
        assert_eq!(
            (error.offset, error.entry),
            (wrong.find('[').unwrap(), wrong.find("\"b\""))
        );
        assert_eq!(error.fault.reason(), "WrongType");
    }
    for reader in Reader::ALL {
        assert_eq!(error(reader, "{\"auths\"").fault.reason(), "MalformedJSON");
        assert_eq!(
            error(reader, "[\"s3cret\"]").fault,
            Fault::NotAnObject { found: Kind::Array }
        );
        assert_eq!(error(reader, "{\"auths\":\"s3cret\"}").entry, None);
    }
}

#[test]
fn errors_and_debug_output_show_no_content() {
    let documents = [
        r#"{"auths":{"s3cret":{"auth":"s3cret!"}}}"#,
        r#"{"auths":{"s3cret":"s3cret"}}"#,
        r#"{"auths":s3cret}"#,
        r#"{"auths":{"r.example":{"username":"s3cret","password":"s3cret"}}}"#,
        r#"{"auths":{"https://s3cret:s3cret@r.example":{"auth":"dTpw"}}}"#,
    ];
    let image = ImageRef::parse("r.example/x").unwrap();
    for document in documents {
        let text = Text::new(document.as_bytes());
        for reader in Reader::ALL {
            let shown = match read(reader, &text, Shape::ConfigJson) {
                Ok(view) => format!("{view:?} {:?} {:?}", view.entries(), view.lookup(&image)),
                Err(error) => format!("{error} {error:?} {}", error.fault),
            };
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }
}

#[test]
fn entries_are_listed_in_document_order_with_what_they_are_read_as() {
    let document = r#"{"auths":{"https://b.example/v1/":{"auth":"dTpw"},"a.example/team":{},"%":{"auth":"eDp5"}}}"#;
    let text = Text::new(document.as_bytes());
    let seen = |reader| {
        let view = read(reader, &text, Shape::ConfigJson).unwrap();
        assert_eq!(view.reader(), reader);
        let entries = view.entries();
        assert!(
            entries
                .iter()
                .all(|entry| document[entry.offset..].starts_with('"'))
        );
        let describe = |entry: &Entry<'_>| {
            let location = entry.reads_as.as_deref().unwrap_or("skipped").to_owned();
            (location, entry.credential.as_ref().unwrap().is_empty())
        };
        entries.iter().map(describe).collect::<Vec<_>>()
    };
    let expect = |locations: [&str; 3]| {
        locations
            .into_iter()
            .map(str::to_owned)
            .zip([false, true, false])
            .collect::<Vec<_>>()
    };
    assert_eq!(
        seen(Reader::Kubelet),
        expect(["b.example", "a.example/team", "skipped"])
    );
    assert_eq!(
        seen(Reader::Containers),
        expect(["b.example", "a.example/team", "%"])
    );
    assert_eq!(
        seen(Reader::Docker),
        expect(["b.example", "a.example", "%"])
    );
}

#[test]
fn one_entry_can_be_read_alone() {
    let verdicts = |value: &str| {
        let text = Text::new(value.as_bytes());
        let node = text.parse().unwrap();
        Reader::ALL.map(|reader| match read_entry(reader, node) {
            Ok(credential) if credential.is_empty() => "empty".to_owned(),
            Ok(_) => "good".to_owned(),
            Err(error) => error.fault.reason().to_owned(),
        })
    };
    assert_eq!(verdicts(r#"{"auth":"dTpw"}"#), ["good", "good", "good"]);
    assert_eq!(
        verdicts(r#"{"auth":"dTpwdw"}"#),
        ["good", "BadEntry", "BadEntry"]
    );
    assert_eq!(
        verdicts(r#"{"auth":"dXNlcg=="}"#),
        ["BadEntry", "empty", "BadEntry"]
    );
    assert_eq!(verdicts(r#"{"auth":"OnB3"}"#), ["good", "good", "BadEntry"]);
    assert_eq!(
        verdicts(r#"{"username":"u","password":"p"}"#),
        ["good", "empty", "good"]
    );
    assert_eq!(
        verdicts(r#"{"identitytoken":"t"}"#),
        ["empty", "empty", "good"]
    );
    assert_eq!(verdicts("null"), ["empty", "empty", "empty"]);
    assert_eq!(verdicts("[]"), ["WrongType", "WrongType", "WrongType"]);
}

#[test]
fn a_pull_secret_differs_from_the_file_only_when_it_is_empty() {
    let empty = Text::new(b"");
    assert!(read(Reader::Kubelet, &empty, Shape::ConfigJson).is_err());
    assert!(
        read_pull_secret(&empty, Shape::ConfigJson)
            .unwrap()
            .entries()
            .is_empty()
    );
    let blank = Text::new(b" ");
    assert!(read_pull_secret(&blank, Shape::DockerCfg).is_err());
    let good = Text::new(br#"{"r.example":{"auth":"dTpw"}}"#);
    assert_eq!(
        read_pull_secret(&good, Shape::DockerCfg)
            .unwrap()
            .entries()
            .len(),
        1
    );
    assert!(
        read_pull_secret(&good, Shape::ConfigJson)
            .unwrap()
            .entries()
            .is_empty()
    );
}

#[test]
fn later_objects_are_decoded_over_earlier_ones() {
    let document = r#"{"auths":{"a":{"auth":"dTE6cA=="},"r.example":{"auth":"dTI6cA=="}},
                       "AUTHS":{"r.example":{"Auth":"dTM6cA==","auth":null}}}"#;
    for reader in Reader::ALL {
        let ending = ending(reader, Shape::ConfigJson, document, "r.example/x");
        assert!(ending.starts_with("credentials, u3"), "{reader:?} {ending}");
        let text = Text::new(document.as_bytes());
        assert_eq!(
            read(reader, &text, Shape::ConfigJson)
                .unwrap()
                .entries()
                .len(),
            2
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..48)) {
        read_all(&bytes);
    }

    #[test]
    fn any_document_is_read_or_refused(
        key in "([a-r.*:/@%?#\\[\\]0-9]|https://){0,12}",
        value in r#"(\{"auth":"[A-Za-z0-9+/=]{0,8}"\}|null|\{\}|1)"#,
        image in "(r\\.example|\\[::1\\]:5000|Foo|docker\\.io|foo_bar\\.x)(/[a-z]{1,3}){1,3}",
    ) {
        let document = format!("{{\"auths\":{{{key:?}:{value}}},\"credHelpers\":{{{key:?}:null}}}}");
        read_all(document.as_bytes());
        let text = Text::new(document.as_bytes());
        let image = ImageRef::parse(&image).unwrap();
        for reader in Reader::ALL {
            if let Ok(view) = read(reader, &text, Shape::ConfigJson) {
                let lookup = view.lookup(&image);
                prop_assert!(lookup.candidates.iter().all(|candidate| candidate.key == key));
                prop_assert!(!lookup.steps.is_empty());
            }
        }
    }
}

fn read_all(bytes: &[u8]) {
    let text = Text::new(bytes);
    let image = ImageRef::parse("r.example/x").unwrap();
    for reader in Reader::ALL {
        for shape in [Shape::ConfigJson, Shape::DockerCfg] {
            if let Ok(view) = read(reader, &text, shape) {
                view.entries();
                view.lookup(&image);
            }
        }
    }
}
