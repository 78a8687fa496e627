//! The pod's service-account token, looked at before it goes anywhere.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pullkeeper_core::jwt::{Account, Claims};
use pullkeeper_core::wire::Secret;

use super::Failure;

/// A registry checks the token again for every layer, so one that is about to end would break the pull half-way.
const LEAST_LIFE: Duration = Duration::from_secs(60);

/// A token that may be sent, as far as it can be told without its issuer's keys.
pub(super) struct Asserted<'t> {
    pub(super) token: &'t Secret,
    /// `None` where the token does not say completely whose it is.
    pub(super) account: Option<Account>,
    /// What is left of its life.
    pub(super) life: Duration,
}

/// Refuses early and in clear words what the registry or the SSO would refuse in unclear ones.
pub(super) fn check<'t>(
    token: Option<&'t Secret>,
    audience: &str,
) -> Result<Asserted<'t>, Failure> {
    let token = token.ok_or_else(|| {
        Failure::new(format!(
            "it needs the pod's service-account token, which only kubelet's provider gets; set `tokenAttributes` with \
             `serviceAccountTokenAudience: {audience}` in its configuration"
        ))
    })?;
    let claims = Claims::of(token.expose()).map_err(|error| {
        Failure::new(format!("the service-account token cannot be used: {error}"))
    })?;
    if !claims.is_for(audience) {
        return Err(Failure::new(format!(
            "the service-account token is not for {audience} alone; set `serviceAccountTokenAudience` of kubelet's \
             provider to that"
        )));
    }
    let service_account = claims
        .sub
        .as_deref()
        .is_some_and(|sub| sub.starts_with("system:serviceaccount:"));
    if !service_account {
        return Err(Failure::new("the token is not a service account's"));
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let life = Duration::from_secs(claims.exp.unwrap_or_default()).saturating_sub(now);
    if life < LEAST_LIFE {
        return Err(Failure::new(format!(
            "the service-account token has less than {LEAST_LIFE:?} left; check the node's clock"
        )));
    }
    Ok(Asserted {
        token,
        account: claims.account(),
        life,
    })
}
