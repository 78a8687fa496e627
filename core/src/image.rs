//! Image references, parsed as the container tools do.
//!
//! The rules are those of `ParseNormalizedNamed` in github.com/distribution/reference
//! (normalize.go, reference.go, regexp.go): a name without a registry belongs to Docker Hub,
//! `index.docker.io` is
//! `docker.io`, and a Hub repository without a namespace is in `library/`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

mod grammar;

/// Longest allowed repository path, in bytes.
const MAX_PATH: usize = 255;

/// A parsed image reference.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImageRef {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl ImageRef {
    /// Parses `image` as written by users, in pod specs or on command lines.
    pub fn parse(image: &str) -> Result<Self, ImageError> {
        let refuse = |fault| ImageError {
            image: image.to_owned(),
            fault,
        };
        if grammar::is_identifier(image) {
            return Err(refuse(ImageFault::Identifier));
        }
        let (domain, remainder) = split_domain(image);
        let repository = remainder.split(':').next().unwrap_or_default();
        if repository
            .chars()
            .any(|character| character.to_lowercase().ne([character]))
        {
            return Err(refuse(ImageFault::Uppercase));
        }
        Self::parse_canonical(&format!("{domain}/{remainder}")).map_err(refuse)
    }

    /// Parses a reference that has been given its registry and namespace.
    fn parse_canonical(reference: &str) -> Result<Self, ImageFault> {
        let (rest, digest) = match reference.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (reference, None),
        };
        let last_segment = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[last_segment..].split_once(':') {
            Some((segment, tag)) => (&rest[..last_segment + segment.len()], Some(tag)),
            None => (rest, None),
        };
        let (domain, path) = match name.split_once('/') {
            Some((domain, path)) if grammar::is_domain(domain) => (domain, path),
            // A first segment that no registry can have (`foo_bar.x/y`) is part of the path.
            _ => ("", name),
        };
        if !path.split('/').all(grammar::is_path_component) {
            return Err(ImageFault::Name);
        }
        if !tag.is_none_or(grammar::is_tag) {
            return Err(ImageFault::Tag);
        }
        if path.len() > MAX_PATH {
            return Err(ImageFault::TooLong);
        }
        if !digest.is_none_or(grammar::is_digest) {
            return Err(ImageFault::Digest);
        }
        Ok(Self {
            domain: domain.to_owned(),
            path: path.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// The registry, `host[:port]`; empty in the odd case that the first segment cannot be one.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Registry and repository without tag and digest, which is what credentials are looked up for.
    pub fn name(&self) -> String {
        if self.domain.is_empty() {
            return self.path.clone();
        }
        format!("{}/{}", self.domain, self.path)
    }

    /// The tag, when one is written.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest with its algorithm, when one is written.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }
}

impl FromStr for ImageRef {
    type Err = ImageError;

    fn from_str(image: &str) -> Result<Self, Self::Err> {
        Self::parse(image)
    }
}

/// The reference in full, with registry and namespace.
impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// A text is not an image reference.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("cannot parse image reference {image:?}")]
pub struct ImageError {
    /// The text.
    pub image: String,
    /// What is wrong with it.
    #[source]
    pub fault: ImageFault,
}

/// Why a text is not an image reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ImageFault {
    /// The digest has an unknown algorithm, or not its number of lower-case hexadecimal digits.
    #[error("the digest must be sha256, sha384 or sha512 with lower-case hexadecimal digits")]
    Digest,
    /// 64 hexadecimal digits are an image ID, not a name.
    #[error("64 hexadecimal digits are an image ID; write registry and repository")]
    Identifier,
    /// The name does not follow the grammar.
    #[error("registry or repository has a form that names cannot have")]
    Name,
    /// The tag does not follow the grammar.
    #[error(
        "a tag has at most 128 letters, digits, '_', '.' and '-' and does not begin with '.' or '-'"
    )]
    Tag,
    /// The repository is longer than 255 bytes.
    #[error("the repository is longer than 255 characters")]
    TooLong,
    /// The repository has upper-case letters.
    #[error("the repository must be lower case")]
    Uppercase,
}

/// Splits off the registry and adds the defaults of Docker Hub (`splitDockerDomain`).
fn split_domain(name: &str) -> (&str, String) {
    const HUB: &str = "docker.io";
    let (domain, remainder) = match name.split_once('/') {
        None => return (HUB, format!("library/{name}")),
        Some(("index.docker.io", remainder)) => (HUB, remainder),
        Some((first, remainder)) if is_registry(first) => (first, remainder),
        Some(_) => (HUB, name),
    };
    if domain == HUB && !remainder.contains('/') {
        return (domain, format!("library/{remainder}"));
    }
    (domain, remainder.to_owned())
}

/// Whether the first segment is taken for a registry and not for a namespace on Docker Hub.
fn is_registry(segment: &str) -> bool {
    segment == "localhost"
        || segment.contains(['.', ':'])
        || segment
            .chars()
            .any(|character| character.to_lowercase().ne([character]))
}

#[cfg(test)]
mod tests;
