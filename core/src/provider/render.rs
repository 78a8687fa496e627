//! Our own file of kubelet's configuration.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

/// The file's name in the directory. Files are read in the order of their names; answers of earlier ones are tried
/// first.
pub const FILE_NAME: &str = "50-pullkeeper.yaml";

/// The provider's name, which is that of the program in the directory of the programs: a link to the credential
/// helper, or a copy of it. It is told by an argument to speak kubelet's protocol.
pub const PROVIDER_NAME: &str = "pullkeeper-credential-provider";

/// What is different from node to node, or from cluster to cluster.
#[derive(Clone, Copy, Debug)]
pub struct Ours<'o> {
    /// Patterns of the images to be asked for; at least one.
    pub match_images: &'o [String],
    /// The agent's socket; the helper's own default when there is none.
    pub socket: Option<&'o Path>,
    /// The helper's deadline in seconds, from 1 to 55; its own default when there is none.
    pub timeout: Option<u8>,
    /// Set when kubelet is to pass on tokens of pods' service accounts.
    pub token: Option<OurToken<'o>>,
}

/// How tokens are to be passed on.
#[derive(Clone, Copy, Debug)]
pub struct OurToken<'o> {
    /// Their audience.
    pub audience: &'o str,
    /// Whether pods without a service account are left out.
    pub require_service_account: bool,
}

/// The text of [`FILE_NAME`]: the same bytes for the same input.
///
/// Nothing is cached by kubelet: it asks again at each pull, and the agent knows when a credential changes. Should an
/// answer ever be cached, then for one token only (`cacheType: Token`).
///
/// What is written must still be held against [`super::config::load`], which knows the version of kubelet and refuses
/// patterns that kubelet would refuse.
pub fn render(ours: Ours<'_>) -> String {
    let mut text = String::from(
        "# Written by Pullkeeper, which replaces it. kubelet reads it at its start only.\n\
         apiVersion: kubelet.config.k8s.io/v1\n\
         kind: CredentialProviderConfig\n\
         providers:\n",
    );
    let mut line = |indent: usize, content: &str| {
        // A String takes everything.
        let _ = writeln!(text, "{:indent$}{content}", "");
    };
    line(2, &format!("- name: {PROVIDER_NAME}"));
    line(4, "apiVersion: credentialprovider.kubelet.k8s.io/v1");
    line(4, "matchImages:");
    for pattern in ours.match_images {
        line(6, &format!("- {}", quoted(pattern)));
    }
    line(4, "defaultCacheDuration: \"0s\"");
    line(4, "args: [\"credential-provider\"]");
    let socket = ours
        .socket
        .map(|socket| socket.to_string_lossy().into_owned());
    let timeout = ours.timeout.map(|seconds| seconds.to_string());
    let env = [
        ("PULLKEEPER_BROKER_SOCKET", socket),
        ("PULLKEEPER_HELPER_TIMEOUT", timeout),
    ];
    let mut set = env
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)))
        .peekable();
    if set.peek().is_some() {
        line(4, "env:");
    }
    for (name, value) in set {
        line(6, &format!("- name: {name}"));
        line(8, &format!("value: {}", quoted(value)));
    }
    if let Some(token) = ours.token {
        line(4, "tokenAttributes:");
        let audience = quoted(token.audience);
        line(6, &format!("serviceAccountTokenAudience: {audience}"));
        line(6, "cacheType: Token");
        let required = token.require_service_account;
        line(6, &format!("requireServiceAccount: {required}"));
    }
    text
}

/// In double quotes, whose escapes in JSON are among those of YAML. Beyond ASCII nothing is left unescaped that YAML
/// might take for a line break.
fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for character in Value::from(text).to_string().chars() {
        let code = u32::from(character);
        let _ = match character {
            '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                write!(quoted, "\\u{code:04x}")
            }
            other => write!(quoted, "{other}"),
        };
    }
    quoted
}

#[cfg(test)]
mod tests;
