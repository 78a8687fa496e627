//! The process that runs the real readers.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::prelude::{BASE64_STANDARD, Engine};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// A document and an image to look up in it.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) document: Vec<u8>,
    /// The document is a `.dockercfg` and not a `config.json`.
    pub(crate) legacy: bool,
    pub(crate) image: String,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = if self.legacy { "legacy" } else { "modern" };
        write!(
            f,
            "{shape} b\"{}\" image {:?}",
            self.document.escape_ascii(),
            self.image
        )
    }
}

pub(crate) struct Oracle {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    pub(crate) fn start() -> Self {
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("readers/build");
        let built = Command::new(build)
            .stderr(Stdio::inherit())
            .output()
            .expect("tests/readers/build");
        assert!(
            built.status.success(),
            "tests/readers/build failed: {}",
            built.status
        );
        let program = String::from_utf8(built.stdout).expect("a path");
        let mut child = Command::new(program.trim_end())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("reader-oracle");
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self {
            child,
            requests,
            answers,
        }
    }

    /// What the client does with a case, asked `repeat` times.
    pub(crate) fn ask(&mut self, client: Client, case: &Case, repeat: usize) -> Answer {
        self.exchange(&serde_json::json!({
            "client": client.as_str(),
            "document": BASE64_STANDARD.encode(&case.document),
            "legacy": case.legacy,
            "image": case.image,
            "repeat": repeat,
        }))
    }

    /// Sends one request and waits for its answer.
    pub(crate) fn exchange<A: DeserializeOwned>(&mut self, request: &serde_json::Value) -> A {
        let mut line = request.to_string();
        line.push('\n');
        let requests = self.requests.as_mut().expect("open until dropped");
        requests
            .write_all(line.as_bytes())
            .expect("the oracle reads");
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .expect("the oracle answers");
        serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("{error}: {answer:?} to {request}"))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        drop(self.requests.take());
        self.child.wait().expect("the oracle ends with its input");
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    /// `None` when upstream refuses the image reference.
    pub(crate) image: Option<Image>,
    /// The different outcomes.
    #[serde(deserialize_with = "or_default")]
    pub(crate) outcomes: Vec<Outcome>,
}

/// Who reads the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Client {
    Kubelet,
    PullSecret,
    Containers,
    Docker,
}

impl Client {
    pub(crate) const ALL: [Self; 4] = [
        Self::Kubelet,
        Self::PullSecret,
        Self::Containers,
        Self::Docker,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Kubelet => "kubelet",
            Self::PullSecret => "pull-secret",
            Self::Containers => "containers",
            Self::Docker => "docker",
        }
    }

    /// Whether the client reads documents of the case's shape; docker/cli has dropped the legacy
    /// one.
    pub(crate) fn reads(self, case: &Case) -> bool {
        !(self == Self::Docker && case.legacy)
    }
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Image {
    pub(crate) domain: String,
    pub(crate) path: String,
    pub(crate) tag: String,
    pub(crate) digest: String,
}

/// How one lookup ended; the default is that nothing was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Outcome {
    pub(crate) document_error: bool,
    pub(crate) image_error: bool,
    pub(crate) lookup_error: bool,
    pub(crate) helper: Option<String>,
    pub(crate) credentials: Vec<Login>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Login {
    #[serde(deserialize_with = "bytes")]
    pub(crate) username: Vec<u8>,
    #[serde(deserialize_with = "bytes")]
    pub(crate) password: Vec<u8>,
    #[serde(deserialize_with = "bytes")]
    pub(crate) identity_token: Vec<u8>,
    #[serde(deserialize_with = "bytes")]
    pub(crate) registry_token: Vec<u8>,
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}",
            self.username.escape_ascii(),
            self.password.escape_ascii()
        )?;
        for (kind, token) in [
            ("identity", &self.identity_token),
            ("registry", &self.registry_token),
        ] {
            if !token.is_empty() {
                write!(f, " {kind} {}", token.escape_ascii())?;
            }
        }
        Ok(())
    }
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let encoded = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    BASE64_STANDARD
        .decode(encoded)
        .map_err(serde::de::Error::custom)
}
