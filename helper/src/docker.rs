//! The docker credential helper.

use std::collections::BTreeMap;
use std::time::Instant;

use pullkeeper_core::protocol::Output;
use pullkeeper_core::protocol::docker::{self, Action};
use pullkeeper_core::wire::{self, Answer, Request, StoreAnswer, StoreRequest};

use crate::agent::{self, AskError};
use crate::exchange::become_exchange;
use crate::input;

/// Runs one action to its end.
pub(crate) fn run(program: &str, words: &[String], deadline: Instant) -> Output {
    let [word] = words else {
        return docker::usage(program, false);
    };
    match Action::parse(word) {
        Some(Action::Get) => get(deadline),
        Some(Action::Store) => keep(docker::store, deadline),
        Some(Action::Erase) => keep(docker::erase, deadline),
        Some(Action::List) => list(deadline),
        Some(Action::Version) => docker::version(program, env!("CARGO_PKG_VERSION")),
        Some(Action::Help) => docker::usage(program, true),
        None => docker::unknown_action(program, word),
    }
}

fn get(deadline: Instant) -> Output {
    let input = match input::stdin(deadline) {
        Ok(input) => input,
        Err(error) => return docker::unavailable(&format!("cannot read standard input: {error}")),
    };
    let request = match docker::get(&input) {
        Ok(request) => request,
        Err(output) => return output,
    };
    match agent::ask::<_, Answer>(wire::CREDENTIAL, Some(&request), deadline) {
        Ok(answer) => match &request {
            Request::Docker { server } => docker::answer(server, &answer),
            // What `docker::get` gives is docker's.
            Request::Kubelet { .. } => docker::unavailable("not a request of this protocol"),
        },
        Err(AskError::Absent) => {
            let error = become_exchange("docker", &input);
            docker::unavailable(&format!(
                "{}, and `pullkeeper exchange` cannot be executed in its place: {error}",
                AskError::Absent
            ))
        }
        Err(error) => docker::unavailable(&error.to_string()),
    }
}

/// `store` and `erase` differ in what they read. Without an agent nobody forbids them, and nothing is kept anyway.
fn keep(read: fn(&[u8]) -> Result<StoreRequest, Output>, deadline: Instant) -> Output {
    let input = match input::stdin(deadline) {
        Ok(input) => input,
        Err(error) => return docker::unavailable(&format!("cannot read standard input: {error}")),
    };
    let request = match read(&input) {
        Ok(request) => request,
        Err(output) => return output,
    };
    match agent::ask(wire::STORE, Some(&request), deadline) {
        Ok(answer) => docker::stored(&answer),
        Err(AskError::Absent) => docker::stored(&StoreAnswer::Ignored),
        Err(error) => docker::unavailable(&error.to_string()),
    }
}

fn list(deadline: Instant) -> Output {
    match agent::ask::<(), BTreeMap<String, String>>(wire::REGISTRIES, None, deadline) {
        Ok(registries) => docker::list(&registries),
        Err(error) => docker::unavailable(&error.to_string()),
    }
}
