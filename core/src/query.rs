//! What a client asks a credential for, however that client writes it.

use thiserror::Error;

use crate::authfile::Key;
use crate::image::ImageRef;
use crate::reader::glob;

/// Longer texts are refused: no registry and repository come near it.
pub const LONGEST: usize = 4096;

/// A registry, and the repository where the client names one. In the one form that all spellings share: lower-case
/// host, Docker Hub as `docker.io`, no scheme, no default port, no API version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    host: String,
    port: Option<String>,
    repository: String,
}

/// Why a text names no registry. Says nothing of the text, which may hold anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum QueryError {
    /// There is nothing.
    #[error("no credentials server URL")]
    Empty,
    /// It is longer than [`LONGEST`].
    #[error("the server URL is longer than 4096 bytes")]
    TooLong,
    /// A NUL, line break or other control character, which could smuggle a second request into this one.
    #[error("the server URL holds a control character")]
    ControlCharacter,
    /// It is something else than a registry; the words say what.
    #[error("the server URL cannot be used: {0}")]
    NoRegistry(&'static str),
}

impl Query {
    /// Reads the server string of the docker credential helper protocol.
    ///
    /// The same registry comes as `host`, `host:443`, `https://host`, `https://host/v2/`, `host/namespace/repository`
    /// or, for Docker Hub, under five names. White space around it is no part of it.
    pub fn of_server(text: &str) -> Result<Self, QueryError> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        if text.is_empty() {
            return Err(QueryError::Empty);
        }
        if text.len() > LONGEST {
            return Err(QueryError::TooLong);
        }
        if text.contains(char::is_control) {
            return Err(QueryError::ControlCharacter);
        }
        let key = Key::parse(text).map_err(QueryError::NoRegistry)?;
        if key.host.contains('*') {
            return Err(QueryError::NoRegistry("a pattern names no single registry"));
        }
        let literal = key.host.starts_with('[');
        if !literal && key.host.split('.').any(str::is_empty) {
            return Err(QueryError::NoRegistry("the host has an empty part"));
        }
        Ok(Self::of_key(&key))
    }

    /// Reads an image as kubelet passes it to its credential providers: normalised, without tag and digest. Those
    /// that are there all the same are ignored.
    pub fn of_image(text: &str) -> Result<Self, QueryError> {
        if text.is_empty() {
            return Err(QueryError::Empty);
        }
        if text.len() > LONGEST {
            return Err(QueryError::TooLong);
        }
        let image = ImageRef::parse(text)
            .map_err(|_| QueryError::NoRegistry("it is no image reference"))?;
        Self::of_server(&image.name())
    }

    /// What an auth file's key is about. The host may be a pattern.
    pub fn of_key(key: &Key<'_>) -> Self {
        let default_port = match key.scheme {
            Some("http") => "80",
            _ => "443",
        };
        let host = key.host.to_ascii_lowercase();
        let host = match host.as_str() {
            "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => {
                "docker.io".to_owned()
            }
            _ => host,
        };
        Self {
            host,
            port: key
                .port
                .filter(|port| *port != default_port)
                .map(str::to_owned),
            repository: key.repository().to_owned(),
        }
    }

    /// The host, without port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, when it is not the default of its scheme.
    pub fn port(&self) -> Option<&str> {
        self.port.as_deref()
    }

    /// The repository, without slashes at its ends; empty when the query is about the whole registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// `host[:port]`, as it stands in image references.
    pub fn registry(&self) -> String {
        match &self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    /// Whether the query is about what a pattern covers: as many labels in the host, a star for any part of one (as in
    /// kubelet's `matchImages`), the same port, and a repository below the pattern's.
    pub fn fits(&self, pattern: &Self) -> bool {
        let (mut patterns, mut labels) = (pattern.host.split('.'), self.host.split('.'));
        let hosts_fit = loop {
            match (patterns.next(), labels.next()) {
                (None, None) => break true,
                (Some(pattern), Some(label))
                    if glob::matches(pattern.as_bytes(), label.as_bytes()) => {}
                _ => break false,
            }
        };
        hosts_fit && self.port == pattern.port && self.is_below(&pattern.repository)
    }

    /// Whether `prefix`, a repository or the beginning of one, covers the query's, by whole path segments.
    pub fn is_below(&self, prefix: &str) -> bool {
        prefix.is_empty()
            || self
                .repository
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(query: &Query) -> String {
        match query.repository() {
            "" => query.registry(),
            repository => format!("{}/{repository}", query.registry()),
        }
    }

    #[test]
    fn every_spelling_of_a_registry_is_the_same_query() {
        for text in [
            "quay.io",
            "https://quay.io",
            "https://quay.io/",
            "https://quay.io/v1/",
            "https://quay.io/v2/",
            "quay.io:443",
            "https://quay.io:443",
            "http://quay.io:80",
            "Quay.IO",
            " quay.io\r\n",
        ] {
            let query = Query::of_server(text).unwrap();
            assert_eq!(shown(&query), "quay.io", "{text:?}");
        }
        for text in [
            "docker.io",
            "index.docker.io",
            "https://index.docker.io/v1/",
            "registry-1.docker.io",
            "registry.hub.docker.com",
        ] {
            let query = Query::of_server(text).unwrap();
            assert_eq!(shown(&query), "docker.io", "{text:?}");
        }
        for (text, expected) in [
            ("r.example:5000", "r.example:5000"),
            ("http://r.example", "r.example"),
            ("http://r.example:443", "r.example:443"),
            ("r.example:80", "r.example:80"),
            ("r.example/ns/repo", "r.example/ns/repo"),
            ("https://r.example/v2/ns/repo/", "r.example/ns/repo"),
            ("[::1]:5000", "[::1]:5000"),
        ] {
            assert_eq!(shown(&Query::of_server(text).unwrap()), expected);
        }
    }

    #[test]
    fn what_names_no_registry_is_refused() {
        for (text, error) in [
            ("", QueryError::Empty),
            (" \n", QueryError::Empty),
            ("registry.exam\nple.com", QueryError::ControlCharacter),
            ("r.example\0", QueryError::ControlCharacter),
            ("r.example\u{85}x", QueryError::ControlCharacter),
        ] {
            assert_eq!(Query::of_server(text), Err(error), "{text:?}");
        }
        let long = format!("r.example/{}", "a".repeat(LONGEST));
        assert_eq!(Query::of_server(&long), Err(QueryError::TooLong));
        for text in [
            "user:hunter2@r.example",
            "r.example?x",
            "r.example#x",
            "ftp://r.example",
            "*.example",
            "r.example:port",
            "https:///path",
            "../../etc/passwd",
            ".example",
            "r.example.",
        ] {
            let error = Query::of_server(text).unwrap_err();
            assert!(matches!(error, QueryError::NoRegistry(_)), "{text:?}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn images_are_read_as_kubelet_passes_them() {
        let of = |image| shown(&Query::of_image(image).unwrap());
        assert_eq!(of("docker.io/library/nginx"), "docker.io/library/nginx");
        assert_eq!(of("nginx:1.27"), "docker.io/library/nginx");
        assert_eq!(of("r.example:5000/team/app"), "r.example:5000/team/app");
        assert_eq!(of("r.example:443/team/app"), "r.example/team/app");
        assert!(Query::of_image("").is_err() && Query::of_image("R/UPPER").is_err());
    }

    #[test]
    fn repositories_are_covered_by_whole_segments() {
        let query = Query::of_server("r.example/team/app").unwrap();
        assert!(query.is_below("") && query.is_below("team") && query.is_below("team/app"));
        assert!(!query.is_below("tea") && !query.is_below("team/app/x"));
    }
}
