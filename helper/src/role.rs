//! Which protocol is spoken: by the name under which the program was executed, and its first argument.

use std::ffi::OsString;
use std::path::Path;

/// The first argument that makes the program kubelet's provider, whatever its name is.
const PROVIDER: &str = "credential-provider";

/// What the program is this time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A docker credential helper.
    Docker {
        /// The name it was executed under.
        program: String,
        /// Its arguments.
        words: Vec<String>,
    },
    /// kubelet's credential provider. kubelet knows it by its file name, which may be any but docker's.
    Kubelet,
}

impl Role {
    pub(crate) fn of(arguments: impl IntoIterator<Item = OsString>) -> Self {
        let mut arguments = arguments
            .into_iter()
            .map(|word| word.to_string_lossy().into_owned());
        let path = arguments.next().unwrap_or_default();
        let name = Path::new(&path).file_name().unwrap_or_default();
        let program = name.to_string_lossy().into_owned();
        let words: Vec<_> = arguments.collect();
        let provider = words.first().is_some_and(|word| word == PROVIDER);
        if !provider && program.starts_with("docker-credential-") {
            Self::Docker { program, words }
        } else {
            Self::Kubelet
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(words: &[&str]) -> Role {
        Role::of(words.iter().map(OsString::from))
    }

    #[test]
    fn the_name_decides_unless_the_first_argument_does() {
        let docker = Role::Docker {
            program: "docker-credential-pullkeeper".to_owned(),
            words: vec!["get".to_owned()],
        };
        assert_eq!(
            role(&["/usr/bin/docker-credential-pullkeeper", "get"]),
            docker
        );
        assert_eq!(
            role(&["/opt/plugins/pullkeeper-credential-provider"]),
            Role::Kubelet
        );
        assert_eq!(
            role(&["docker-credential-pullkeeper", "credential-provider"]),
            Role::Kubelet
        );
    }
}
