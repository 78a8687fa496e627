//! Compares what the models say with what the real readers did.

use pullkeeper_core::authfile::Shape;
use pullkeeper_core::authfile::credential::Credential;
use pullkeeper_core::image::ImageRef;
use pullkeeper_core::json::Text;
use pullkeeper_core::reader::{self, Candidate, LookupError, Reader};

use super::oracle::{Case, Client, Image, Login, Oracle, Outcome};

/// Enough to see that something is random.
const REPEAT: usize = 8;
/// How often more is asked until each of the random outcomes has been seen.
const ROUNDS: usize = 100;

/// The first thing that models and real readers do not agree on.
pub(crate) fn disagreement(oracle: &mut Oracle, case: &Case) -> Option<String> {
    let image = ImageRef::parse(&case.image).ok();
    let parsed = image.as_ref().map(|image| Image {
        domain: image.domain().to_owned(),
        path: image.path().to_owned(),
        tag: image.tag().unwrap_or_default().to_owned(),
        digest: image.digest().unwrap_or_default().to_owned(),
    });
    for client in Client::ALL.into_iter().filter(|client| client.reads(case)) {
        let mut answer = oracle.ask(client, case, REPEAT);
        if parsed != answer.image {
            return Some(format!(
                "image: model {parsed:?}, upstream {:?}",
                answer.image
            ));
        }
        let expected = expect(case, image.as_ref()?, client);
        for _ in 0..ROUNDS {
            if expected.are_seen(&answer.outcomes) {
                break;
            }
            answer
                .outcomes
                .extend(oracle.ask(client, case, REPEAT * REPEAT).outcomes);
        }
        let allowed = answer
            .outcomes
            .iter()
            .all(|outcome| expected.allows(outcome));
        if !allowed || !expected.are_seen(&answer.outcomes) {
            return Some(format!(
                "{client:?}: model {expected:?}, upstream {:?}",
                answer.outcomes
            ));
        }
    }
    None
}

/// What the models say about a case for kubelet, containers/image and docker, in words.
pub(crate) fn endings(case: &Case) -> [String; 3] {
    let image = ImageRef::parse(&case.image).expect("named cases have good images");
    [Client::Kubelet, Client::Containers, Client::Docker]
        .map(|client| expect(case, &image, client).to_string())
}

/// What can become of a case, for each client.
#[rustfmt::skip]
pub(crate) const KINDS: &[(Client, &str)] = &[
    (Client::Kubelet, "empty"), (Client::Kubelet, "error"), (Client::Kubelet, "login"),
    (Client::Kubelet, "none"), (Client::Kubelet, "random"), (Client::Kubelet, "several"),
    (Client::PullSecret, "error"), (Client::PullSecret, "login"), (Client::PullSecret, "random"),
    (Client::Containers, "broken"), (Client::Containers, "error"), (Client::Containers, "helper"),
    (Client::Containers, "login"), (Client::Containers, "none"), (Client::Containers, "random"),
    (Client::Containers, "refused"),
    (Client::Docker, "error"), (Client::Docker, "helper"), (Client::Docker, "login"),
    (Client::Docker, "none"), (Client::Docker, "not read"), (Client::Docker, "random"),
];

/// Which of [`KINDS`] a case is; none when its image is not one.
pub(crate) fn kinds(case: &Case) -> Vec<(Client, &'static str)> {
    let Ok(image) = ImageRef::parse(&case.image) else {
        return Vec::new();
    };
    Client::ALL
        .into_iter()
        .map(|client| (client, expect(case, &image, client).kind()))
        .collect()
}

/// What a model says.
#[derive(Debug)]
enum Expected {
    /// docker does not read the file.
    NotRead,
    /// One of these, at random.
    OneOf(Vec<Outcome>),
    /// kubelet's candidates: the groups in this order, each in random order.
    Ranks(Vec<Vec<Login>>),
}

fn expect(case: &Case, image: &ImageRef, client: Client) -> Expected {
    let shape = if case.legacy {
        Shape::DockerCfg
    } else {
        Shape::ConfigJson
    };
    let text = Text::new(&case.document);
    let (reader, view) = match client {
        Client::Kubelet => (Reader::Kubelet, reader::read(Reader::Kubelet, &text, shape)),
        Client::PullSecret => (Reader::Kubelet, reader::read_pull_secret(&text, shape)),
        Client::Containers => (
            Reader::Containers,
            reader::read(Reader::Containers, &text, shape),
        ),
        Client::Docker => (Reader::Docker, reader::read(Reader::Docker, &text, shape)),
    };
    if matches!(client, Client::Containers) && is_refused(image) {
        return Expected::OneOf(vec![Outcome {
            image_error: true,
            ..Outcome::default()
        }]);
    }
    let Ok(view) = view else {
        return Expected::OneOf(vec![Outcome {
            document_error: true,
            ..Outcome::default()
        }]);
    };
    let lookup = view.lookup(image);
    if reader == Reader::Kubelet {
        let mut ranks = Vec::<Vec<Login>>::new();
        for candidate in &lookup.candidates {
            ranks.resize_with(candidate.rank + 1, Vec::new);
            ranks[candidate.rank].push(login(candidate.credential.as_ref().expect("decoded")));
        }
        let expected = Expected::Ranks(ranks);
        assert_eq!(
            lookup.outcome == reader::Outcome::Ambiguous,
            expected.kind() == "random"
        );
        return expected;
    }
    if !client.reads(case) {
        assert_eq!(lookup.outcome, reader::Outcome::None);
        return Expected::NotRead;
    }
    let one = |outcome| Expected::OneOf(vec![outcome]);
    match &lookup.outcome {
        reader::Outcome::Ambiguous => {
            Expected::OneOf(lookup.candidates.iter().map(picked).collect())
        }
        reader::Outcome::Credentials | reader::Outcome::Empty => one(picked(&lookup.candidates[0])),
        reader::Outcome::Error(LookupError::Entry { .. }) => one(Outcome {
            lookup_error: true,
            ..Outcome::default()
        }),
        reader::Outcome::Error(LookupError::ImageRefused) => one(Outcome {
            image_error: true,
            ..Outcome::default()
        }),
        reader::Outcome::Helper { name, .. } => one(Outcome {
            helper: Some(name.clone()),
            ..Outcome::default()
        }),
        reader::Outcome::None => one(Outcome::default()),
    }
}

impl Expected {
    fn kind(&self) -> &'static str {
        match self {
            Self::NotRead => "not read",
            Self::OneOf(outcomes) if outcomes.len() > 1 => "random",
            Self::OneOf(outcomes) => match &outcomes[0] {
                Outcome {
                    document_error: true,
                    ..
                } => "error",
                Outcome {
                    lookup_error: true, ..
                } => "broken",
                Outcome {
                    image_error: true, ..
                } => "refused",
                Outcome {
                    helper: Some(_), ..
                } => "helper",
                Outcome { credentials, .. } if credentials.is_empty() => "none",
                Outcome { .. } => "login",
            },
            Self::Ranks(ranks) => match ranks.as_slice() {
                [] => "none",
                [first, ..] if first.iter().any(|login| *login != first[0]) => "random",
                [_, _, ..] => "several",
                [first] if first[0] == Login::default() => "empty",
                [_] => "login",
            },
        }
    }

    /// Whether this can be one of the outcomes.
    fn allows(&self, outcome: &Outcome) -> bool {
        match self {
            Self::NotRead => false,
            Self::OneOf(outcomes) => outcomes.contains(outcome),
            Self::Ranks(ranks) => {
                let mut logins = outcome.credentials.as_slice();
                let in_order = ranks.iter().all(|rank| {
                    let Some((group, rest)) = logins.split_at_checked(rank.len()) else {
                        return false;
                    };
                    logins = rest;
                    sorted(group) == sorted(rank)
                });
                let failed = outcome.document_error || outcome.lookup_error || outcome.image_error;
                in_order && logins.is_empty() && !failed && outcome.helper.is_none()
            }
        }
    }

    /// Whether these outcomes are all there can be, as far as the first choice goes.
    fn are_seen(&self, outcomes: &[Outcome]) -> bool {
        match self {
            Self::NotRead => true,
            Self::OneOf(expected) => expected.iter().all(|one| outcomes.contains(one)),
            Self::Ranks(ranks) => ranks.first().into_iter().flatten().all(|first| {
                outcomes
                    .iter()
                    .any(|outcome| outcome.credentials.first() == Some(first))
            }),
        }
    }
}

/// `error` for a document that is not used, `broken` for a lookup that fails, `refused` for an image
/// reference, `none`, `helper NAME`, or what is presented; `|` between random choices.
impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |logins: &[Login], separator| {
            logins
                .iter()
                .map(Login::to_string)
                .collect::<Vec<_>>()
                .join(separator)
        };
        let outcome = |outcome: &Outcome| match outcome {
            Outcome {
                document_error: true,
                ..
            } => "error".to_owned(),
            Outcome {
                lookup_error: true, ..
            } => "broken".to_owned(),
            Outcome {
                image_error: true, ..
            } => "refused".to_owned(),
            Outcome {
                helper: Some(name), ..
            } => format!("helper {name}"),
            Outcome { credentials, .. } if credentials.is_empty() => "none".to_owned(),
            Outcome { credentials, .. } => list(credentials, ", "),
        };
        match self {
            Self::NotRead => f.write_str("not read"),
            Self::OneOf(outcomes) => {
                f.write_str(&outcomes.iter().map(outcome).collect::<Vec<_>>().join(" | "))
            }
            Self::Ranks(ranks) if ranks.is_empty() => f.write_str("none"),
            Self::Ranks(ranks) => {
                let ranks: Vec<_> = ranks.iter().map(|rank| list(rank, " | ")).collect();
                f.write_str(&ranks.join(", "))
            }
        }
    }
}

/// containers/image parses the reference before it opens a file, so a bad document does not matter
/// then.
fn is_refused(image: &ImageRef) -> bool {
    let text = Text::new(b"{}");
    let view = reader::read(Reader::Containers, &text, Shape::ConfigJson).expect("a good document");
    view.lookup(image).outcome == reader::Outcome::Error(LookupError::ImageRefused)
}

/// What comes of it when a candidate is picked.
fn picked(candidate: &Candidate<'_>) -> Outcome {
    match &candidate.credential {
        Err(_) => Outcome {
            lookup_error: true,
            ..Outcome::default()
        },
        Ok(credential) if credential.is_empty() => Outcome::default(),
        Ok(credential) => Outcome {
            credentials: vec![login(credential)],
            ..Outcome::default()
        },
    }
}

fn login(credential: &Credential) -> Login {
    Login {
        username: credential.username().to_vec(),
        password: credential.password().to_vec(),
        identity_token: credential.identity_token().to_vec(),
        registry_token: credential.registry_token().to_vec(),
    }
}

fn sorted(logins: &[Login]) -> Vec<&Login> {
    let mut logins: Vec<_> = logins.iter().collect();
    logins.sort();
    logins
}
