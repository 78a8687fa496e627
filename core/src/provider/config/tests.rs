use super::*;

const GOOD: &str = r#"apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: ours
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  matchImages: ["registry.example.com"]
  defaultCacheDuration: "0s"
"#;

fn programs() -> Programs {
    let program = |name: &str, program| (name.to_owned(), program);
    Programs::from([
        program("ours", Program::Executable),
        program("theirs", Program::Executable),
        program("folder", Program::Directory),
        program("plain", Program::NotExecutable),
    ])
}

fn load_one(text: &str, minor: u32) -> Result<Loaded, Vec<Fault>> {
    let file = File {
        path: Path::new("/etc/p.yaml"),
        bytes: text.as_bytes(),
    };
    load(
        Source::File(file),
        Some(&programs()),
        Kubelet::of_minor(minor),
    )
}

/// Fields and faults of a text.
fn faults(text: &str) -> Vec<(String, What)> {
    let faults = load_one(text, 36).unwrap_err();
    faults
        .into_iter()
        .map(|fault| (fault.field, fault.what))
        .collect()
}

fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replace(from, to)
}

#[test]
fn a_good_file_is_loaded_with_its_hash() {
    let loaded = load_one(GOOD, 33).unwrap();
    assert_eq!(loaded.providers[0].name, "ours");
    assert_eq!(loaded.providers[0].default_cache_duration, Duration::ZERO);
    assert!(loaded.providers[0].serves(&"registry.example.com/app:1".parse().unwrap()));
    assert!(!loaded.providers[0].serves(&"other.example.com/app".parse().unwrap()));
    // printf '\0\0\0\0\0\0\0\002{}' | sha256sum
    let file = File {
        path: Path::new("a"),
        bytes: b"{}",
    };
    assert_eq!(
        hash(&[file]),
        "sha256:7cf4b3ea3b7fb829169af19d641905eb04c1a23d6057cbe10a975ba5bcfaa21e"
    );
}

#[test]
fn each_rule_has_its_fault() {
    let missing = || What::Missing;
    let unknown = |hint| What::UnknownField { hint };
    let cases = [
        (
            "kind: CredentialProviderConfig",
            "kind: Pod",
            "kind",
            What::Kind {
                found: "Pod".into(),
            },
        ),
        (
            "kubelet.config.k8s.io/v1",
            "v1",
            "apiVersion",
            What::ApiVersion { found: "v1".into() },
        ),
        (
            "  matchImages",
            "  matchimages",
            "providers[0].matchimages",
            unknown(Some("matchImages")),
        ),
        ("providers:", "other: 1\nproviders:", "other", unknown(None)),
        (
            "- name: ours",
            "- name: ours\n  name: ours",
            "providers[0].name",
            What::DuplicateField,
        ),
        (
            "name: ours",
            "name: a/b",
            "providers[0].name",
            What::Name {
                found: "a/b".into(),
            },
        ),
        (
            "name: ours",
            "name: 'a b'",
            "providers[0].name",
            What::Name {
                found: "a b".into(),
            },
        ),
        (
            "name: ours",
            "name: ..",
            "providers[0].name",
            What::Name { found: "..".into() },
        ),
        (
            "name: ours",
            "name: ''",
            "providers[0].name",
            What::Name {
                found: String::new(),
            },
        ),
        (
            "name: ours",
            "name: none",
            "providers[0].name",
            What::ProgramMissing,
        ),
        (
            "name: ours",
            "name: folder",
            "providers[0].name",
            What::ProgramDirectory,
        ),
        (
            "name: ours",
            "name: plain",
            "providers[0].name",
            What::ProgramMode,
        ),
        (
            "credentialprovider.kubelet.k8s.io/v1",
            "v1",
            "providers[0].apiVersion",
            What::Protocol { found: "v1".into() },
        ),
        (
            "[\"registry.example.com\"]",
            "[]",
            "providers[0].matchImages",
            missing(),
        ),
        (
            "\"registry.example.com\"",
            "\"host:*\"",
            "providers[0].matchImages[0]",
            What::Pattern {
                pattern: "host:*".into(),
            },
        ),
        (
            "\"0s\"",
            "null",
            "providers[0].defaultCacheDuration",
            missing(),
        ),
        (
            "\"0s\"",
            "1d",
            "providers[0].defaultCacheDuration",
            What::Duration { found: "1d".into() },
        ),
        (
            "\"0s\"",
            "-1s",
            "providers[0].defaultCacheDuration",
            What::NegativeDuration {
                found: "-1s".into(),
            },
        ),
    ];
    for (from, to, field, what) in cases {
        let found = faults(&changed(from, to));
        assert!(found.contains(&(field.to_owned(), what)), "{to}: {found:?}");
    }
    let internal = changed("config.k8s.io/v1", "config.k8s.io/__internal");
    assert_eq!(
        faults(&internal),
        [("apiVersion".to_owned(), What::InternalVersion)]
    );
    let number = What::WrongType {
        expected: "a string",
        found: "a number",
    };
    let found = faults(&changed("\"0s\"", "0"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found.contains(&("providers[0].defaultCacheDuration".to_owned(), number)));
}

#[test]
fn several_files_are_one_configuration() {
    let other = changed("name: ours", "name: theirs");
    let empty = "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\n";
    let file = |path: &'static str, text: &'static str| File {
        path: Path::new(path),
        bytes: text.as_bytes(),
    };
    let files = [file("/d/a.yaml", empty), file("/d/b.yaml", GOOD)];
    let load = |files: &[File<'_>], minor| {
        load(
            Source::Directory(files),
            Some(&programs()),
            Kubelet::of_minor(minor),
        )
    };
    assert_eq!(load(&files, 34).unwrap().providers.len(), 1);
    assert_eq!(load(&files, 33).unwrap_err()[0].what, What::Directory);
    assert_eq!(load(&[], 36).unwrap_err()[0].what, What::NoFiles);
    assert_eq!(load(&files[..1], 36).unwrap_err()[0].what, What::Missing);

    let other = File {
        path: Path::new("/d/c.yaml"),
        bytes: other.as_bytes(),
    };
    let loaded = load(&[files[1], other], 36).unwrap();
    let names: Vec<_> = loaded
        .providers
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["ours", "theirs"]);

    let twice = load(&[files[1], file("/d/d.yaml", GOOD)], 36).unwrap_err();
    assert_eq!(twice.len(), 1);
    assert_eq!(
        (twice[0].file.as_deref(), &twice[0].what),
        (Some(Path::new("/d/d.yaml")), &What::DuplicateName)
    );
}

#[test]
fn token_attributes_have_their_rules() {
    let with = |attributes: &str| format!("{GOOD}  tokenAttributes: {attributes}\n");
    let good = "{serviceAccountTokenAudience: a, cacheType: Token, requireServiceAccount: true}";
    assert!(load_one(&with(good), 36).is_ok());
    assert!(load_one(&with("~"), 36).is_ok());
    let off = load_one(&with(good), 33).unwrap_err();
    let off: Vec<_> = off.iter().map(|fault| fault.what.clone()).collect();
    assert_eq!(off, [What::UnknownField { hint: None }, What::TokensOff]);
    let beta = with(good).replace(
        "credentialprovider.kubelet.k8s.io/v1",
        "credentialprovider.kubelet.k8s.io/v1beta1",
    );
    assert_eq!(faults(&beta)[0].1, What::TokensProtocol);
    let beta = with(good).replace("kubelet.config.k8s.io/v1", "kubelet.config.k8s.io/v1beta1");
    assert_eq!(faults(&beta)[0].1, What::UnknownField { hint: None });

    let token = |rest: &str| with(&format!("{{{rest}}}"));
    let rest = "serviceAccountTokenAudience: a, cacheType: Token";
    for (attributes, field, what) in [
        (
            "cacheType: Token, requireServiceAccount: true",
            "serviceAccountTokenAudience",
            What::Missing,
        ),
        (rest, "requireServiceAccount", What::Missing),
        (
            "serviceAccountTokenAudience: a, cacheType: token, requireServiceAccount: yes",
            "cacheType",
            What::CacheType {
                found: "token".into(),
            },
        ),
        (
            &format!(
                "{rest}, requireServiceAccount: no, requiredServiceAccountAnnotationKeys: [a/b]"
            ),
            "requiredServiceAccountAnnotationKeys",
            What::ServiceAccountNotRequired,
        ),
        (
            &format!(
                "{rest}, requireServiceAccount: on, requiredServiceAccountAnnotationKeys: [a/b/c]"
            ),
            "requiredServiceAccountAnnotationKeys[0]",
            What::AnnotationKey {
                key: "a/b/c".into(),
            },
        ),
        (
            &format!(
                "{rest}, requireServiceAccount: on, requiredServiceAccountAnnotationKeys: [b], optionalServiceAccountAnnotationKeys: [a, b]"
            ),
            "optionalServiceAccountAnnotationKeys[1]",
            What::AnnotationKeyTwice { key: "b".into() },
        ),
    ] {
        let expected = (format!("providers[0].tokenAttributes.{field}"), what);
        assert_eq!(faults(&token(attributes)), [expected], "{attributes}");
    }
}

#[test]
fn a_missing_directory_of_programs_is_a_fault() {
    let file = File {
        path: Path::new("a"),
        bytes: GOOD.as_bytes(),
    };
    let faults = load(Source::File(file), None, Kubelet::of_minor(36)).unwrap_err();
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].what, What::BinDirMissing);
}

#[test]
fn faults_say_where_and_what_to_do() {
    let faults = load_one(&changed("name: ours", "name: none"), 36).unwrap_err();
    assert_eq!(
        faults[0].to_string(),
        "kubelet would not start with /etc/p.yaml, providers[0].name, provider \"none\""
    );
    assert_eq!(
        faults[0].what.to_string(),
        "no program has this name in the directory of the programs; install it first"
    );
    let faults = load_one(&changed("matchImages", "MatchImages"), 36).unwrap_err();
    assert_eq!(
        faults[0].what.to_string(),
        "no such field here; `matchImages` is written like this; correct or remove it"
    );
}
