//! Named cases for what is around the text of a file: encoding, other files, programs, gates.

use super::case::{Case, Entry, Kind};
use super::named::{JSON, YAML};

/// Name, whether kubelet starts, and what with.
pub(crate) fn all() -> Vec<(String, bool, Case)> {
    [encodings(), folders(), surroundings()].concat()
}

/// The file with other line breaks, markers and bytes around it.
fn encodings() -> Vec<(String, bool, Case)> {
    let case =
        |name: &str, starts, bytes: &[u8]| (name.to_owned(), starts, Case::single("a.yaml", bytes));
    let utf16: Vec<u8> = format!("\u{feff}{YAML}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    vec![
        case("CRLF", true, YAML.replace('\n', "\r\n").as_bytes()),
        case("CR", true, YAML.replace('\n', "\r").as_bytes()),
        case("NEL", true, YAML.replace('\n', "\u{85}").as_bytes()),
        case("LS", true, YAML.replace('\n', "\u{2028}").as_bytes()),
        case(
            "byte order mark",
            true,
            format!("\u{feff}{YAML}").as_bytes(),
        ),
        case("UTF-16", true, &utf16),
        case("markers", true, format!("---\n{YAML}...\n").as_bytes()),
        case(
            "comment and marker",
            true,
            format!("# x\n\n---   # y\n{YAML}").as_bytes(),
        ),
        case(
            "marker without a break",
            false,
            format!("---{YAML}").as_bytes(),
        ),
        case(
            "directive",
            true,
            format!("%YAML 1.1\n---\n{YAML}").as_bytes(),
        ),
        case(
            "directive of a later version",
            false,
            format!("%YAML 1.2\n---\n{YAML}").as_bytes(),
        ),
        case(
            "empty document first",
            false,
            format!("---\n---\n{YAML}").as_bytes(),
        ),
        case(
            "other document first",
            false,
            format!("a: b\n---\n{YAML}").as_bytes(),
        ),
        case(
            "all deeper",
            true,
            YAML.lines()
                .map(|line| format!("  {line}\n"))
                .collect::<String>()
                .as_bytes(),
        ),
        case("first line deeper", false, format!(" {YAML}").as_bytes()),
        case("a long key", true, long_key(1000).as_bytes()),
        case("a too long key", false, long_key(1100).as_bytes()),
        case(
            "no UTF-8",
            false,
            [YAML.as_bytes(), b"#\xff\n"].concat().as_slice(),
        ),
        case(
            "no UTF-8 in JSON",
            true,
            &JSON
                .replace("get", "\u{1}")
                .into_bytes()
                .iter()
                .map(|byte| if *byte == 1 { 0xff } else { *byte })
                .collect::<Vec<_>>(),
        ),
        case(
            "control character",
            false,
            YAML.replace("[get]", "[g\u{7}et]").as_bytes(),
        ),
        case(
            "two files in one",
            false,
            format!("{YAML}{YAML}").as_bytes(),
        ),
        case(
            "two providers",
            true,
            format!("{YAML}{}", provider("theirs")).as_bytes(),
        ),
        case(
            "one provider twice",
            false,
            format!("{YAML}{}", provider("ours")).as_bytes(),
        ),
    ]
}

/// White space between a name and its colon, which makes the key long.
fn long_key(length: usize) -> String {
    YAML.replace("- name: ours", &format!("- name{:length$}: ours", ""))
}

fn provider(name: &str) -> String {
    format!(
        "- {{name: {name}, apiVersion: credentialprovider.kubelet.k8s.io/v1alpha1, matchImages: [a], defaultCacheDuration: 1m}}\n"
    )
}

/// Directories of files.
fn folders() -> Vec<(String, bool, Case)> {
    let empty = b"apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\n";
    let file = |name: &str| Entry::new(name, Kind::File, YAML.as_bytes());
    let other = |name: &str, kind| Entry::new(name, kind, JSON.as_bytes());
    let case = |name: &str, starts, files: Vec<Entry>| {
        let case = Case {
            directory: true,
            files,
            ..Case::single("a", b"")
        };
        (name.to_owned(), starts, case)
    };
    vec![
        case("nothing in it", false, vec![]),
        case("one file", true, vec![file("a.yaml")]),
        case(
            "two files",
            true,
            vec![file("b.yaml"), other("a.json", Kind::File)],
        ),
        case(
            "a link",
            true,
            vec![file("b.yml"), other("a.json", Kind::Link)],
        ),
        case("another suffix", false, vec![file("a.conf")]),
        case("an upper-case suffix", false, vec![file("a.YAML")]),
        case(
            "a suffix behind it",
            true,
            vec![file("a.yaml"), Entry::new("b.yaml.tmp", Kind::File, b"{")],
        ),
        case("a suffix alone", true, vec![file(".yaml")]),
        case("a hidden file", true, vec![file(".x.yaml")]),
        case(
            "a hidden broken file",
            false,
            vec![file("a.yaml"), Entry::new(".x.yaml", Kind::File, b"{")],
        ),
        case(
            "an empty file",
            false,
            vec![file("a.yaml"), Entry::new("b.yaml", Kind::File, b"")],
        ),
        case(
            "a file without providers",
            true,
            vec![file("a.yaml"), Entry::new("b.yaml", Kind::File, empty)],
        ),
        case(
            "only a file without providers",
            false,
            vec![Entry::new("b.yaml", Kind::File, empty)],
        ),
        case(
            "a directory",
            true,
            vec![file("a.yaml"), other("b.yaml", Kind::Directory)],
        ),
        case(
            "only a directory",
            false,
            vec![other("b.yaml", Kind::Directory)],
        ),
        case(
            "a dangling link",
            false,
            vec![file("a.yaml"), other("b.yaml", Kind::Dangling)],
        ),
        case(
            "a dangling link of another name",
            true,
            vec![file("a.yaml"), other("b", Kind::Dangling)],
        ),
        case(
            "a link to a directory",
            false,
            vec![file("a.yaml"), other("b.yaml", Kind::LinkToDirectory)],
        ),
        case(
            "..data",
            true,
            vec![other("..data", Kind::LinkToDirectory), file("a.yaml")],
        ),
        case(
            "one provider in two files",
            false,
            vec![file("a.yaml"), file("b.yaml")],
        ),
        case(
            "text order",
            true,
            vec![
                other("10.json", Kind::File),
                file("9.yaml"),
                Entry::new("Z.yml", Kind::File, empty),
            ],
        ),
        case(
            "one broken file of three",
            false,
            vec![
                file("a.yaml"),
                other("b.json", Kind::File),
                Entry::new("c.yml", Kind::File, b"x"),
            ],
        ),
    ]
}

/// What is around the file.
fn surroundings() -> Vec<(String, bool, Case)> {
    let case = |content: &str| Case::single("a.yaml", content.as_bytes());
    vec![
        (
            "no bin dir".to_owned(),
            false,
            Case {
                has_bin_dir: false,
                ..case(YAML)
            },
        ),
        (
            "empty bin dir".to_owned(),
            false,
            Case {
                programs: vec![],
                ..case(YAML)
            },
        ),
        (
            "gate off".to_owned(),
            false,
            Case {
                tokens: false,
                ..case(YAML)
            },
        ),
        (
            "gate off, no tokens".to_owned(),
            true,
            Case {
                tokens: false,
                ..case(JSON)
            },
        ),
    ]
}
