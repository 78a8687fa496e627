//! What names say about the bytes under them, and whether these are all there.

use std::path::Path;

use pullkeeper_core::authfile::Shape;
use serde::de::IgnoredAny;

/// The key of a Secret of type `kubernetes.io/dockerconfigjson`.
pub(super) const CONFIG_JSON_KEY: &str = ".dockerconfigjson";
/// The key of a Secret of type `kubernetes.io/dockercfg`, and docker's old file name.
pub(super) const DOCKER_CFG_KEY: &str = ".dockercfg";

/// The shape that a file or key name stands for by convention.
pub(super) fn of_name(name: &Path) -> Option<Shape> {
    match name.file_name()?.to_str()? {
        CONFIG_JSON_KEY => Some(Shape::ConfigJson),
        DOCKER_CFG_KEY => Some(Shape::DockerCfg),
        _ => None,
    }
}

/// Whether the bytes are one whole JSON value. A file that is still being written is not.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape_by_name() {
        assert_eq!(
            of_name(Path::new("/root/.dockercfg")),
            Some(Shape::DockerCfg)
        );
        assert_eq!(
            of_name(Path::new(".dockerconfigjson")),
            Some(Shape::ConfigJson)
        );
        assert_eq!(of_name(Path::new("/root/.docker/config.json")), None);
        assert_eq!(of_name(Path::new("/")), None);
    }

    #[test]
    fn completeness() {
        assert!(is_complete(b"{}\n") && is_complete(b"null") && is_complete(b"{\"a\":[1,{}]}"));
        assert!(!is_complete(b"") && !is_complete(b"{\"a\":") && !is_complete(b"{}{}"));
    }
}
