//! Our part of kubelet's configuration. It never changes with a credential: whatever does is behind the helper.

use serde_json::json;

use super::plan::NAME;

/// What it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Images for which kubelet asks.
    pub match_images: Vec<String>,
    /// Whose tokens of the pod's service account kubelet passes on; none without.
    pub token_audience: Option<String>,
    /// The agent's socket, where it is not where helpers look by themselves.
    pub socket: Option<String>,
}

/// Longest wait of the helper, in seconds: a pull must not hang for what another provider or the auth file could give.
const TIMEOUT: &str = "5";

/// A `CredentialProviderConfig` of `kubelet.config.k8s.io/v1` as JSON, the same bytes for the same settings.
pub fn config(own: &Own) -> Vec<u8> {
    let mut env = vec![json!({"name": "PULLKEEPER_HELPER_TIMEOUT", "value": TIMEOUT})];
    if let Some(socket) = &own.socket {
        env.push(json!({"name": "PULLKEEPER_BROKER_SOCKET", "value": socket}));
    }
    let mut provider = json!({
        "name": NAME,
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "matchImages": own.match_images,
        "defaultCacheDuration": "0s",
        "env": env,
    });
    if let Some(audience) = &own.token_audience {
        provider["tokenAttributes"] = json!({
            "serviceAccountTokenAudience": audience,
            "cacheType": "Token",
            "requireServiceAccount": false,
        });
    }
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1",
        "kind": "CredentialProviderConfig",
        "providers": [provider],
    });
    format!("{config:#}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_wanted_is_not_said() {
        let mut own = Own {
            match_images: vec!["*.*".to_owned()],
            ..Own::default()
        };
        let text = |own: &Own| String::from_utf8(config(own)).unwrap();
        assert!(!text(&own).contains("tokenAttributes"));
        assert!(!text(&own).contains("BROKER_SOCKET"));
        own.token_audience = Some("registry".to_owned());
        own.socket = Some("/run/x.sock".to_owned());
        assert!(text(&own).contains("\"serviceAccountTokenAudience\": \"registry\""));
        assert!(text(&own).contains("/run/x.sock"));
    }
}
