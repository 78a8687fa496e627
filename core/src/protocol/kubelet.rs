//! kubelet's exec credential provider, `credentialprovider.kubelet.k8s.io/v1`.
//!
//! kubelet decodes the answer strictly: exactly one document, no unknown field. It only logs failures and pulls on
//! without the provider, so what went wrong goes to standard error, which kubelet puts in its log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Output, one_line};
use crate::query::Query;
use crate::wire::{Answer, Request, Secret};

/// The only version that is spoken.
pub const API_VERSION: &str = "credentialprovider.kubelet.k8s.io/v1";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProviderRequest {
    kind: String,
    api_version: String,
    image: String,
    #[serde(default)]
    service_account_token: Secret,
    #[serde(default)]
    service_account_annotations: Option<BTreeMap<String, String>>,
}

/// The request on standard input.
pub fn request(stdin: &[u8]) -> Result<Request, Output> {
    let request: ProviderRequest = serde_json::from_slice(stdin)
        .map_err(|_| failure("standard input is no CredentialProviderRequest"))?;
    if request.kind != "CredentialProviderRequest" || request.api_version != API_VERSION {
        return Err(failure(&format!(
            "only CredentialProviderRequest of {API_VERSION} is understood; set `apiVersion` of the provider to it"
        )));
    }
    if let Err(error) = Query::of_image(&request.image) {
        return Err(failure(&format!("cannot read the image: {error}")));
    }
    let token = request.service_account_token;
    Ok(Request::Kubelet {
        image: request.image,
        service_account_token: (!token.expose().is_empty()).then_some(token),
        service_account_annotations: request.service_account_annotations.unwrap_or_default(),
    })
}

/// What to print for an answer about `image`.
///
/// The duration is always zero: kubelet asks again at the next pull, so a rotation is used at once and no token is
/// handed out past its life. Caching is the agent's, who knows when a credential changes. The key is the image itself,
/// so that the credential reaches no other repository.
pub fn answer(image: &str, answer: &Answer) -> Output {
    let auth = match answer {
        Answer::Found { username, secret } => {
            let password = secret.expose();
            BTreeMap::from([(image, ProviderAuth { username, password })])
        }
        Answer::NotOurs => BTreeMap::new(),
        Answer::Unavailable { message } => return failure(message),
    };
    let response = ProviderResponse {
        kind: "CredentialProviderResponse",
        api_version: API_VERSION,
        cache_key_type: "Image",
        cache_duration: "0s",
        auth,
    };
    // Plain structs and maps with string keys always have a JSON form.
    Output::success(serde_json::to_string(&response).unwrap_or_default())
}

/// There is no answer; kubelet logs the words.
pub fn failure(message: &str) -> Output {
    Output {
        stderr: format!("pullkeeper: {}\n", one_line(message)),
        status: 1,
        ..Output::success(String::new())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProviderResponse<'a> {
    kind: &'static str,
    api_version: &'static str,
    cache_key_type: &'static str,
    cache_duration: &'static str,
    auth: BTreeMap<&'a str, ProviderAuth<'a>>,
}

#[derive(Serialize)]
struct ProviderAuth<'a> {
    username: &'a str,
    password: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "quay.io/team/app";

    #[test]
    fn requests_are_read_with_and_without_a_service_account() {
        let plain = br#"{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"quay.io/team/app"}"#;
        let expected = Request::Kubelet {
            image: IMAGE.to_owned(),
            service_account_token: None,
            service_account_annotations: BTreeMap::new(),
        };
        assert_eq!(request(plain).unwrap(), expected);
        let with = br#"{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"quay.io/team/app","serviceAccountToken":"hunter2","serviceAccountAnnotations":null,"later":1}"#;
        let Request::Kubelet {
            service_account_token,
            ..
        } = request(with).unwrap()
        else {
            panic!("not kubelet's");
        };
        assert_eq!(service_account_token.unwrap().expose(), "hunter2");
    }

    #[test]
    fn what_is_not_understood_fails_on_standard_error_alone() {
        for stdin in [
            "",
            "{}",
            "hunter2",
            r#"{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1beta1","image":"a/b"}"#,
            r#"{"kind":"Other","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"a/b"}"#,
            r#"{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":""}"#,
        ] {
            let output = request(stdin.as_bytes()).unwrap_err();
            assert_eq!((output.stdout.as_str(), output.status), ("", 1), "{stdin}");
            assert!(
                output.stderr.starts_with("pullkeeper: ") && !output.stderr.contains("hunter2")
            );
        }
    }

    #[test]
    fn answers_are_one_strict_document() {
        let found = Answer::Found {
            username: "u".to_owned(),
            secret: Secret::new("p".to_owned()),
        };
        assert_eq!(
            answer(IMAGE, &found).stdout.as_str(),
            r#"{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":"Image","cacheDuration":"0s","auth":{"quay.io/team/app":{"username":"u","password":"p"}}}"#
        );
        let none = answer(IMAGE, &Answer::NotOurs);
        assert!(none.stdout.ends_with(r#""auth":{}}"#) && none.status == 0);
        let outage = answer(
            IMAGE,
            &Answer::Unavailable {
                message: "the SSO\nis down".to_owned(),
            },
        );
        assert_eq!((outage.stdout.as_str(), outage.status), ("", 1));
        assert_eq!(outage.stderr, "pullkeeper: the SSO is down\n");
    }
}
