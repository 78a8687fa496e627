//! Named cases and how they end for kubelet, containers/image and docker.
//!
//! Endings are written as `agreement::Expected` displays them. All credentials are made up.

use super::oracle::Case;

pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) case: Case,
    pub(crate) endings: [&'static str; 3],
}

/// All named cases.
pub(crate) fn all() -> Vec<Named> {
    let case = |document: &[u8], legacy, image: &str| Case {
        document: document.to_vec(),
        legacy,
        image: image.to_owned(),
    };
    let mut all = Vec::new();
    for (name, document, endings) in DOCUMENTS {
        all.push(Named {
            name,
            case: case(document, false, "r.example/x"),
            endings,
        });
    }
    for (name, document, endings) in LEGACY {
        all.push(Named {
            name,
            case: case(document, true, "r.example/x"),
            endings,
        });
    }
    for (name, value, endings) in ENTRIES {
        let document = [b"{\"auths\":{\"r.example\":", value, b"}}"].concat();
        all.push(Named {
            name,
            case: case(&document, false, "r.example/x"),
            endings,
        });
        // As the sibling of the entry that is hit, only a document error matters.
        let document = [
            b"{\"auths\":{\"other.example\":",
            value,
            b",\"r.example\":{\"auth\":\"dTpw\"}}}",
        ]
        .concat();
        let sibling = |ending| if ending == "error" { "error" } else { "u:p" };
        let endings = endings.map(sibling);
        all.push(Named {
            name,
            case: case(&document, false, "r.example/x"),
            endings,
        });
    }
    for (keys, image, endings) in KEYS {
        let entries: Vec<_> = keys
            .iter()
            .zip(["dTpw", "djpx", "dzpy"])
            .map(|(key, auth)| format!("{key:?}:{{\"auth\":{auth:?}}}"))
            .collect();
        let document = format!("{{\"auths\":{{{}}}}}", entries.join(","));
        all.push(Named {
            name: keys[0],
            case: case(document.as_bytes(), false, image),
            endings,
        });
    }
    let image = format!("r.example/{}", "a".repeat(250));
    let document = br#"{"auths":{"r.example":{"auth":"dTpw"}}}"#;
    let endings = ["u:p", "refused", "u:p"];
    all.push(Named {
        name: "long name",
        case: case(document, false, &image),
        endings,
    });
    for (name, depth, ending) in [("deep", 9999, "u:p"), ("too deep", 10_000, "error")] {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        let document =
            format!(r#"{{"x":{open}{close},"auths":{{"r.example":{{"auth":"dTpw"}}}}}}"#);
        let endings = [ending; 3];
        all.push(Named {
            name,
            case: case(document.as_bytes(), false, "r.example/x"),
            endings,
        });
    }
    all
}

type Row = (&'static str, &'static [u8], [&'static str; 3]);

/// Documents, looked up for `r.example/x`.
#[rustfmt::skip]
const DOCUMENTS: [Row; 44] = [
    ("empty file", b"", ["error", "error", "none"]),
    ("blank file", b" \n\t", ["error", "error", "none"]),
    ("empty object", b"{}", ["none", "none", "none"]),
    ("null", b"null", ["none", "none", "none"]),
    ("no auths", b"{\"x\":1}", ["none", "none", "none"]),
    ("null auths", b"{\"auths\":null}", ["none", "none", "none"]),
    ("array", b"[]", ["error", "error", "error"]),
    ("string", b"\"x\"", ["error", "error", "error"]),
    ("auths is an array", b"{\"auths\":[]}", ["error", "error", "error"]),
    ("auths is a string", b"{\"auths\":\"x\"}", ["error", "error", "error"]),
    ("byte order mark", b"\xef\xbb\xbf{\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}}", ["error", "error", "error"]),
    ("trailing bytes", b"{\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}} x", ["error", "error", "u:p"]),
    ("second value", b"{\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}}{}", ["error", "error", "u:p"]),
    ("trailing white space", b"{\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}}\r\n\t ", ["u:p", "u:p", "u:p"]),
    ("trailing NUL", b"{\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}}\0", ["error", "error", "u:p"]),
    ("cut off", b"{\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}", ["error", "error", "error"]),
    ("trailing comma", b"{\"auths\":{\"r.example\":{\"auth\":\"dTpw\"},}}", ["error", "error", "error"]),
    ("letter case of fields", b"{\"AUTHS\":{\"r.example\":{\"Auth\":\"dTpw\"}}}", ["u:p", "u:p", "u:p"]),
    ("long s and escapes in fields", "{\"auth\u{17f}\":{\"r.example\":{\"\\u0061uth\":\"dTpw\"}}}".as_bytes(), ["u:p", "u:p", "u:p"]),
    ("legacy body", b"{\"r.example\":{\"auth\":\"dTpw\"}}", ["none", "none", "none"]),
    ("equal keys", b"{\"auths\":{\"r.example\":{\"auth\":\"dTpw\"},\"r.example\":{\"auth\":\"djpx\"}}}", ["v:q", "v:q", "v:q"]),
    ("equal keys, second empty", b"{\"auths\":{\"r.example\":{\"auth\":\"dTpw\"},\"r.example\":{}}}", [":", "none", "none"]),
    ("equal keys, first broken", b"{\"auths\":{\"r.example\":{\"auth\":\"!\"},\"r.example\":{\"auth\":\"djpx\"}}}", ["error", "v:q", "v:q"]),
    ("two auths are merged", b"{\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}},\"auths\":{\"other\":{}}}", ["u:p", "u:p", "u:p"]),
    ("two auths, second null", b"{\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}},\"Auths\":null}", ["none", "none", "none"]),
    ("equal fields", b"{\"auths\":{\"r.example\":{\"auth\":\"dTpw\",\"AUTH\":\"djpx\"}}}", ["v:q", "v:q", "v:q"]),
    ("equal fields, second null", b"{\"auths\":{\"r.example\":{\"auth\":\"dTpw\",\"auth\":null}}}", ["u:p", "u:p", "u:p"]),
    ("bad HttpHeaders", b"{\"HttpHeaders\":{\"X\":1},\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}}", ["error", "u:p", "error"]),
    ("null HttpHeaders", b"{\"HttpHeaders\":null,\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}}", ["u:p", "u:p", "u:p"]),
    ("bad psFormat", b"{\"psFormat\":1,\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}}", ["u:p", "u:p", "error"]),
    ("bad plugins", b"{\"plugins\":{\"x\":{\"y\":true}},\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}}", ["u:p", "u:p", "error"]),
    ("bad proxies", b"{\"proxies\":{\"x\":{\"noProxy\":[]}},\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}}", ["u:p", "u:p", "error"]),
    ("bad pruneFilters", b"{\"pruneFilters\":[1],\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}}", ["u:p", "u:p", "error"]),
    ("unknown field of any type", b"{\"experimental\":[{\"a\":1}],\"auths\":{\"r.example\":{\"auth\":\"dTpw\",\"x\":[]}}}", ["u:p", "u:p", "u:p"]),
    ("credHelpers of the host", b"{\"credHelpers\":{\"r.example\":\"h\"},\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}}", ["u:p", "helper h", "helper h"]),
    ("credHelpers of a path", b"{\"credHelpers\":{\"r.example/x\":\"h\"},\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}}", ["u:p", "u:p", "u:p"]),
    ("empty credHelpers value", b"{\"credHelpers\":{\"r.example\":\"\"},\"credsStore\":\"s\",\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}}", ["u:p", "helper ", "u:p"]),
    ("null credHelpers value", b"{\"credHelpers\":{\"r.example\":null},\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}}", ["u:p", "helper ", "u:p"]),
    ("bad credHelpers", b"{\"credHelpers\":{\"r.example\":{}},\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}}", ["u:p", "error", "error"]),
    ("credsStore", b"{\"credsStore\":\"s\",\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}}", ["u:p", "u:p", "helper s"]),
    ("invalid UTF-8 in an unused string", b"{\"auths\":{\"r.example\":{\"auth\":\"dTpw\",\"email\":\"\xff\"}}}", ["u:p", "u:p", "u:p"]),
    ("install placeholder", b"{\"auths\":{\"fake\":{\"auth\":\"bar\"}}}", ["error", "none", "error"]),
    ("recommended placeholder", b"{\"auths\":{\"fake\":{\"auth\":\"aWQ6cGFzcwo=\"},\"r.example\":{\"auth\":\"dTpw\"}}}", ["u:p", "u:p", "u:p"]),
    ("user with a bar", b"{\"auths\":{\"r.example\":{\"auth\":\"MTIzfG5hbWU6cA==\"}}}", ["123|name:p", "123|name:p", "123|name:p"]),
];

/// Legacy files, looked up for `r.example/x`.
#[rustfmt::skip]
const LEGACY: [Row; 9] = [
    ("legacy", b"{\"r.example\":{\"auth\":\"dTpw\"}}", ["u:p", "u:p", "not read"]),
    ("legacy with a modern body", b"{\"auths\":{\"r.example\":{\"auth\":\"dTpw\"}}}", ["none", "none", "not read"]),
    ("legacy null", b"null", ["none", "none", "not read"]),
    ("legacy array", b"[]", ["error", "error", "not read"]),
    ("legacy empty", b"", ["error", "error", "not read"]),
    ("legacy entry of another type", b"{\"r.example\":{\"auth\":\"dTpw\"},\"other\":1}", ["error", "error", "not read"]),
    ("legacy API address", b"{\"https://r.example/v1/\":{\"auth\":\"dTpw\"}}", ["u:p", "u:p", "not read"]),
    ("legacy key is cut to its host", b"{\"r.example/team\":{\"auth\":\"dTpw\"}}", ["none", "u:p", "not read"]),
    ("legacy has no helpers", b"{\"r.example\":{\"auth\":\"dTpw\"},\"credHelpers\":{\"r.example\":\"h\"}}", ["u:p", "u:p", "not read"]),
];

/// Values of the entry `r.example`, looked up for `r.example/x`.
#[rustfmt::skip]
const ENTRIES: [Row; 45] = [
    ("auth", b"{\"auth\":\"dTpw\"}", ["u:p", "u:p", "u:p"]),
    ("padded", b"{\"auth\":\"dTpwdw==\"}", ["u:pw", "u:pw", "u:pw"]),
    ("unpadded", b"{\"auth\":\"dTpwdw\"}", ["u:pw", "broken", "error"]),
    ("half padded", b"{\"auth\":\"dTpwdw=\"}", ["error", "broken", "error"]),
    ("over-padded", b"{\"auth\":\"dTpw====\"}", ["error", "broken", "error"]),
    ("URL-safe alphabet", b"{\"auth\":\"dTo_-_8=\"}", ["error", "broken", "error"]),
    ("standard alphabet", b"{\"auth\":\"dTo/+/8=\"}", ["u:?\\xfb\\xff", "u:?\\xfb\\xff", "u:?\\xfb\\xff"]),
    ("CR and LF", b"{\"auth\":\"dTpw\\r\\ndw=\\n=\\n\"}", ["u:pw", "u:pw", "u:pw"]),
    ("space inside", b"{\"auth\":\"dTpw dw==\"}", ["error", "broken", "error"]),
    ("space around", b"{\"auth\":\" dTpwdw== \"}", ["error", "broken", "error"]),
    ("tab", b"{\"auth\":\"dTpw\\t\"}", ["error", "broken", "error"]),
    ("unused bits", b"{\"auth\":\"dTpwdx==\"}", ["u:pw", "u:pw", "u:pw"]),
    ("no colon", b"{\"auth\":\"dXNlcg==\"}", ["error", "none", "error"]),
    ("several colons", b"{\"auth\":\"dTpwOnE=\"}", ["u:p:q", "u:p:q", "u:p:q"]),
    ("empty user", b"{\"auth\":\"OnB3\"}", [":pw", ":pw", "error"]),
    ("only a colon", b"{\"auth\":\"Og==\"}", [":", "none", "error"]),
    ("only line ends", b"{\"auth\":\"\\n\"}", ["error", "none", "error"]),
    ("trailing NULs", b"{\"auth\":\"dTpwAAA=\"}", ["u:p\\x00\\x00", "u:p", "u:p"]),
    ("leading NUL", b"{\"auth\":\"dToAcA==\"}", ["u:\\x00p", "u:p", "u:p"]),
    ("newline in the password", b"{\"auth\":\"dTpwCg==\"}", ["u:p\\n", "u:p\\n", "u:p\\n"]),
    ("password is not UTF-8", b"{\"auth\":\"dTr//g==\"}", ["u:\\xff\\xfe", "u:\\xff\\xfe", "u:\\xff\\xfe"]),
    ("auth with escapes", b"{\"auth\":\"d\\u0054pw\"}", ["u:p", "u:p", "u:p"]),
    ("auth with a slash escape", b"{\"auth\":\"dTo\\/+\\/8=\"}", ["u:?\\xfb\\xff", "u:?\\xfb\\xff", "u:?\\xfb\\xff"]),
    ("auth with a lone surrogate", b"{\"auth\":\"dTpw\\ud800\"}", ["error", "broken", "error"]),
    ("auth with invalid UTF-8", b"{\"auth\":\"dTpw\xff\"}", ["error", "broken", "error"]),
    ("auth is a number", b"{\"auth\":1}", ["error", "error", "error"]),
    ("auth is null", b"{\"auth\":null}", [":", "none", "none"]),
    ("auth is empty", b"{\"auth\":\"\"}", [":", "none", "none"]),
    ("null entry", b"null", [":", "none", "none"]),
    ("empty entry", b"{}", [":", "none", "none"]),
    ("entry is a string", b"\"dTpw\"", ["error", "error", "error"]),
    ("entry is an array", b"[]", ["error", "error", "error"]),
    ("entry is a number", b"0", ["error", "error", "error"]),
    ("plain fields", b"{\"username\":\"u\",\"password\":\"p\"}", ["u:p", "none", "u:p"]),
    ("auth wins over plain fields", b"{\"username\":\"u\",\"password\":\"p\",\"auth\":\"djpx\"}", ["v:q", "v:q", "v:q"]),
    ("plain fields beside empty auth", b"{\"username\":\"u\",\"password\":\"p\",\"auth\":\"\"}", ["u:p", "none", "u:p"]),
    ("plain user is a number", b"{\"username\":1,\"auth\":\"dTpw\"}", ["error", "u:p", "error"]),
    ("email is a number", b"{\"email\":1,\"auth\":\"dTpw\"}", ["error", "u:p", "u:p"]),
    ("only an identity token", b"{\"identitytoken\":\"t\"}", [":", "none", ": identity t"]),
    ("identity token beside a colon", b"{\"identitytoken\":\"t\",\"auth\":\"Og==\"}", [":", ": identity t", "error"]),
    ("identity token beside the null user", b"{\"identitytoken\":\"t\",\"auth\":\"MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOg==\"}", ["00000000-0000-0000-0000-000000000000:", "00000000-0000-0000-0000-000000000000: identity t", "00000000-0000-0000-0000-000000000000: identity t"]),
    ("identity token is a number", b"{\"identitytoken\":1,\"auth\":\"dTpw\"}", ["u:p", "error", "error"]),
    ("registry token", b"{\"registrytoken\":\"t\"}", [":", "none", ": registry t"]),
    ("registry token is an array", b"{\"registrytoken\":[],\"auth\":\"dTpw\"}", ["u:p", "u:p", "error"]),
    ("server address is a number", b"{\"serveraddress\":1,\"auth\":\"dTpw\"}", ["u:p", "u:p", "error"]),
];

/// Keys with the credentials `u:p`, `v:q` and `w:r`, and an image.
#[rustfmt::skip]
const KEYS: [(&[&str], &str, [&str; 3]); 77] = [
    (&["r.example/team"], "r.example/team-evil/x", ["u:p", "none", "u:p"]),
    (&["r.example/team"], "r.example/team/x", ["u:p", "u:p", "u:p"]),
    (&["r.example/team/"], "r.example/team-evil/x", ["none", "none", "u:p"]),
    (&["r.example/team/"], "r.example/team/x", ["u:p", "none", "u:p"]),
    (&["r.example/team"], "r.example/other", ["none", "none", "u:p"]),
    (&["*.example.com"], "r.example.com/x", ["u:p", "none", "none"]),
    (&["*.example.com"], "a.r.example.com/x", ["none", "none", "none"]),
    (&["app*.example.com"], "app1.example.com/x", ["u:p", "none", "none"]),
    (&["*.example.com/team"], "r.example.com/team-evil/x", ["u:p", "none", "none"]),
    (&["r.example/*"], "r.example/x", ["none", "none", "u:p"]),
    (&["*"], "localhost/x", ["u:p", "none", "none"]),
    (&["https://r.example/team"], "r.example/other", ["none", "u:p", "u:p"]),
    (&["https://r.example"], "r.example/x", ["u:p", "u:p", "u:p"]),
    (&["http://r.example/v1/"], "r.example/x", ["u:p", "u:p", "u:p"]),
    (&["HTTPS://r.example"], "r.example/x", ["none", "none", "u:p"]),
    (&["r.example/v1/"], "r.example/x", ["u:p", "none", "u:p"]),
    (&["r.example/v2/team"], "r.example/team/x", ["u:p", "none", "u:p"]),
    (&["r.example/v1"], "r.example/x", ["none", "none", "u:p"]),
    (&["R.example"], "r.example/x", ["none", "none", "none"]),
    (&["R.example"], "R.example/x", ["u:p", "u:p", "u:p"]),
    (&["r.example:443"], "r.example/x", ["none", "none", "none"]),
    (&["r.example"], "r.example:443/x", ["none", "none", "none"]),
    (&["r.example:443"], "r.example:443/x", ["u:p", "u:p", "u:p"]),
    (&["r.example:"], "r.example/x", ["u:p", "none", "none"]),
    (&["https://r.example:"], "r.example/x", ["u:p", "none", "u:p"]),
    (&["user:pass@r.example"], "r.example/x", ["u:p", "none", "none"]),
    (&["https://user:pass@r.example"], "r.example/x", ["u:p", "none", "u:p"]),
    (&["r.example?query"], "r.example/x", ["u:p", "none", "none"]),
    (&["r.example#fragment"], "r.example/x", ["u:p", "none", "none"]),
    (&["r.example/%74eam"], "r.example/team/x", ["u:p", "none", "u:p"]),
    (&["r.example/te%2561m"], "r.example/team/x", ["u:p", "none", "u:p"]),
    (&["r.example/%zz", "r.example"], "r.example/x", ["v:q", "v:q", "v:q"]),
    (&["r.exa mple", "r.example"], "r.example/x", ["v:q", "v:q", "v:q"]),
    (&["r?example"], "r.example/x", ["none", "none", "none"]),
    (&["[a-r].example"], "r.example/x", ["none", "none", "none"]),
    (&["docker.io"], "docker.io/library/x", ["u:p", "u:p", "none"]),
    (&["docker.io"], "x", ["u:p", "u:p", "none"]),
    (&["https://index.docker.io/v1/"], "docker.io/library/x", ["u:p", "u:p", "u:p"]),
    (&["https://index.docker.io/v1/"], "index.docker.io/team/x", ["u:p", "u:p", "u:p"]),
    (&["https://index.docker.io/v1"], "x", ["none", "u:p", "none"]),
    (&["index.docker.io"], "x", ["u:p", "u:p", "none"]),
    (&["index.docker.io/v1/"], "x", ["u:p", "none", "none"]),
    (&["https://index.docker.io/v2/"], "x", ["u:p", "u:p", "none"]),
    (&["registry-1.docker.io"], "x", ["none", "u:p", "none"]),
    (&["docker.io/library"], "x", ["u:p", "u:p", "none"]),
    (&["docker.io/library/x"], "docker.io/library/y", ["none", "none", "none"]),
    (&["https://index.docker.io/v1/", "docker.io"], "x", ["v:q", "v:q", "u:p"]),
    (&["https://index.docker.io/v1/"], "docker.io.evil.example/x", ["none", "none", "none"]),
    (&["https://index.docker.io/v1/"], "registry-1.docker.io/x", ["none", "u:p", "none"]),
    (&["https://index.docker.io/v1/"], "localhost/x", ["u:p", "none", "none"]),
    (&["https://index.docker.io/v1/"], "Registry/x", ["u:p", "refused", "none"]),
    (&["r.example", "r.example/team"], "r.example/team/x", ["v:q, u:p", "v:q", "u:p"]),
    (&["r.example/a", "r.example/a/b", "r.example"], "r.example/a/b/c", ["v:q, u:p, w:r", "v:q", "w:r"]),
    (&["*.example/a/b", "r.example"], "r.example/a/b/c", ["v:q, u:p", "v:q", "v:q"]),
    (&["r.example", "https://r.example"], "r.example/x", ["u:p | v:q", "u:p", "u:p"]),
    (&["https://r.example/a", "http://r.example/b"], "r.example/x", ["none", "v:q | u:p", "v:q | u:p"]),
    (&["r.example/a", "r.example/b"], "r.example/x", ["none", "none", "u:p | v:q"]),
    (&["https://r.example/a", "r.example/b"], "r.example/x", ["none", "u:p", "u:p | v:q"]),
    (&["[::1]"], "[::1]/x", ["none", "refused", "u:p"]),
    (&["[::1]:5000"], "[::1]:5000/x", ["u:p", "refused", "u:p"]),
    (&["https://[::1]:5000/v1/"], "[::1]:5000/x", ["u:p", "refused", "u:p"]),
    (&["https://[::1]/"], "[::1]/x", ["none", "refused", "none"]),
    (&["https://::1:5000/"], "[::1]:5000/x", ["none", "refused", "u:p"]),
    (&["[fe80::1%2525A-Z]"], "Q/x", ["u:p", "refused", "none"]),
    (&["user:pa ss@r.example", "r.example#%"], "r.example/x", ["none", "none", "none"]),
    (&["r.[e]xample"], "r.example/x", ["none", "none", "none"]),
    (&["[A::]"], "A/x", ["u:p", "refused", "none"]),
    (&["127.0.0.1:5000"], "127.0.0.1:5000/x", ["u:p", "u:p", "u:p"]),
    (&["foo_bar.x"], "foo_bar.x/app", ["u:p", "u:p", "none"]),
    (&["/path"], "foo_bar.x/app", ["none", "none", "u:p"]),
    (&[""], "r.example/x", ["none", "none", "none"]),
    (&["http://https://r.example"], "r.example/x", ["none", "u:p", "none"]),
    (&["ftp://r.example/x"], "r.example/x", ["none", "none", "u:p"]),
    (&["//r.example://y"], "r.example/x", ["none", "none", "u:p"]),
    (&["a:b://r.example"], "r.example/x", ["none", "none", "u:p"]),
    (&["r.example/x", "r.example"], "r.example/x:tag", ["u:p, v:q", "u:p", "v:q"]),
    (&["r.example/x:tag"], "r.example/x:tag", ["none", "none", "u:p"]),
];
