//! For one image: what each client picks from these files, and why.

use serde::Serialize;

use crate::authfile::{Shape, key};
use crate::image::ImageRef;
use crate::json::{Position, Text};
use crate::reader::{self, DocumentError, Lookup, LookupError, Outcome, Reader, Step};

/// A file to look in.
#[derive(Clone, Copy, Debug)]
pub struct File<'f> {
    /// How it is called in the answer.
    pub name: &'f str,
    /// What is in it.
    pub text: &'f Text,
    /// How it is to be read.
    pub shape: Shape,
}

/// What one client does for an image. It names keys and places, and holds no credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// `kubelet`, `containers` or `docker`.
    pub reader: &'static str,
    /// `credentials`, `helper`, `ambiguous`, `empty`, `none` or `error`.
    pub outcome: &'static str,
    /// The file that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The entries that it tries, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
    /// How it got there, one sentence a step.
    pub steps: Vec<String>,
}

/// An entry that matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Its key, as it may be shown.
    pub key: String,
    /// Where it stands in the file.
    pub position: Position,
    /// Why it matches: `exact`, `namespace`, `host`, `prefix`, `glob` or `hub-fallback`.
    pub rule: &'static str,
    /// Whether a credential can be read from it.
    pub usable: bool,
}

/// Explains what `reader` does for `image` with these files, in the order in which it opens them.
///
/// kubelet uses the first file that it can parse. containers/image goes on until a file has a credential, and
/// fails on one that it cannot parse. docker has one file.
pub fn explain(reader: Reader, image: &ImageRef, files: &[File<'_>]) -> Answer {
    let mut answer = Answer {
        reader: reader.as_str(),
        outcome: Outcome::None.as_str(),
        file: None,
        candidates: Vec::new(),
        steps: Vec::new(),
    };
    if files.is_empty() {
        answer
            .steps
            .push("there is no file that it would read".to_owned());
    }
    for file in files {
        match reader::read(reader, file.text, file.shape) {
            Err(error) => {
                answer.lost(file, error, reader);
                if reader == Reader::Containers {
                    return answer;
                }
            }
            Ok(view) => {
                answer.looked_up(file, &view.lookup(image));
                let goes_on = reader == Reader::Containers
                    && (answer.outcome == Outcome::None.as_str()
                        || answer.outcome == Outcome::Empty.as_str());
                if !goes_on {
                    return answer;
                }
            }
        }
        if reader == Reader::Docker {
            return answer;
        }
    }
    answer
}

impl Answer {
    /// Whether the client ends with something to send.
    pub fn is_served(&self) -> bool {
        matches!(self.outcome, "credentials" | "helper" | "ambiguous")
    }

    fn lost(&mut self, file: &File<'_>, error: DocumentError, reader: Reader) {
        let place = file.text.position(error.entry.unwrap_or(error.offset));
        let consequence = match reader {
            Reader::Kubelet => "it goes on as if the file were not there",
            Reader::Containers => "the pull fails",
            Reader::Docker => "docker warns and goes on without it",
        };
        self.outcome = "error";
        self.file = Some(file.name.to_owned());
        self.steps.push(format!(
            "{}: nothing of the file is used, because of {place}: {}; {consequence}",
            file.name, error.fault
        ));
    }

    fn looked_up(&mut self, file: &File<'_>, lookup: &Lookup<'_>) {
        self.outcome = lookup.outcome.as_str();
        self.file = (lookup.outcome != Outcome::None).then(|| file.name.to_owned());
        self.steps.extend(
            lookup
                .steps
                .iter()
                .map(|step| format!("{}: {}", file.name, sentence(step))),
        );
        self.candidates = lookup
            .candidates
            .iter()
            .map(|candidate| Candidate {
                key: key::display(candidate.key).to_owned(),
                position: file.text.position(candidate.offset),
                rule: candidate.rule.as_str(),
                usable: candidate
                    .credential
                    .as_ref()
                    .is_ok_and(|credential| !credential.is_empty()),
            })
            .collect();
        let conclusion = match &lookup.outcome {
            Outcome::Ambiguous => {
                "several different entries match, and it takes one at random".to_owned()
            }
            Outcome::Credentials => return,
            Outcome::Empty => "the entry that matches holds no credential".to_owned(),
            Outcome::Error(LookupError::Entry { offset, fault }) => {
                format!(
                    "the entry at {} cannot be used: {fault}",
                    file.text.position(*offset)
                )
            }
            Outcome::Error(LookupError::ImageRefused) => {
                "it does not accept this image reference".to_owned()
            }
            Outcome::Helper { name, server } => {
                format!(
                    "it asks docker-credential-{name} for {}",
                    key::display(server)
                )
            }
            Outcome::None => "nothing matches".to_owned(),
        };
        self.steps.push(format!("{}: {conclusion}", file.name));
    }
}

fn sentence(step: &Step) -> String {
    match step {
        Step::Compared { with, matched } => {
            format!(
                "compared all keys with {}: {matched} matched",
                key::display(with)
            )
        }
        Step::Helper { field, name } => format!("`{field}` names the helper {name}"),
        Step::NotRead => "it does not read files of this shape".to_owned(),
        Step::Refused => "it cannot parse the image reference".to_owned(),
        Step::Tried { key, found } => {
            let found = if *found { "found" } else { "not there" };
            format!("looked for the key {}: {found}", key::display(key))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "dXNlcjpwYXNz";

    fn ask(reader: Reader, image: &str, documents: &[&str]) -> Answer {
        let texts: Vec<_> = documents
            .iter()
            .map(|text| Text::new(text.as_bytes()))
            .collect();
        let files: Vec<_> = texts
            .iter()
            .map(|text| File {
                name: "config.json",
                text,
                shape: Shape::ConfigJson,
            })
            .collect();
        explain(reader, &ImageRef::parse(image).unwrap(), &files)
    }

    fn with(key: &str) -> String {
        format!("{{\"auths\":{{\"{key}\":{{\"auth\":\"{SECRET}\"}}}}}}")
    }

    #[test]
    fn the_same_file_gives_three_answers() {
        let document = with("r.example/team");
        let outcome = |reader| ask(reader, "r.example/team-evil/x", &[&document]).outcome;
        assert_eq!(outcome(Reader::Kubelet), "credentials");
        assert_eq!(outcome(Reader::Containers), "none");
        assert_eq!(outcome(Reader::Docker), "credentials");
        let answer = ask(Reader::Kubelet, "r.example/team-evil/x", &[&document]);
        assert_eq!(
            (answer.candidates[0].rule, answer.candidates[0].usable),
            ("prefix", true)
        );
    }

    #[test]
    fn files_are_tried_as_each_client_tries_them() {
        let (broken, other, right) = ("{", with("other.example"), with("r.example"));
        let outcome = |reader, files: &[&str]| ask(reader, "r.example/x", files).outcome;
        assert_eq!(outcome(Reader::Kubelet, &[broken, &right]), "credentials");
        assert_eq!(outcome(Reader::Kubelet, &[&other, &right]), "none");
        assert_eq!(outcome(Reader::Containers, &[broken, &right]), "error");
        assert_eq!(
            outcome(Reader::Containers, &[&other, &right]),
            "credentials"
        );
        assert_eq!(outcome(Reader::Docker, &[&other, &right]), "none");
        assert_eq!(outcome(Reader::Docker, &[]), "none");
    }

    #[test]
    fn an_answer_holds_no_credential() {
        for document in [
            with("r.example"),
            with("user:hunter2@r.example"),
            with(SECRET),
            "{\"auths\":{\"r.example\":{\"auth\":\"bar\"}}}".to_owned(),
        ] {
            for reader in Reader::ALL {
                let answer =
                    serde_json::to_string(&ask(reader, "r.example/x", &[&document])).unwrap();
                assert!(
                    !answer.contains(SECRET) && !answer.contains("hunter2"),
                    "{answer}"
                );
            }
        }
    }
}
