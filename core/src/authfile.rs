//! Registry auth files: the document, its validation, merge and rendering.

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
