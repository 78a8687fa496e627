//! Named cases for each rule, with what kubelet does: `true` when it starts.

use super::around;
use super::case::Case;

/// A file to change.
pub(crate) const YAML: &str = r#"apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: ours
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  matchImages:
  - r.example
  defaultCacheDuration: 0s
  args: [get]
  env:
  - name: A
    value: b
  tokenAttributes:
    serviceAccountTokenAudience: us
    cacheType: Token
    requireServiceAccount: true
    requiredServiceAccountAnnotationKeys: [a.example/b]
    optionalServiceAccountAnnotationKeys: [c]
"#;

/// The same as JSON, without tokens.
pub(crate) const JSON: &str = r#"{"apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig", "providers": [
  {"name": "theirs", "apiVersion": "credentialprovider.kubelet.k8s.io/v1beta1", "matchImages": ["*.example"],
   "defaultCacheDuration": "12h", "args": ["get"], "env": [{"name": "A", "value": "b"}]}]}
"#;

/// Name, whether kubelet starts, and what with.
pub(crate) fn all() -> Vec<(String, bool, Case)> {
    let mut cases = Vec::new();
    for (from, table) in FIELDS {
        for (to, starts) in *table {
            let case = Case::single("a.yaml", changed(YAML, from, to).as_bytes());
            cases.push((format!("{from:?} is {to:?}"), *starts, case));
        }
    }
    for (from, to, starts) in IN_JSON {
        let case = Case::single("a.json", changed(JSON, from, to).as_bytes());
        cases.push((format!("JSON {from:?} is {to:?}"), *starts, case));
    }
    for (text, starts) in WHOLE {
        cases.push((
            format!("{text:?}"),
            *starts,
            Case::single("a", text.as_bytes()),
        ));
    }
    cases.extend(around::all());
    cases
}

fn changed(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from:?}");
    text.replace(from, to)
}

/// Of the YAML file: what is replaced, by what, and whether kubelet starts.
#[rustfmt::skip]
const FIELDS: &[(&str, &[(&str, bool)])] = &[
    ("kubelet.config.k8s.io/v1", &[
        ("kubelet.config.k8s.io/v1", true), ("kubelet.config.k8s.io/v1beta1", false), ("kubelet.config.k8s.io/v1alpha1", false),
        ("kubelet.config.k8s.io/v2", false), ("kubelet.config.k8s.io", false), ("kubelet.config.k8s.io/", false), ("v1", false),
        ("kubelet.config.k8s.io/v1/v1", false), ("''", false), ("~", false), ("1", false), ("Kubelet.config.k8s.io/v1", false),
        ("kubelet.config.k8s.io/__internal", false), ("credentialprovider.kubelet.k8s.io/v1", false),
    ]),
    ("kind: CredentialProviderConfig", &[
        ("kind: credentialProviderConfig", false), ("kind: KubeletConfiguration", false), ("Kind: CredentialProviderConfig", false),
        ("", false), ("kind:", false), ("kind: \"CredentialProviderConfig\"", true), ("kind: 'CredentialProviderConfig' # x", true),
        ("kind: CredentialProviderConfigList", false), ("kind: [CredentialProviderConfig]", false), ("kind: WatchEvent", false),
    ]),
    ("providers:\n", &[
        ("Providers:\n", false), ("metadata: {}\nproviders:\n", false), ("providers: []\nx:\n", false), ("providers: ~\n", false),
        ("providers:\n-\n", false), ("providers: # those\n\n", true), ("? providers\n:\n", true), ("providers :\n", true),
    ]),
    ("- name: ours", &[
        ("- name: theirs", true), ("- name: a;b", true), ("- name: nobody", false), ("- name: folder", false), ("- name: folder-link", false),
        ("- name: plain", false), ("- name: nowhere", false), ("- name: a/b", false), ("- name: /ours", false), ("- name: .", false),
        ("- name: ..", false), ("- name: 'ours '", false), ("- name: ours ", true), ("- name: o urs", false), ("- name: ''", false),
        ("- name: ~", false), ("- name: ./ours", false), ("- name: OURS", false), ("- Name: ours", false), ("- name: 1", false),
        ("- name: yes", false), ("- name: ours\n  name: ours", false), ("- name: ours\n  'name': theirs", false), ("-  name: ours", false),
        ("- name: [ours]", false), ("- name: {ours: x}", false), ("- name: \"\\0\"", false), ("- name: \"ou\\x72s\"", true),
        ("- name: \"ou\\u0072s\"", true), ("- name: |-\n    ours", true), ("- name: >-\n    ours\n", true), ("- name: |\n    ours", false),
        ("- name: 'ours'", true), ("- \"name\": \"ours\"", true), ("- \"name\" : ours", true), ("- \"name\":ours", false),
        ("- name:ours", false), ("- name: &x ours", true), ("- name: !!str ours", true), ("- name: !x ours", true), ("- name: *x", false),
        ("- x: 1\n  name: ours", false), ("- <<: {name: ours}", true), ("- ? name\n  : ours", true), ("-\n  name: ours", true),
        ("- # x\n  name: ours", true), ("- name:\n    ours", true), ("- name:\n  ours", false), ("- name: ours#x", false), ("- name: ours #x", true),
        ("- name: \"ours\"#x", true), ("- name: our\n   s", false), ("- name: @ours", false), ("- name: `ours", false), ("- name: %ours", false),
        ("- name: ours: x", false), ("- name: ours:", false), ("- name: \"ours", false), ("- name: 'o''urs'", false), ("- name: \"\\/ours\"", false),
    ]),
    ("apiVersion: credentialprovider.kubelet.k8s.io/v1\n", &[
        ("apiVersion: credentialprovider.kubelet.k8s.io/v1beta1\n", false), ("apiVersion: v1\n", false), ("apiVersion: \n", false), ("", false),
        ("apiVersion: credentialprovider.kubelet.k8s.io/v1beta2\n", false), ("apiVersion: credentialprovider.kubelet.k8s.io\n", false),
        ("apiversion: credentialprovider.kubelet.k8s.io/v1\n", false), ("apiVersion: \"credentialprovider.kubelet.k8s.io/v1\"\n", true),
    ]),
    ("  matchImages:\n  - r.example\n", &[
        ("  matchImages: [r.example]\n", true), ("  matchImages: [r.example, ]\n", true), ("  matchImages: [\n  r.example\n  ]\n", true),
        ("  matchImages: [\nr.example]\n", true), ("  matchImages: []\n", false), ("  matchImages: ~\n", false), ("  matchImages:\n", false),
        ("", false), ("  matchImages: r.example\n", false), ("  matchImages: {r.example: x}\n", false), ("  matchImages: [1]\n", false),
        ("  matchImages: [1.5]\n", false), ("  matchImages: [~]\n", true), ("  matchImages: ['']\n", true), ("  matchImages: [,]\n", false),
        ("  matchImages: ['*']\n", true), ("  matchImages: [*.example]\n", false), ("  matchImages:\n  - *.example\n", false),
        ("  matchImages: ['*.example/*']\n", true), ("  matchImages: ['https://r.example']\n", true), ("  matchImages: [https://r.example]\n", true),
        ("  matchImages: [R.example]\n", true), ("  matchImages: [r.example:443]\n", true), ("  matchImages: ['r.example:*']\n", false),
        ("  matchImages: ['r.example:x']\n", false), ("  matchImages: ['r.example:1:2']\n", false), ("  matchImages: ['r.example:']\n", true),
        ("  matchImages: ['a b']\n", false), ("  matchImages: [a b]\n", false), ("  matchImages: [:80]\n", false), ("  matchImages: [a:]\n", true), ("  matchImages: [a,#b\n   c]\n", true), ("  matchImages: [-]\n", true), ("  matchImages: [a\n   : b]\n", false), ("  matchImages: [\"\\ud83d\\ude00\"]\n", false), ("  matchImages: [\"\\U0001F600\"]\n", true), ("  matchImages: [\"\\U00110000\"]\n", false), ("  matchImages: [\"\\'\"]\n", true), ("  matchImages: ['a[b']\n", false), ("  matchImages: ['[::1]:5000/x']\n", true),
        ("  matchImages: ['%zz']\n", false), ("  matchImages: ['r.example/%zz']\n", false), ("  matchImages: ['r.example/%41']\n", true),
        ("  matchImages: ['u:p@r.example']\n", true), ("  matchImages: ['r.example?x#y']\n", true), ("  matchImages: ['r.example/a b']\n", true),
        ("  matchImages: [\"r.example\\n\"]\n", false), ("  matchImages: [\"\\t\"]\n", false), ("  matchImages: ['[::1']\n", false),
        ("  matchImages: [r.example, true]\n", false), ("  matchImages: [r.example, r.example]\n", true), ("  matchImages: [123456789012.dkr.ecr.*.amazonaws.com]\n", true),
        ("  matchImages: [2020-01-01]\n", true), ("  matchImages: [12:30]\n", true), ("  matchImages: [0x1f]\n", false), ("  matchImages: [1_000]\n", false),
        ("  matchImages: [0x1g]\n", true), ("  matchImages: [1e3]\n", false), ("  matchImages: [1e999]\n", true), ("  matchImages: [.5]\n", false),
        ("  matchImages: [0b2]\n", true), ("  matchImages: [0b-1]\n", false), ("  matchImages: [08]\n", false), ("  matchImages: [0o9]\n", true),
        ("  matchImages: [yes]\n", false), ("  matchImages: [yEs]\n", true), ("  matchImages: [.inf]\n", false), ("  matchImages: [<<]\n", true),
        ("  matchImages: [?x]\n", false), ("  matchImages: [x?y]\n", false), ("  matchImages: [-x]\n", true), ("  matchImages: [- x]\n", false), ("  matchImages: [a: b]\n", false),
        ("  matchImages: [a:b]\n", false), ("  matchImages: [a:80, b]\n", true), ("  matchImages: [\"a\":80]\n", false), ("  matchImages: [a#b]\n", true), ("  matchImages: [a, #b\n   c]\n", true),
        ("  matchImages:\n    - r.example\n    - s.example\n", true), ("  matchImages:\n    - r.example\n   - s.example\n", false),
        ("  matchImages:\n - r.example\n", false), ("  matchImages:\n  - r.example\n    s.example\n", false), ("  matchImages:\n  -r.example\n", false),
        ("  matchImages:\n  - - r.example\n", false), ("  matchImages:\n  # x\n  - r.example\n\n", true), ("  matchImages:\n  - r.example # x\n", true),
        ("  matchImages: # x\n  - r.example\n", true), ("  matchImages:\t[r.example]\n", true), ("  matchImages:\n  -\tr.example\n", false), ("\tmatchImages: [r.example]\n", false),
        ("  matchImages: [\"r.\\\n    example\"]\n", true), ("  matchImages: ['r.example\n    ']\n", false), ("  matchImages: !!seq [r.example]\n", true), ("  matchImages: &x [r.example]\n", true),
    ]),
    ("defaultCacheDuration: 0s", &[
        ("defaultCacheDuration: '0'", true), ("defaultCacheDuration: 0", false), ("defaultCacheDuration: 1d", false), ("defaultCacheDuration: ~", false),
        ("defaultCacheDuration: 10m", true), ("defaultCacheDuration: -1s", false), ("defaultCacheDuration: -0s", true), ("defaultCacheDuration: '-0'", true), ("defaultCacheDuration: 1h30m", true),
        ("defaultCacheDuration: '1h 30m'", false), ("defaultCacheDuration: 1.5h", true), ("defaultCacheDuration: .5s", true), ("defaultCacheDuration: 5.s", true), ("defaultCacheDuration: +5s", true),
        ("defaultCacheDuration: 1µs", true), ("defaultCacheDuration: 1μs", true), ("defaultCacheDuration: 9223372036854775807ns", true), ("defaultCacheDuration: 9223372036854775808ns", false),
        ("defaultCacheDuration: -9223372036854775808ns", false), ("defaultCacheDuration: 2562048h", false), ("defaultCacheDuration: 2562047h", true), ("defaultCacheDuration: 1H", false), ("defaultCacheDuration: ''", false),
        ("defaultCacheDuration: 0.1234567890123456789012345h", true), ("defaultCacheDuration: 1s1", false), ("defaultCacheDuration: PT1H", false), ("defaultCacheDuration: {}", false), ("defaultCacheduration: 0s", false), ("", false),
        ("defaultCacheDuration: 1e3s", false), ("defaultCacheDuration: 0.9223372036854775808000h", true), ("defaultCacheDuration: true", false), ("defaultCacheDuration: -0.1ns", true), ("defaultCacheDuration: 0x1s", false),
    ]),
    ("args: [get]", &[
        ("args: []", true), ("args: ~", true), ("args: get", false), ("args: [1]", false), ("args: ['1', ~]", true), ("args: {}", false), ("args: [[]]", false), ("", true), ("Args: []", false),
        ("args: [--x=y, -v, \"a b\"]", true), ("args:\n  - |\n    text\n     more\n\n  - >\n    a\n    b\n\n    c", true), ("args: [get, {a: b}]", false), ("args: [a\n    b]", true), ("args: [\"\\x41\\u00e9\\U0001F600\\n\\e\\_\\N\\L\\P\"]", true), ("args: [\"\\q\"]", false),
        ("args:\n  - |2\n      x", true), ("args:\n  - |+\n    x\n\n\n", true), ("args:\n  - >9\n    x", false), ("args: [{]", false), ("args: [}]", false), ("args: [a, b", false), ("args: ['\u{e9}']", true),
    ]),
    ("  - name: A\n    value: b\n", &[
        ("  - {name: A, value: b}\n", true), ("  - name: A\n", true), ("  - value: b\n", true), ("  - ~\n", true), ("  - {}\n", true), ("  - A=b\n", false), ("  - {name: A, valueFrom: {}}\n", false), ("  - {name: A, value: 1}\n", false),
        ("  - {name: A, name: B}\n", false), ("", true), ("  - {Name: A}\n", false), ("  - {name: A, value: ''}\n  - {name: A, value: ''}\n", true), ("    A: b\n", false), ("  - {name: A, value: b: c}\n", false), ("  - {name: A, value: 'b: c'}\n", true),
        ("  - {name: A, value}\n", true), ("  - {name: A, value:}\n", false), ("  - {name: A, value: }\n", true), ("  - {\"name\":A, value:b}\n", false), ("  - {\"name\":A}\n", true), ("  - {name: A, ? value : b}\n", true), ("  - {name: A, ? value}\n", true), ("  - ? name\n    : A\n", true), ("  - [name: A]\n", false), ("  - {name: A,}\n", true), ("  - {name: A,, value: x}\n", false), ("  - {name: A value: x}\n", false), ("  - {\"name\":\"A\",\"value\":\"b\"}\n", true), ("  - {name: http://x:1/y}\n", true),
    ]),
    ("serviceAccountTokenAudience: us", &[
        ("serviceAccountTokenAudience: ''", false), ("serviceAccountTokenAudience: ~", false), ("", false), ("serviceAccountTokenAudience: https://us.example/", true), ("serviceAccountTokenAudience: 1", false), ("serviceAccountTokenAudience: ' '", true),
    ]),
    ("cacheType: Token", &[
        ("cacheType: ServiceAccount", true), ("cacheType: token", false), ("cacheType: ''", false), ("cacheType: ~", false), ("", false), ("cacheType: serviceaccount", false), ("cachetype: Token", false), ("cacheType: Image", false),
    ]),
    ("requireServiceAccount: true", &[
        ("requireServiceAccount: false", false), ("requireServiceAccount: 'true'", false), ("requireServiceAccount: ~", false), ("", false), ("requireServiceAccount: yes", true), ("requireServiceAccount: On", true), ("requireServiceAccount: y", true),
        ("requireServiceAccount: no", false), ("requireServiceAccount: 1", false), ("requireServiceAccount: TRUE", true), ("requireServiceAccount: tRue", false), ("requireServiceAccount: [true]", false),
    ]),
    ("true\n    requiredServiceAccountAnnotationKeys: [a.example/b]", &[
        ("false", true), ("false\n    requiredServiceAccountAnnotationKeys: []", true), ("false\n    requiredServiceAccountAnnotationKeys: ~", true), ("true", true), ("off", true),
    ]),
    ("[a.example/b]", &[
        ("[a.example/b, c]", false), ("[a.example/b, a.example/b]", false), ("[A.Example/B, a.example/b]", true), ("[a/b/c]", false), ("[/b]", false), ("[a/]", false), ("['']", false), ("[~]", false), ("[a_b/c]", false), ("[a..b/c]", false),
        ("[-a]", false), ("[a.]", false), ("[a_b.c-d]", true), ("['\u{212a}ey']", true), ("['\u{130}x']", true), ("['é']", false), ("[1]", false), ("['1']", true), ("[eks.amazonaws.com/role-arn]", true), ("a", false), ("[C]", true),
        ("[aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg]", true), ("[aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg]", false),
    ]),
    ("    optionalServiceAccountAnnotationKeys: [c]\n", &[
        ("", true), ("    optionalServiceAccountAnnotationKeys: [c, c]\n", false), ("    optionalServiceAccountAnnotationKeys: [c, C]\n", true), ("    optionalServiceAccountAnnotationKeys: [a.example/b]\n", false), ("    optionalServiceAccountAnnotationKeys: [d e]\n", false),
        ("    optionalServiceAccountAnnotationKeys: [c]\n    other: x\n", false), ("    optionalServiceAccountAnnotationKeys: [c]", true), ("    optionalServiceAccountAnnotationKeys: [c]\n---\n}{ \"garbage\n", true), ("    optionalServiceAccountAnnotationKeys: [c]\n...\n\tgarbage: [\n", true),
        ("    optionalServiceAccountAnnotationKeys: [c]\n--- x: [\n", true), ("    optionalServiceAccountAnnotationKeys: [c]\n---x\n", false), ("    optionalServiceAccountAnnotationKeys: [c]\n%YAML 1.1\n", true), ("    optionalServiceAccountAnnotationKeys: [c]\n\t\n", false),
        ("    optionalServiceAccountAnnotationKeys: [c]\n  \n#x\n", true), ("    optionalServiceAccountAnnotationKeys: [c]\nx\n", false), ("    optionalServiceAccountAnnotationKeys: [c]\n]\n", false), ("    optionalServiceAccountAnnotationKeys: [c]\n- x\n", false),
    ]),
    ("  tokenAttributes:\n", &[
        ("  tokenAttributes: {\n", false), ("  tokenattributes:\n", false), ("  tokenAttributes: ~\n  x:\n", false), ("  tokenAttributes: []\n", false),
    ]),
];

/// Of the JSON file.
#[rustfmt::skip]
const IN_JSON: &[(&str, &str, bool)] = &[
    ("\"12h\"", "\"12h\"", true), ("\"12h\"", "12", false), ("\"12h\"", "null", false), ("\"12h\"", "\"\\u0031h\"", true), ("\"12h\"", "\"12h\", \"defaultCacheDuration\": \"1h\"", false),
    ("\"theirs\"", "null", false), ("\"theirs\"", "\"th\\u0065irs\"", true), ("\"theirs\"", "\"ours\\u0000\"", false), ("\"theirs\"", "\"\\ud800\"", false), ("\"theirs\"", "\"theirs\",", false), ("\"theirs\"", "'theirs'", false), ("\"theirs\"", "theirs", false),
    ("\"*.example\"", "null", true), ("\"*.example\"", "", false), ("\"*.example\"", "\"\"", true), ("\"*.example\"", "\"a\", 1", false), ("\"*.example\"", "\"a\",", false), ("[\"*.example\"]", "\"a\"", false), ("[\"*.example\"]", "{}", false), ("[\"*.example\"]", "null", false),
    ("[\"get\"]", "null", true), ("[\"get\"]", "[null]", true), ("[\"get\"]", "[1]", false), ("[\"get\"]", "\"get\"", false), ("[{\"name\": \"A\", \"value\": \"b\"}]", "null", true), ("[{\"name\": \"A\", \"value\": \"b\"}]", "[null, {}]", true), ("{\"name\": \"A\", \"value\": \"b\"}", "[]", false),
    ("\"value\"", "\"Value\"", false), ("\"value\"", "\"name\"", false), ("\"env\"", "\"Env\"", false), ("\"apiVersion\": \"kubelet", "\"APIVERSION\": \"kubelet", false), ("\"apiVersion\": \"kubelet", "\"apiVersion\": \"\", \"apiVersion\": \"kubelet", false),
    ("k8s.io/v1\"", "k8s.io/v1alpha1\"", true), ("k8s.io/v1\"", "k8s.io/v1beta1\"", true), ("k8s.io/v1beta1", "k8s.io/v1alpha1", true), ("k8s.io/v1beta1", "k8s.io/v1alpha2", false), ("]}]}\n", "]}]} x\n", false), ("]}]}\n", "]}]}\n---\n{}", false), ("]}]}\n", "]}]}", true), ("]}]}\n", "]}]", false),
    ("]}]}\n", "]}, {\"name\": \"ours\"}]}", false), ("]}]}\n", "], \"tokenAttributes\": null}]}", true), ("]}]}\n", "], \"tokenAttributes\": {}}]}", false), ("]}]}\n", "]}], \"x\": 1}", false), ("]}]}\n", "]}], \"x\": {\"y\": [[[[[[[[[[1]]]]]]]]]]}}", false), ("{\"apiVersion\"", "  \n{\"apiVersion\"", true),
    ("{\"apiVersion\"", "\u{feff}{\"apiVersion\"", true), ("{\"apiVersion\"", "\u{a0}{\"apiVersion\"", false), ("{\"apiVersion\"", "\u{b}{\"apiVersion\"", false), ("{\"apiVersion\"", "# x\n{\"apiVersion\"", true), ("{\"apiVersion\"", "---\n{\"apiVersion\"", true), ("{\"apiVersion\"", "--- {\"apiVersion\"", true),
    ("{\"apiVersion\"", "[{\"apiVersion\"", false), ("\"kind\": ", "// x\n\"kind\": ", false), ("\"kind\": ", "\"kind\" :\t", true),
];

/// Whole files.
#[rustfmt::skip]
const WHOLE: &[(&str, bool)] = &[
    ("", false), (" ", false), ("\n", false), ("{}", false), ("null", false), ("~", false), ("[]", false), ("x", false), ("---", false), ("---\n", false), ("...", false), ("# x", false), ("{", false), ("}", false), ("\"", false), ("k8s\u{0}", false), ("\u{0}", false), ("?", false), (":", false), ("-", false),
    ("apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\n", false), ("apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders: []\n", false),
    ("apiVersion: kubelet.config.k8s.io/__internal\nkind: CredentialProviderConfig\nProviders: [{Name: ours, APIVersion: credentialprovider.kubelet.k8s.io/v1, MatchImages: [a], DefaultCacheDuration: 0s}]\n", true),
    ("apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderRequest\n", false), ("apiVersion: credentialprovider.kubelet.k8s.io/v1\nkind: CredentialProviderRequest\nimage: x\n", false),
];
