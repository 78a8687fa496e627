//! The token that is handed out or exchanged, looked at before it goes anywhere.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::fcntl::AT_FDCWD;
use pullkeeper_core::jwt::{Account, Claims};
use pullkeeper_core::wire::Secret;

use super::Failure;
use crate::config::{Expected, Subject};
use crate::source;

/// A registry checks the token again for every layer, so one that is about to end would break the pull half-way.
const LEAST_LIFE: Duration = Duration::from_secs(60);

/// A token that may be sent, as far as it can be told without its issuer's keys.
pub(super) struct Held {
    pub(super) token: Secret,
    pub(super) holder: Holder,
    /// What is left of its life; without end where the token does not say.
    pub(super) life: Duration,
}

/// Whose token it is.
pub(super) enum Holder {
    /// The node's.
    Node,
    /// The account's whose pod needs the image.
    Account(Account),
    /// Some account's, which the token does not name completely.
    Unknown,
}

impl Held {
    /// Takes the pod's token, or the node's. Refuses early and in clear words what the registry or the token service
    /// would refuse in unclear ones.
    pub(super) fn new(subject: &Subject, of_pod: Option<&Secret>) -> Result<Self, Failure> {
        match subject {
            Subject::Workload(expected) => Self::of_pod(of_pod, expected),
            Subject::File { path, expected } => {
                let token = read(path)?;
                let claims = Claims::of(token.expose()).ok();
                let life = match (expected, claims) {
                    (None, None) => Duration::MAX,
                    (None, Some(claims)) => life(&claims)?,
                    (Some(_), None) => {
                        return Err(Failure::new(format!(
                            "{} holds no JSON Web Token",
                            path.display()
                        )));
                    }
                    (Some(expected), Some(claims)) => {
                        let advice = format!("have it made for that in {}", path.display());
                        meets(&claims, expected, &advice)?;
                        life(&claims)?
                    }
                };
                Ok(Self {
                    token,
                    holder: Holder::Node,
                    life,
                })
            }
            Subject::Stored { path } => Ok(Self {
                token: read(path)?,
                holder: Holder::Node,
                life: Duration::MAX,
            }),
        }
    }

    fn of_pod(token: Option<&Secret>, expected: &Expected) -> Result<Self, Failure> {
        let audience = &expected.audience;
        let token = token.ok_or_else(|| {
            Failure::new(format!(
                "it needs the pod's service-account token, which only kubelet's provider gets; set `tokenAttributes` with \
                 `serviceAccountTokenAudience: {audience}` in its configuration"
            ))
        })?;
        let claims = Claims::of(token.expose()).map_err(|error| {
            Failure::new(format!("the service-account token cannot be used: {error}"))
        })?;
        let advice = "set `serviceAccountTokenAudience` of kubelet's provider to that";
        meets(&claims, expected, advice)?;
        let service_account = claims
            .sub
            .as_deref()
            .is_some_and(|sub| sub.starts_with("system:serviceaccount:"));
        if !service_account {
            return Err(Failure::new("the token is not a service account's"));
        }
        Ok(Self {
            token: token.clone(),
            holder: claims.account().map_or(Holder::Unknown, Holder::Account),
            life: life(&claims)?,
        })
    }
}

fn meets(claims: &Claims, expected: &Expected, advice: &str) -> Result<(), Failure> {
    if !claims.is_for(&expected.audience) {
        return Err(Failure::new(format!(
            "the service-account token is not for {} alone; {advice}",
            expected.audience
        )));
    }
    match &expected.issuer {
        Some(issuer) if claims.iss.as_ref() != Some(issuer) => Err(Failure::new(format!(
            "the service-account token is not one of {issuer}; set `service_account_issuer` to what the API server's \
             `--service-account-issuer` says"
        ))),
        _ => Ok(()),
    }
}

fn life(claims: &Claims) -> Result<Duration, Failure> {
    let life = left(claims).unwrap_or_default();
    if life < LEAST_LIFE {
        return Err(Failure::new(format!(
            "the service-account token has less than {LEAST_LIFE:?} left; check the node's clock"
        )));
    }
    Ok(life)
}

/// What is left of a token's life, if it says when it ends.
pub(super) fn left(claims: &Claims) -> Option<Duration> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let end = Duration::from_secs(claims.exp?);
    Some(end.saturating_sub(since.unwrap_or_default()))
}

fn read(path: &Path) -> Result<Secret, Failure> {
    let read = source::read_regular(AT_FDCWD, path, path)
        .map_err(|error| Failure::new(crate::exit::chain(&error)))?;
    let text = std::str::from_utf8(&read.bytes).map(str::trim);
    let good = text
        .ok()
        .filter(|text| !text.is_empty() && !text.contains(char::is_whitespace));
    let token = good.ok_or_else(|| {
        Failure::new(format!(
            "{} must hold one token and nothing else",
            path.display()
        ))
    })?;
    Ok(Secret::new(token.to_owned()))
}

#[cfg(test)]
mod tests;
