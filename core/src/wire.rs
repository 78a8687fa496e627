//! What helper and agent say to each other over the Unix socket: HTTP/1.1 with JSON bodies.
//!
//! ```text
//! POST /v1/credential   Request          200 found · 404 not ours · 503 ours, but unavailable
//! POST /v1/store        StoreRequest     200 ignored · 403 refused
//! GET  /v1/registries                    200 {"<registry>": "<user name>"}
//! ```
//!
//! The outcome is in the body as well as in the status, so that `curl` and programs see the same. A change that an older
//! side would misunderstand gets another version in the path; unknown fields are ignored.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::query::{Query, QueryError};

/// Where credentials are asked for.
pub const CREDENTIAL: &str = "/v1/credential";
/// Where login tools' wish to store is answered.
pub const STORE: &str = "/v1/store";
/// Where the registries with an entry of their own are listed.
pub const REGISTRIES: &str = "/v1/registries";
/// The agent's socket when nobody configured another one.
pub const DEFAULT_SOCKET: &str = "/run/pullkeeper/broker.sock";
/// Larger bodies are refused on both sides: a service-account token has some kilobytes, annotations at most 256 KiB.
pub const LONGEST_BODY: usize = 1 << 20;

/// A text that is wiped on drop and not shown.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text. Not for logs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// A question for a credential, as the client put it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "client",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Request {
    /// A client of the docker credential helper protocol.
    Docker {
        /// The server string as it was on standard input.
        server: String,
    },
    /// kubelet.
    Kubelet {
        /// The image, normalised, without tag and digest.
        image: String,
        /// The pod's service-account token, for the audience that kubelet's configuration has (KEP-4412).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service_account_token: Option<Secret>,
        /// Annotations of the service account that kubelet's configuration passes on.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        service_account_annotations: BTreeMap<String, String>,
    },
}

impl Request {
    /// Which registry and repository it is about.
    pub fn query(&self) -> Result<Query, QueryError> {
        match self {
            Self::Docker { server } => Query::of_server(server),
            Self::Kubelet { image, .. } => Query::of_image(image),
        }
    }
}

/// One of three outcomes. None of them is ever told as another one: clients go on anonymously after "not ours", so an
/// outage told as that would look like a missing login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Answer {
    /// Here it is.
    Found {
        /// The user name; `<token>` when the secret is an identity token.
        username: String,
        /// Password or token.
        secret: Secret,
    },
    /// The agent has nothing for this registry.
    NotOurs,
    /// The registry is the agent's, and there is no credential now.
    Unavailable {
        /// One line: what failed, and what to do about it. No secret.
        message: String,
    },
}

/// A login tool's wish to store a credential. The secret itself stays with the helper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreRequest {
    /// The server string.
    pub server: String,
}

/// What becomes of a wish to store or erase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum StoreAnswer {
    /// Nothing is stored, and the tool goes on as if it were.
    Ignored,
    /// The tool is told that it cannot.
    Refused {
        /// One line.
        message: String,
    },
}

/// Why an answer cannot be read. Quotes nothing of it.
#[derive(Debug, Error)]
pub enum WireError {
    /// The bytes are no HTTP/1 response with a body of reasonable size.
    #[error("the agent's answer is no HTTP response")]
    NotHttp,
    /// The body is not the JSON that was expected.
    #[error("the agent answered with HTTP status {status} and something else than an answer")]
    NotAnAnswer {
        /// The status line's number.
        status: u16,
    },
}

/// The bytes of a request, with a body or without; the connection is to be closed after the answer.
pub fn http_request<T: Serialize>(path: &str, body: Option<&T>) -> Zeroizing<Vec<u8>> {
    let json = match body {
        // Plain structs with string keys always have a JSON form.
        Some(body) => Zeroizing::new(serde_json::to_vec(body).unwrap_or_default()),
        None => Zeroizing::default(),
    };
    let method = if body.is_some() { "POST" } else { "GET" };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: pullkeeper\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        json.len()
    );
    let mut bytes = Zeroizing::new(Vec::with_capacity(head.len() + json.len()));
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(&json);
    bytes
}

/// Reads the whole of a response to a request that asked for the connection to be closed.
pub fn read_response<'r, T: Deserialize<'r>>(response: &'r [u8]) -> Result<T, WireError> {
    const END: &[u8] = b"\r\n\r\n";
    let end = response
        .windows(END.len())
        .position(|window| window == END)
        .ok_or(WireError::NotHttp)?;
    let (head, body) = (&response[..end], &response[end + END.len()..]);
    let head = std::str::from_utf8(head).map_err(|_| WireError::NotHttp)?;
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let version = words.next().filter(|word| word.starts_with("HTTP/1."));
    let status = words.next().and_then(|word| word.parse().ok());
    let (Some(_), Some(status)) = (version, status) else {
        return Err(WireError::NotHttp);
    };
    if body.len() > LONGEST_BODY {
        return Err(WireError::NotHttp);
    }
    serde_json::from_slice(body).map_err(|_| WireError::NotAnAnswer { status })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn response(status: &str, body: &str) -> Vec<u8> {
        format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n\r\n{body}").into_bytes()
    }

    #[test]
    fn requests_and_answers_have_stable_forms() {
        let docker = Request::Docker {
            server: "quay.io".to_owned(),
        };
        let json = r#"{"client":"docker","server":"quay.io"}"#;
        assert_eq!(serde_json::to_string(&docker).unwrap(), json);
        let kubelet = Request::Kubelet {
            image: "quay.io/a".to_owned(),
            service_account_token: Some(Secret::new("t".to_owned())),
            service_account_annotations: BTreeMap::from([("a/b".to_owned(), "c".to_owned())]),
        };
        let json = r#"{"client":"kubelet","image":"quay.io/a","serviceAccountToken":"t","serviceAccountAnnotations":{"a/b":"c"}}"#;
        assert_eq!(serde_json::to_string(&kubelet).unwrap(), json);
        assert_eq!(serde_json::from_str::<Request>(json).unwrap(), kubelet);
        assert!(!format!("{kubelet:?}").contains("\"t\""));
        let found = Answer::Found {
            username: "u".to_owned(),
            secret: Secret::new("p".to_owned()),
        };
        let json = r#"{"outcome":"found","username":"u","secret":"p"}"#;
        assert_eq!(serde_json::to_string(&found).unwrap(), json);
        assert_eq!(
            serde_json::to_string(&Answer::NotOurs).unwrap(),
            r#"{"outcome":"not-ours"}"#
        );
    }

    #[test]
    fn a_request_is_http_with_its_length() {
        let request = Request::Docker {
            server: "quay.io".to_owned(),
        };
        let bytes = http_request(CREDENTIAL, Some(&request));
        let text = std::str::from_utf8(&bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /v1/credential HTTP/1.1\r\n"));
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        assert!(http_request::<()>(REGISTRIES, None).starts_with(b"GET /v1/registries "));
    }

    #[test]
    fn what_is_no_answer_is_told_without_quoting_it() {
        let read = |bytes: &[u8]| read_response::<Answer>(bytes).map_err(|error| error.to_string());
        let good = response("404 Not Found", r#"{"outcome":"not-ours","later":1}"#);
        assert_eq!(read(&good), Ok(Answer::NotOurs));
        assert!(read(b"").unwrap_err().contains("no HTTP response"));
        assert!(read(b"SSH-2.0\r\n\r\n").is_err());
        let error = read(&response("502 Bad Gateway", "hunter2")).unwrap_err();
        assert!(
            error.contains("502") && !error.contains("hunter2"),
            "{error}"
        );
        let unknown = response("200 OK", r#"{"outcome":"else"}"#);
        assert!(read(&unknown).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_response::<Answer>(&bytes);
        }
    }
}
