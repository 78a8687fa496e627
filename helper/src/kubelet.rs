//! kubelet's credential provider.

use std::time::Instant;

use pullkeeper_core::protocol::Output;
use pullkeeper_core::protocol::kubelet;
use pullkeeper_core::wire::{self, Answer, Request};

use crate::agent::{self, AskError};
use crate::exchange::become_exchange;
use crate::input;

/// Answers one request.
pub(crate) fn run(deadline: Instant) -> Output {
    let input = match input::stdin(deadline) {
        Ok(input) => input,
        Err(error) => return kubelet::failure(&format!("cannot read standard input: {error}")),
    };
    let request = match kubelet::request(&input) {
        Ok(request) => request,
        Err(output) => return output,
    };
    match agent::ask::<_, Answer>(wire::CREDENTIAL, Some(&request), deadline) {
        Ok(answer) => match &request {
            Request::Kubelet { image, .. } => kubelet::answer(image, &answer),
            // What `kubelet::request` gives is kubelet's.
            Request::Docker { .. } => kubelet::failure("not a request of this protocol"),
        },
        Err(AskError::Absent) => {
            let error = become_exchange("kubelet", &input);
            kubelet::failure(&format!(
                "{}, and `pullkeeper exchange` cannot be executed in its place: {error}",
                AskError::Absent
            ))
        }
        Err(error) => kubelet::failure(&error.to_string()),
    }
}
