//! The docker credential helper protocol, as github.com/docker/docker-credential-helpers speaks it (v0.9).
//!
//! Errors go to standard output with exit status 1. Three sentences are compared by clients to the letter.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Output, one_line};
use crate::json::folds_to;
use crate::query::{Query, QueryError};
use crate::wire::{Answer, Request, StoreAnswer, StoreRequest};

/// After this sentence clients go on anonymously, or to their next source.
pub const NOT_FOUND: &str = "credentials not found in native keychain";
const NO_SERVER: &str = "no credentials server URL";
const NO_USERNAME: &str = "no credentials username";

/// What the helper is asked to do, by its one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Hand out a credential.
    Get,
    /// Keep one.
    Store,
    /// Forget one.
    Erase,
    /// Name the registries.
    List,
    /// Name the program.
    Version,
    /// Explain the usage.
    Help,
}

impl Action {
    /// The action of this argument.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "get" => Self::Get,
            "store" => Self::Store,
            "erase" => Self::Erase,
            "list" => Self::List,
            "version" | "--version" | "-v" => Self::Version,
            "help" | "--help" | "-h" => Self::Help,
            _ => return None,
        })
    }
}

/// The usage text; with an exit status of its own where nobody asked for it.
pub fn usage(program: &str, asked: bool) -> Output {
    Output {
        status: u8::from(!asked),
        ..Output::success(format!("Usage: {program} <store|get|erase|list|version>\n"))
    }
}

/// The answer to a word that is no action.
pub fn unknown_action(program: &str, word: &str) -> Output {
    failure(&format!("{program}: unknown action: {}", one_line(word)))
}

/// `version`.
pub fn version(program: &str, version: &str) -> Output {
    Output::success(format!("{program} (pullkeeper) {version}\n"))
}

/// The request on the standard input of `get`. What cannot name a registry is answered at once.
pub fn get(stdin: &[u8]) -> Result<Request, Output> {
    server(stdin).map(|server| Request::Docker { server })
}

/// The server on the standard input of `erase`.
pub fn erase(stdin: &[u8]) -> Result<StoreRequest, Output> {
    server(stdin).map(|server| StoreRequest { server })
}

/// The request on the standard input of `store`. Of the credential only its presence is looked at.
pub fn store(stdin: &[u8]) -> Result<StoreRequest, Output> {
    #[derive(Default)]
    struct Credential {
        server: String,
        has_user: bool,
    }
    let text = crate::json::Text::new(stdin);
    let root = text
        .parse_first()
        .map_err(|_| failure("the credential on standard input is no JSON"))?;
    let mut credential = Credential::default();
    for member in root.members().into_iter().flatten() {
        let value = member.value.text();
        if folds_to(&member.name, "ServerURL") {
            credential.server = value.unwrap_or_default().into_owned();
        } else if folds_to(&member.name, "Username") {
            credential.has_user = value.is_some_and(|user| !user.is_empty());
        }
    }
    let server = server(credential.server.as_bytes())?;
    if !credential.has_user {
        return Err(failure(NO_USERNAME));
    }
    Ok(StoreRequest { server })
}

/// What `get` prints for an answer; `server` is the text that was asked for.
pub fn answer(server: &str, answer: &Answer) -> Output {
    match answer {
        Answer::Found { username, secret } => {
            #[derive(Serialize)]
            #[serde(rename_all = "PascalCase")]
            struct Credential<'a> {
                #[serde(rename = "ServerURL")]
                server_url: &'a str,
                username: &'a str,
                secret: &'a str,
            }
            json(&Credential {
                server_url: server,
                username,
                secret: secret.expose(),
            })
        }
        Answer::NotOurs => failure(NOT_FOUND),
        Answer::Unavailable { message } => unavailable(message),
    }
}

/// What `store` and `erase` print.
pub fn stored(answer: &StoreAnswer) -> Output {
    match answer {
        StoreAnswer::Ignored => Output::success(String::new()),
        StoreAnswer::Refused { message } => failure(&one_line(message)),
    }
}

/// What `list` prints.
pub fn list(registries: &BTreeMap<String, String>) -> Output {
    json(registries)
}

/// The registry is ours, and there is no credential now. Never the sentence for a miss.
pub fn unavailable(message: &str) -> Output {
    let message = format!("pullkeeper: {}", one_line(message));
    if message.trim() == NOT_FOUND {
        return failure("pullkeeper: unavailable");
    }
    failure(&message)
}

fn server(stdin: &[u8]) -> Result<String, Output> {
    let text = std::str::from_utf8(stdin)
        .map_err(|_| failure("the server URL is not UTF-8"))?
        .trim_matches([' ', '\t', '\r', '\n']);
    match Query::of_server(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(QueryError::Empty) => Err(failure(NO_SERVER)),
        Err(error) => Err(failure(&error.to_string())),
    }
}

fn failure(line: &str) -> Output {
    Output {
        status: 1,
        ..Output::success(format!("{line}\n"))
    }
}

fn json(value: &impl Serialize) -> Output {
    // Plain structs and maps with string keys always have a JSON form.
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    Output::success(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Secret;

    #[test]
    fn the_three_outcomes_are_told_apart() {
        let found = Answer::Found {
            username: "user".to_owned(),
            secret: Secret::new("p\"w".to_owned()),
        };
        let output = answer("https://quay.io", &found);
        assert_eq!(
            (output.stdout.as_str(), output.status),
            (
                "{\"ServerURL\":\"https://quay.io\",\"Username\":\"user\",\"Secret\":\"p\\\"w\"}\n",
                0
            )
        );
        let output = answer("quay.io", &Answer::NotOurs);
        assert_eq!(
            (output.stdout.as_str(), output.status),
            ("credentials not found in native keychain\n", 1)
        );
        let outage = Answer::Unavailable {
            message: "the SSO does not answer\nX".to_owned(),
        };
        let output = answer("quay.io", &outage);
        assert_eq!(
            (output.stdout.as_str(), output.status),
            ("pullkeeper: the SSO does not answer X\n", 1)
        );
    }

    #[test]
    fn input_is_one_server_and_nothing_else() {
        let asked = |stdin: &[u8]| match get(stdin) {
            Ok(Request::Docker { server }) => server,
            Ok(other) => panic!("{other:?}"),
            Err(output) => {
                assert_eq!(output.status, 1);
                output.stdout.to_string()
            }
        };
        assert_eq!(asked(b"https://quay.io\n"), "https://quay.io");
        assert_eq!(asked(b""), "no credentials server URL\n");
        assert!(asked(b"registry.exam\nple.com").contains("control character"));
        assert!(asked(b"r.example\0").contains("control character"));
        assert!(asked(b"\xff").contains("UTF-8"));
        let hostile = asked(b"user:hunter2@r.example");
        assert!(hostile.contains("user-info") && !hostile.contains("hunter2"));
    }

    #[test]
    fn store_looks_for_server_and_user_as_the_reference_does() {
        let words = |stdin: &str| match store(stdin.as_bytes()) {
            Ok(request) => request.server,
            Err(output) => output.stdout.to_string(),
        };
        assert_eq!(
            words(r#"{"serverurl":"quay.io","USERNAME":"u","Secret":"\u003cs"} trailing"#),
            "quay.io"
        );
        assert_eq!(words("{}"), "no credentials server URL\n");
        assert_eq!(
            words(r#"{"ServerURL":"quay.io","Secret":"hunter2"}"#),
            "no credentials username\n"
        );
        assert!(!words("hunter2").contains("hunter2"));
    }

    #[test]
    fn usage_and_version_have_the_reference_forms() {
        let name = "docker-credential-pullkeeper";
        let output = usage(name, false);
        assert_eq!((output.stdout.lines().count(), output.status), (1, 1));
        assert_eq!(usage(name, true).status, 0);
        assert_eq!(
            unknown_action(name, "x").stdout.as_str(),
            "docker-credential-pullkeeper: unknown action: x\n"
        );
        assert_eq!(
            version(name, "0.1.0").stdout.as_str(),
            "docker-credential-pullkeeper (pullkeeper) 0.1.0\n"
        );
        let registries = BTreeMap::from([("quay.io".to_owned(), "u".to_owned())]);
        assert_eq!(list(&registries).stdout.as_str(), "{\"quay.io\":\"u\"}\n");
        assert_eq!(list(&BTreeMap::new()).stdout.as_str(), "{}\n");
    }
}
