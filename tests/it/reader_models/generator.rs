//! Random documents and images, biased to the strange.

use base64::prelude::{BASE64_STANDARD, Engine};

use super::oracle::Case;

/// A seeded source of cases: equal seeds give equal cases on all machines.
pub(crate) struct Generator {
    state: u64,
    logins: usize,
    /// The image of the case, which most keys are made from.
    image: String,
    /// How rare mistakes are. With many in one document only the first would be seen.
    care: usize,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: seed,
            logins: 0,
            image: String::new(),
            care: 1,
        }
    }

    pub(crate) fn case(&mut self) -> Case {
        self.logins = 0;
        self.image = self.image();
        self.care = [1, 10, 10, 100][self.below(4)];
        let legacy = self.one_in(6);
        let mut document = if self.one_in(40) {
            self.pick(WHOLE).as_bytes().to_vec()
        } else if legacy {
            self.entries()
        } else {
            self.config()
        };
        if self.mistake(8) {
            self.damage(&mut document);
        }
        Case {
            document,
            legacy,
            image: self.image.clone(),
        }
    }

    fn config(&mut self) -> Vec<u8> {
        let count = 1 + self.below(3);
        let mut first = !self.one_in(8);
        self.object(count, |generator| {
            let field = if first {
                "auths"
            } else {
                generator.pick(FIELDS)
            };
            first = false;
            let name = generator.string(field);
            let value = match field.to_ascii_lowercase().as_str() {
                _ if generator.mistake(10) => generator.wrong_type(),
                "experimental" => generator.tokens(),
                "auths" | "auth\u{17f}" => generator.entries(),
                "credhelpers" | "credhelper\u{17f}" => generator.helpers(),
                "credsstore" | "cred\u{17f}store" => generator.text(HELPERS),
                _ if generator.mistake(2) => generator.pick(SETTINGS).as_bytes().to_vec(),
                _ => generator.pick(&["null", "{}"]).as_bytes().to_vec(),
            };
            (name, value)
        })
    }

    fn entries(&mut self) -> Vec<u8> {
        let count = self.below(5);
        self.object(count, |generator| {
            let key = generator.key();
            (generator.string(&key), generator.entry())
        })
    }

    fn helpers(&mut self) -> Vec<u8> {
        let count = self.below(3);
        self.object(count, |generator| {
            let key = match generator.below(3) {
                0 => generator.pick(HOSTS).to_owned(),
                1 => generator.related_host(),
                _ => generator.key(),
            };
            let value = if generator.mistake(8) {
                generator.wrong_type()
            } else {
                generator.text(HELPERS)
            };
            (generator.string(&key), value)
        })
    }

    fn entry(&mut self) -> Vec<u8> {
        if self.mistake(6) {
            return self.wrong_type();
        }
        let count = if self.one_in(3) { self.below(4) } else { 0 };
        let plain = self.object(count, |generator| {
            let field = generator.pick(ENTRY_FIELDS);
            let value = match field {
                _ if generator.mistake(8) => generator.wrong_type(),
                _ if field.eq_ignore_ascii_case("auth") => generator.auth(),
                _ => generator.text(TEXTS),
            };
            (generator.string(field), value)
        });
        // Most entries are what people write.
        if plain == b"{}" && !self.one_in(12) {
            let auth = self.auth();
            return [b"{\"auth\":", auth.as_slice(), b"}"].concat();
        }
        plain
    }

    /// The `auth` field: each with another login, so that a pick can be recognised.
    fn auth(&mut self) -> Vec<u8> {
        self.logins += 1;
        let number = self.logins;
        let pair = match self.below(16) {
            0 => format!("u{number}:"),
            1 => format!("u{number}:p:q\n"),
            2 => format!("u{number}:\0p\0\0"),
            3 => "00000000-0000-0000-0000-000000000000:".to_owned(),
            4 => format!("ü{number}:pä\u{1f600}"),
            _ if self.mistake(8) => self.pick(&["", ":", ":p", "u"]).to_owned(),
            _ => format!("u{number}:p{number}"),
        };
        let mut bytes = pair.into_bytes();
        if self.one_in(16) {
            bytes.extend([0xff, 0xfb, 0xef]);
        }
        let mut text = BASE64_STANDARD.encode(bytes);
        match self.below(8) {
            0 => self.insert(&mut text, "\r\n"),
            1 => text = text.replace("Q=", "R=").replace("g=", "h="),
            2 if self.mistake(1) => text = text.trim_end_matches('=').to_owned(),
            3 if self.mistake(1) => text = text.replace('+', "-").replace('/', "_"),
            4 if self.mistake(1) => {
                let part = self.pick(&[" ", "=", "!", "\u{a0}", "-", "\t"]);
                self.insert(&mut text, part);
            }
            5 if self.mistake(1) => text.push_str(self.pick(&["=", "\n", " ", "===="])),
            6 if self.mistake(1) => text = text.replace("==", "="),
            _ => {}
        }
        self.string(&text)
    }

    fn key(&mut self) -> String {
        let scheme = if self.one_in(3) {
            self.pick(SCHEMES)
        } else {
            ""
        };
        let user = if self.one_in(15) {
            self.pick(USERS)
        } else {
            ""
        };
        let host = if self.one_in(4) {
            self.pick(HOSTS).to_owned()
        } else {
            self.related_host()
        };
        let path = match self.below(6) {
            0 => self.pick(PATHS).to_owned(),
            1 | 2 => self.related_path(),
            3 => self.pick(&PATHS[..4]).to_owned(),
            _ => String::new(),
        };
        format!("{scheme}{user}{host}{path}")
    }

    /// The host of the image, one of its other names, or a pattern that may match it.
    fn related_host(&mut self) -> String {
        let host = self
            .image
            .split_once('/')
            .map_or("docker.io", |(host, _)| host)
            .to_owned();
        match (host.as_str(), self.below(12)) {
            ("docker.io" | "index.docker.io", 0..8) => self.pick(HUB).to_owned(),
            (_, 0) => {
                let mut labels: Vec<_> = host.split('.').collect();
                let at = self.below(labels.len());
                labels[at] = self.pick(&["*", "**", "r*", "*e", "*x*", "R*"]);
                labels.join(".")
            }
            (_, 1) => format!("{host}:5000"),
            (_, 2) => host
                .trim_end_matches(|character: char| character.is_ascii_digit())
                .to_owned(),
            (_, 3) => host.to_uppercase(),
            (_, 4) => host.replace(['[', ']'], ""),
            (_, 5) if !host.contains(['.', ':']) => self.pick(HUB).to_owned(),
            _ => host,
        }
    }

    /// The beginning of the image's repository, which often ends with a segment.
    fn related_path(&mut self) -> String {
        let repository = self
            .image
            .split_once('/')
            .map_or("library/x", |(_, path)| path)
            .to_owned();
        let repository = repository.split([':', '@']).next().unwrap_or_default();
        let mut end = self.below(repository.len() + 1);
        while !repository.is_char_boundary(end) || (self.one_in(2) && end < repository.len()) {
            end += 1;
        }
        if self.one_in(3) {
            end = repository[..end].rfind('/').unwrap_or(repository.len());
        }
        format!("/{}", &repository[..end])
    }

    fn image(&mut self) -> String {
        if self.one_in(6) {
            return self.pick(IMAGES).to_owned();
        }
        let host = if self.one_in(8) {
            self.pick(HOSTS)
        } else {
            self.pick(&HOSTS[..9])
        };
        let path = self.pick(REPOSITORIES);
        format!("{host}/{path}")
    }

    /// Tokens of JSON, mostly in an order that makes a value.
    fn tokens(&mut self) -> Vec<u8> {
        let mut text = self.pick(TOKENS).as_bytes().to_vec();
        for _ in 0..self.below(4) {
            text = match self.below(5) {
                0 => [b"[", text.as_slice(), b"]"].concat(),
                1 => [b"{\"a\":", text.as_slice(), b"}"].concat(),
                2 => [b"[1,", text.as_slice(), b"]"].concat(),
                3 => [b" ", text.as_slice(), b"\n"].concat(),
                _ => text,
            };
        }
        if self.one_in(8) {
            text.extend(self.pick(TOKENS).as_bytes());
        }
        text
    }

    /// A value that is not what belongs there, or null, which does.
    fn wrong_type(&mut self) -> Vec<u8> {
        self.pick(&[
            "null",
            "null",
            "1",
            "true",
            "[]",
            "{}",
            "\"\"",
            "\"x\"",
            "[{}]",
            "{\"a\":1}",
            "-0.0e1",
        ])
        .as_bytes()
        .to_vec()
    }

    fn text(&mut self, texts: &[&str]) -> Vec<u8> {
        let text = self.pick(texts).to_owned();
        self.string(&text)
    }

    /// An object with random white space, of which one member may stand twice.
    fn object(
        &mut self,
        count: usize,
        mut member: impl FnMut(&mut Self) -> (Vec<u8>, Vec<u8>),
    ) -> Vec<u8> {
        let mut members: Vec<_> = (0..count).map(|_| member(self)).collect();
        if count > 0 && self.one_in(6) {
            let name = members[self.below(count)].0.clone();
            let value = member(self).1;
            members.push((name, value));
        }
        let space = if self.one_in(4) {
            self.pick(&[" ", "\n", "\r\n\t", "  "])
        } else {
            ""
        };
        let members: Vec<_> = members
            .into_iter()
            .map(|(name, value)| [space.as_bytes(), &name, b":", space.as_bytes(), &value].concat())
            .collect();
        [
            b"{",
            members.join(&b","[..]).as_slice(),
            space.as_bytes(),
            b"}",
        ]
        .concat()
    }

    /// A JSON string that is the text, or nearly so: with escapes, lone surrogates or invalid
    /// UTF-8.
    fn string(&mut self, text: &str) -> Vec<u8> {
        let escaped = self.one_in(8);
        let mut literal = b"\"".to_vec();
        for character in text.chars() {
            let mut buffer = [0; 4];
            match character {
                '/' if escaped && self.one_in(2) => literal.extend(b"\\/"),
                '"' | '\\' => literal.extend([b'\\', u8::try_from(character).unwrap()]),
                _ if character < ' ' || (escaped && self.one_in(4)) => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        literal.extend(format!("\\u{unit:04x}").bytes());
                    }
                }
                _ => literal.extend(character.encode_utf8(&mut buffer).bytes()),
            }
        }
        if self.mistake(15) {
            let odd = [
                &b"\xff"[..],
                b"\xe2\x82",
                b"\xed\xa0\x80",
                b"\\ud800",
                b"\\udc00\\ud800",
                b"\\u0000",
            ];
            literal.extend(odd[self.below(odd.len())]);
        }
        literal.push(b'"');
        literal
    }

    fn damage(&mut self, document: &mut Vec<u8>) {
        let at = self.below(document.len() + 1);
        match self.below(9) {
            0 => document.splice(0..0, *b"\xef\xbb\xbf").for_each(drop),
            1 => document.extend(b" "),
            2 => document.extend(b" x"),
            3 => document.extend(b"{}"),
            4 => document.push(0),
            5 => document.truncate(at),
            6 => document.insert(at, 0xff),
            7 => document.insert(at, b" \n\t,:\"\\{}[]0"[self.below(12)]),
            _ => {
                if at < document.len() {
                    document.remove(at);
                }
            }
        }
    }

    fn insert(&mut self, text: &mut String, part: &str) {
        let at = self.below(text.len() + 1);
        text.insert_str(at, part);
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    /// One in `chances` in a careless document, and fewer in others.
    fn mistake(&mut self, chances: usize) -> bool {
        self.one_in(chances * self.care)
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    fn below(&mut self, bound: usize) -> usize {
        // SplitMix64 (Steele, Lea and Flood, 2014).
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % u64::try_from(bound).unwrap()).unwrap()
    }
}

#[rustfmt::skip]
const WHOLE: &[&str] = &[
    "", " ", "\n", "null", "nullx", " null ", "[]", "1", "01", "\"x\"", "{}", "{", "{}x", "{} {",
    "nul", "{\"auths\":null}", "\u{feff}{}", "{}\u{a0}",
];

#[rustfmt::skip]
const FIELDS: &[&str] = &[
    "auths", "auths", "auths", "auths", "auths", "auths", "auths", "auths", "auths", "auths",
    "auths", "auths", "AUTHS", "auth\u{17f}", "credHelpers", "credHelpers", "credHelper\u{17f}",
    "CREDHELPERS", "credsStore", "credsstore", "cred\u{17f}Store", "HttpHeaders", "HTTPHEADERS",
    "psFormat", "PSFORMAT", "plugins", "proxies", "aliases", "features", "experimental", "experimental", "experimental", "pruneFilters",
    "cliPluginsExtraDirs", "detachKeys", "detach\u{212a}eys", "currentContext", "experimental",
    "Filename", "auth", "authss", "\u{c0}uths", "configFormat",
];

#[rustfmt::skip]
const SETTINGS: &[&str] = &[
    "null", "\"x\"", "1", "true", "{}", "[]", "{\"a\":\"b\"}", "{\"a\":null}", "{\"a\":1}",
    "[\"a\",null]", "[1]", "{\"a\":{\"httpProxy\":\"x\",\"NOPROXY\":null,\"y\":1}}",
    "{\"a\":{\"ftpProxy\":1}}", "{\"a\":{\"b\":\"c\"}}",
];

#[rustfmt::skip]
const TOKENS: &[&str] = &[
    "null", "true", "false", "0", "-0", "1.5e-3", "1E+2", "\"\"", "\"\\ud800\"", "\"\\\"\\\\\\/\\b\\f\"",
    "\"\u{7f}\u{2028}\"", "{}", "[]", "[[],{}]", "{\"a\":1,\"a\":2}", "01", "-", "1.", ".5", "1e", "+1",
    "nul", "True", "NaN", "\"", "\"\\x\"", "\"\\u12g4\"", "\"\\u12\"", "\"\t\"", "'a'", "{\"a\"}", "{a:1}", "{\"a\":1,}",
    "[1,]", "[,]", "[1 2]", "{\"a\" 1}", "]", "}", ":", ",", "//", "\u{feff}", "\u{a0}", "\u{b}", "\u{c}",
];

#[rustfmt::skip]
const ENTRY_FIELDS: &[&str] = &[
    "auth", "auth", "auth", "auth", "auth", "AUTH", "Auth", "username", "USERNAME", "password",
    "pa\u{17f}\u{17f}word", "email", "identitytoken", "IdentityToken", "registrytoken",
    "serveraddress", "unknown", "aut",
];

#[rustfmt::skip]
const TEXTS: &[&str] = &[
    "", "t1", "t2", "ä\u{1f600}", "a:b", "\0", "\n", "\"\\",
];

#[rustfmt::skip]
const HELPERS: &[&str] = &[
    "", "none", "ecr-login", "a b", "ä", "a/b", "\"quoted\"",
];

/// The first nine are the likely registries of images.
#[rustfmt::skip]
const HOSTS: &[&str] = &[
    "r.example", "r.example:5000", "docker.io", "localhost", "[::1]:5000", "a.r.example", "quay.io",
    "index.docker.io", "registry-1.docker.io", "R.example", "*.example", "*.example:5000", "r.*",
    "*.*", "*", "a.*.example", "*r*.example", "r.example:443", "r.example:", "r.example:1:2",
    "r.example:x", "localhost:5000", "[::1]", "[::2]:5000", "[2001:DB8::1]:443",
    "[::ffff:1.2.3.4]:5000", "::1", "::1:5000", "[A::]", "[fe80::1%2525A-Z]", "[fe80::1%25eth0]:5000",
    "[fe80::1%2525A-Z]", "[::1", "[1.2.3.4]", "A", "Foo", "foo_bar.x", "127.0.0.1:5000",
    "[a-r].example", "r.[a-e]xample", "r?example", "r\\.example", "r.ex%61mple", "r.example%20", "h\u{e9}.example",
    "r.exampl%C3%A9", "r.example ", "r.example.", ".r.example", "", "auths", "r.example\u{7f}",
];

#[rustfmt::skip]
const HUB: &[&str] = &[
    "docker.io", "index.docker.io", "registry-1.docker.io", "https://index.docker.io/v1/",
    "https://index.docker.io/v1/", "https://index.docker.io/v1/", "index.docker.io/v1/",
    "https://index.docker.io/v2/", "http://index.docker.io/", "https://index.docker.io/v1", "*.io",
    "https://registry-1.docker.io/v2/",
];

#[rustfmt::skip]
const SCHEMES: &[&str] = &[
    "https://", "https://", "https://", "https://", "http://", "http://", "HTTPS://", "ftp://",
    "http://https://", "https://http://", "://", "x+y://", "1://", "//", "///", "a:b://",
];

#[rustfmt::skip]
const USERS: &[&str] = &[
    "user@", "user:pass@", "us er@", "a@b@", "%41@", "%zz@", "@",
];

#[rustfmt::skip]
const PATHS: &[&str] = &[
    "/", "/", "/v1/", "/v1/", "/v2/", "/v1", "/v2", "/team", "/team", "/team", "/team/", "/te",
    "/team/app", "/team/app", "/team/app/", "/team/ap", "/team/app/x", "/library", "/library/x",
    "/x", "/v1/team", "/v2/team/app", "/v2//team", "/v1/v1/", "//", "//team", "/te%61m",
    "/te%2561m", "/team%2fapp", "/%3fq", "/%23", "/team%3Fq", "/team?q", "/team#f", "/team#%zz",
    "/%zz", "/%", "?q", "?", "#f", "#", "/*", "/team/*", "/team:tag", "/team\u{0}", "/te\tam",
    "/team%ff", "/a://b",
];

#[rustfmt::skip]
const REPOSITORIES: &[&str] = &[
    "x", "x", "team", "team/app", "team/app", "team/app", "team-evil/app", "team/app/x/y",
    "library/x", "other", "v1/team", "team/app:tag", "v2/x",
    "team/app@sha256:7cc4b5aefd1d0cadf8d97d4350462ba51c694ebca145b08d7d41b41acc8db5aa",
];

#[rustfmt::skip]
const IMAGES: &[&str] = &[
    "x", "team/app", "x:tag",
    "ubuntu@sha256:7cc4b5aefd1d0cadf8d97d4350462ba51c694ebca145b08d7d41b41acc8db5aa", "docker.io/x",
    "index.docker.io/x", "index.docker.io/team/app", "docker.io/library/x",
    "docker.io.evil.example/x", "registry-1.docker.io/library/x", "R.example/team/app", "Foo/app",
    "A/x", "Z/x", "[2001:db8::1]:443/x", "[2001:DB8::1]:443/x", "[ABC]/x", "[::1]/team/app",
    "[zz]/x", "::1/x", "127.0.0.1:5000/team/app", "foo_bar.x/app", "foo_bar.x/team/app:tag",
    "foo_bar:80/x", "a.example/app", "a.b.r.example/x", "r.example:5000/team/app",
    "h\u{e9}.example/x", "UPPER", "r.example/Team", "r.example/a__b.c-d---e/x", "r.example/a___b",
    "7cc4b5aefd1d0cadf8d97d4350462ba51c694ebca145b08d7d41b41acc8db5aa", "",
];
