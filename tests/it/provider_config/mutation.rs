//! Random configurations: good ones, changed in up to three places.

use fastrand::Rng;

use super::case::{Case, Entry, Kind};
use super::named::{JSON, YAML};

/// The next random case.
pub(crate) fn case(random: &mut Rng) -> Case {
    let mut case = Case::single("a.yaml", b"");
    case.tokens = random.u8(..10) > 0;
    case.directory = random.u8(..4) == 0;
    let count = if case.directory {
        random.usize(1..4)
    } else {
        1
    };
    let names = ["b.yaml", "a.json", ".c.yml", "d.txt"];
    case.files = (0..count)
        .map(|at| Entry::new(names[at], Kind::File, &file(random)))
        .collect();
    if random.u8(..8) == 0 {
        let kinds = [
            Kind::Link,
            Kind::Directory,
            Kind::Dangling,
            Kind::LinkToDirectory,
        ];
        let last = case.files.len() - 1;
        case.files[last].kind = kinds[random.usize(..if case.directory { 4 } else { 1 })];
    }
    case
}

fn file(random: &mut Rng) -> Vec<u8> {
    let name = pick(random, &["ours", "ours", "theirs", "theirs", "a;b"]);
    let mut text = pick(random, BASES).to_owned();
    text = text
        .replace(": ours", &format!(": {name}"))
        .replace("\"theirs\"", &format!("\"{name}\""));
    if random.bool() {
        text = text.replace(" us\n", &format!(" {}\n", scalar(random)));
    }
    let changes = pick(random, &[0, 1, 1, 1, 1, 1, 2, 2, 3]);
    for _ in 0..changes {
        text = match random.u8(..7) {
            0 => value(random, &text),
            1 | 2 => value(random, &text),
            3 => insert(random, &text),
            4 => character(random, &text),
            5 => line(random, &text),
            _ => around(random, &text),
        };
    }
    text.into_bytes()
}

/// A string of several lines in one of the five notations.
fn scalar(random: &mut Rng) -> String {
    let open = pick(
        random,
        &[
            "|", "|-", "|+", ">", ">-", ">+", "|2", ">1-", "\"", "'", "a", "| # x",
        ],
    );
    let mut text = open.to_owned();
    for _ in 0..random.usize(..5) {
        let (indent, word) = (random.usize(4..10), pick(random, PIECES));
        text.push_str(&format!("\n{:indent$}{word}", ""));
    }
    if open == "\"" || open == "'" {
        text.push_str(open);
    }
    text
}

/// Another value, or a name of a field.
fn value(random: &mut Rng, text: &str) -> String {
    let present: Vec<_> = WORDS.iter().filter(|word| text.contains(**word)).collect();
    if present.is_empty() {
        return text.to_owned();
    }
    let word = pick(random, &present);
    let at = place(random, text, word);
    let with = if random.u8(..6) == 0 {
        pick(random, WORDS)
    } else {
        pick(random, VALUES)
    };
    format!("{}{with}{}", &text[..at], &text[at + word.len()..])
}

/// A random one of the places where `word` is.
fn place(random: &mut Rng, text: &str, word: &str) -> usize {
    let places: Vec<_> = text.match_indices(word).map(|(at, _)| at).collect();
    pick(random, &places)
}

fn insert(random: &mut Rng, text: &str) -> String {
    let at = boundary(random, text);
    format!("{}{}{}", &text[..at], pick(random, TOKENS), &text[at..])
}

/// One character less, twice, or another one.
fn character(random: &mut Rng, text: &str) -> String {
    let at = boundary(random, text);
    let Some(found) = text[at..].chars().next() else {
        return text.to_owned();
    };
    let after = &text[at + found.len_utf8()..];
    match random.u8(..4) {
        0 => format!("{}{found}{found}{after}", &text[..at]),
        1 => format!("{}{}{after}", &text[..at], pick(random, TOKENS)),
        _ => format!("{}{after}", &text[..at]),
    }
}

/// A line less, twice, elsewhere, deeper, or with something behind it.
fn line(random: &mut Rng, text: &str) -> String {
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let (one, other) = (random.usize(..lines.len()), random.usize(..lines.len()));
    match random.u8(..8) {
        0 => drop(lines.remove(one)),
        1 => lines.insert(one, lines[one].clone()),
        2 => lines.swap(one, other),
        3 => lines[one].insert(0, ' '),
        4 => {
            lines[one] = lines[one]
                .strip_prefix(' ')
                .unwrap_or(&lines[one])
                .to_owned()
        }
        5 => lines[one].push_str(pick(random, TOKENS)),
        6 => lines.insert(one, pick(random, TOKENS).to_owned()),
        _ => lines.insert(one, format!("{:1$}# comment", "", random.usize(..6))),
    }
    lines.join("\n")
}

fn around(random: &mut Rng, text: &str) -> String {
    match random.u8(..8) {
        0 => text.replace('\n', "\r\n"),
        1 => format!("---\n{text}"),
        2 => format!("{text}---\n{}", pick(random, TOKENS)),
        3 => format!("{text}...\n"),
        4 => text.trim_end().to_owned(),
        5 => format!("{text}\n\n  \n"),
        6 => text.lines().map(|line| format!("  {line}\n")).collect(),
        _ => format!("{}\n{text}", pick(random, TOKENS)),
    }
}

fn boundary(random: &mut Rng, text: &str) -> usize {
    text.floor_char_boundary(random.usize(..=text.len()))
}

fn pick<T: Copy>(random: &mut Rng, from: &[T]) -> T {
    from[random.usize(..from.len())]
}

const FLOW: &str = r#"---
{apiVersion: kubelet.config.k8s.io/v1, kind: CredentialProviderConfig, # all in one
 "providers": [{name: ours, "apiVersion": 'credentialprovider.kubelet.k8s.io/v1', matchImages: [r.example:5000/x, "*.example"
 ], defaultCacheDuration: "10m", env: [{name: A, value: "b"}], args: ['a', "b",c]}]}
"#;

const SCALARS: &str = r#"# A file
apiVersion:   "kubelet.config.k8s.io/v1"
kind: 'CredentialProviderConfig'

providers:
  - name: ours
    apiVersion: credentialprovider.kubelet.k8s.io/v1
    matchImages:
      - "r.example"   # the registry
      - '*.s.example'
    defaultCacheDuration: >-
      1h
    args:
      - |
        some text
          more: text
      - several
        words
      - "in
        quotes\n"
    env:
      - name: "A"
        value: 'it''s'
      -
        name: B
        value: ""
"#;

const LAYERS: &str = r#"kind: CredentialProviderConfig
apiVersion: kubelet.config.k8s.io/v1
providers: [
  # first
  {
    "name" : ours,
    'matchImages': [
      a.example:80,   # comment
      "b.example" , 'c.example/x',
    ],
    apiVersion: credentialprovider.kubelet.k8s.io/v1, "defaultCacheDuration":"10m",
    "args":["a",'b' , c d], env: [ { "name":"A","value":"b" }, {value: x, name: "B"} ]
  }
]
"#;

const BASES: &[&str] = &[YAML, YAML, JSON, FLOW, LAYERS, LAYERS, SCALARS, SCALARS];

#[rustfmt::skip]
const WORDS: &[&str] = &[
    "apiVersion", "kind", "providers", "name", "matchImages", "defaultCacheDuration", "args", "env", "value", "tokenAttributes", "kubelet.config.k8s.io/v1",
    "credentialprovider.kubelet.k8s.io/v1", "CredentialProviderConfig", "ours", "theirs", "r.example", "*.example", "0s", "10m", "1h", "12h", "us", "Token",
    "true", "[get]", "[a.example/b]", "[c]", "cacheType", "requireServiceAccount", "requiredServiceAccountAnnotationKeys", "\"b\"", "'a'",
];

#[rustfmt::skip]
const PIECES: &[&str] = &["", "", "a", "b c", " ", "d ", "\\", "\\ e", "f\\n", "#", "g #", "-", "- h", ":", "i:j", "''", "\\\"", "1", "~", "\u{e9}", "%", "&k", "[l", "?"];

#[rustfmt::skip]
const VALUES: &[&str] = &[
    "ours", "theirs", "a;b", "folder", "nobody", "~", "null", "''", "\"\"", "x", "1", "1.5", "0x1f", "1e3", "yes", "no", "true", "false", "on", ".inf", "0", "'0'", "1d", "-1s", "0s", "+1h", "1.5m",
    "[]", "{}", "[~]", "[a]", "[a, b]", "['a b']", "{a: b}", "[a/b, a/b]", "Token", "ServiceAccount", "token", "r.example:5000", "'r.example:*'", "https://x", "'*'", "'%zz'", "a b", "a#b", "a #b", "a: b", "'a'",
    "\"a\\tb\"", "\"\\x41\"", "\"\\q\"", "\"\\ud83d\\ude00\"", "\"\\/\"", ":x", "x:", "x?", "|\n      x", ">-\n      x\n      y", "? x", "- x", "&a x", "*a", "!!str x", "!x", "@x", "`x", "%x", "\u{e9}", "2020-01-01", "12:30", "::", "-", "--", "---", "...", "<<",
    "kubelet.config.k8s.io/v1beta1", "credentialprovider.kubelet.k8s.io/v1alpha1", "kubelet.config.k8s.io/v1alpha1", "v1", "\n", " ", "",
];

#[rustfmt::skip]
const TOKENS: &[&str] = &[
    " ", "  ", "\n", "\n\n", "\t", "\r", "\r\n", ":", ": ", " :", "-", "- ", " - ", "#", " #", "# x", "\"", "'", "[", "]", "{", "}", ",", ", ", ",,", "?", "? ", "&", "&x ", "*", "*x", "!", "!! ", "!!str ", "|", ">", "|-", ">+", "|2", "|1-", ">-2", "|0", "|10", "| #x", "|#", "\\u", "\\ud83d", "\\/", "'x': ", "? x\n: ", " \n:", "\n ", "\n  ", "\n    ",
    "@", "`", "%", "%YAML 1.1", "\\", "\\n", "~", "<<: ", "---", "--- ", "...", "... x", "\u{feff}", "\u{85}", "\u{2028}", "\u{0}", "\u{7f}", "\u{e9}", "\u{1f600}", "a", "1", "null", "x: y", "x: ", "- x", "[x]", "{x: y}", "\"x\"", "'x'", "\"x\": ",
    "\u{a0}", "\u{3000}", "//", "/", ";", "=", "$", "()", "^", "+", ".",
];
