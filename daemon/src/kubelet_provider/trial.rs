//! What kubelet would execute is executed once before it is told of it.

use std::io::{self, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use pullkeeper_core::placement::plan::Plan;
use pullkeeper_core::provider::render::PROVIDER_NAME;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::time::timeout;

use super::root::Root;

/// Longer than a program may take that answers with nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// An image that nobody has.
const IMAGE: &str = "pullkeeper.invalid/trial";

/// Why a program is none that kubelet could use.
#[derive(Debug, Error)]
pub(super) enum TrialError {
    /// It does not start.
    #[error(
        "cannot execute {path}; see that its file system is mounted without `noexec`, and that it is for this machine"
    )]
    Start {
        /// Which one.
        path: String,
        /// What came.
        #[source]
        source: io::Error,
    },
    /// It does not end.
    #[error("{0} does not answer within {PATIENCE:?}")]
    Slow(String),
    /// It ends badly, or its answer is none.
    #[error("{path} answers kubelet with {answer}")]
    Answer {
        /// Which one.
        path: String,
        /// What came.
        answer: String,
    },
}

/// Executes the stub as kubelet does. Where the helper is seen at its place it becomes that.
pub(super) async fn run(root: &Root, plan: &Plan) -> Result<(), TrialError> {
    let programs = &plan.flags[1];
    let path = format!("{programs}/{PROVIDER_NAME}");
    let request = json!({
        "kind": "CredentialProviderRequest",
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "image": IMAGE,
    });
    let program = root.seen(&path);
    // A thread of its own: one that hangs holds nobody up.
    let asked = tokio::task::spawn_blocking(move || {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // Who does not read it answers all the same.
            let _heard = stdin.write_all(request.to_string().as_bytes());
        }
        child.wait_with_output()
    });
    let output = match timeout(PATIENCE, asked).await {
        Err(_) => return Err(TrialError::Slow(path)),
        Ok(Err(ended)) => {
            let source = io::Error::other(ended);
            return Err(TrialError::Start { path, source });
        }
        Ok(Ok(Err(source))) => return Err(TrialError::Start { path, source }),
        Ok(Ok(Ok(output))) => output,
    };
    let answer: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    let kind = answer.as_ref().map(|answer| &answer["kind"]);
    // That it cannot tell now is an answer as well, and kubelet goes on after it.
    if output.status.code() == Some(1)
        || output.status.success() && kind == Some(&Value::from("CredentialProviderResponse"))
    {
        return Ok(());
    }
    // Never what it has printed: that may be a credential.
    let answer = if output.status.success() {
        "something that is no CredentialProviderResponse".to_owned()
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().last().unwrap_or_default().trim().to_owned();
        format!("{} ({said})", output.status)
    };
    Err(TrialError::Answer { path, answer })
}
