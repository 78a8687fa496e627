//! The two bodies that credentials come in, and how to tell them apart.

use crate::json::{Kind, Node, Text, folds_to};

/// The two bodies that registry credentials come in.
///
/// Getting the shape wrong is silent in every client, in both directions, so it is always explicit here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// `{"auths": {"<registry>": {…}}, …}`: `config.json`, `auth.json`, and Secrets of type
    /// `kubernetes.io/dockerconfigjson`.
    ConfigJson,
    /// `{"<registry>": {…}}`: `~/.dockercfg`, and Secrets of type `kubernetes.io/dockercfg`.
    DockerCfg,
}

impl Shape {
    /// The shape that the bytes show. [`Shape::DockerCfg`] exactly when they are an object without `auths`, whose
    /// members are all objects and one of which holds a credential; everything else, broken text included, is
    /// [`Shape::ConfigJson`].
    pub fn of_content(bytes: &[u8]) -> Self {
        let text = Text::new(bytes);
        let root = text.parse().ok();
        let members = || root.and_then(|root| root.members()).unwrap_or_default();
        let legacy = members()
            .all(|m| m.value.kind() == Kind::Object && !folds_to(&m.name, "auths"))
            && members().any(|member| holds_credential(member.value));
        if legacy {
            Self::DockerCfg
        } else {
            Self::ConfigJson
        }
    }
}

/// Whether this is an object with a field that only registry entries have.
pub(super) fn holds_credential(node: Node<'_>) -> bool {
    let fields = [
        "auth",
        "username",
        "password",
        "identitytoken",
        "registrytoken",
    ];
    node.members().is_some_and(|mut members| {
        members.any(|member| fields.iter().any(|field| folds_to(&member.name, field)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_tells_the_shape() {
        for legacy in [
            r#"{"quay.io": {"auth": "eDp5"}}"#,
            r#" {"quay.io": {"email": "a@b"}, "x": {"Password": ""}} "#,
            r#"{"quay.io": {"auth": null}}"#,
        ] {
            assert_eq!(
                Shape::of_content(legacy.as_bytes()),
                Shape::DockerCfg,
                "{legacy}"
            );
        }
        for other in [
            r#"{"auths": {"quay.io": {"auth": "eDp5"}}}"#,
            r#"{"AUTHS": {"auth": "eDp5"}}"#,
            r#"{"authſ": {"auth": "eDp5"}}"#,
            r#"{"quay.io": {"auth": "eDp5"}, "credsStore": "x"}"#,
            r#"{"quay.io": {"email": "a@b"}}"#,
            r#"{"quay.io": {"auth": "eDp5"}"#,
            r#"[{"auth": "eDp5"}]"#,
            "{}",
            "null",
            "",
        ] {
            assert_eq!(
                Shape::of_content(other.as_bytes()),
                Shape::ConfigJson,
                "{other}"
            );
        }
    }
}
