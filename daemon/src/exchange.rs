//! `pullkeeper exchange`: answers one request of a helper without an agent.
//!
//! The helper becomes this program when nobody listens on the agent's socket: at boot, when the agent's own image has
//! to be pulled, and on hosts that run no agent.

use std::env;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use pullkeeper_core::protocol::{Output, docker, kubelet};
use pullkeeper_core::query::Query;
use pullkeeper_core::wire::{Answer, LONGEST_BODY, Request};
use zeroize::Zeroizing;

use crate::agent::{block_on, once};
use crate::broker::{Asker, Broker};
use crate::cli::{ExchangeArgs, Protocol};
use crate::cluster::Cluster;
use crate::config::{self, ConfigError, Loaded, Settings};
use crate::delegation::{Delegation, Delegations, Means, Shelf, steps};
use crate::exit::{Exit, complain};
use crate::gate::Gate;
use crate::outbound::SetupError;
use crate::status::Board;

/// How long the sources may take: less than the helper's own deadline, which went on when it became this program.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers the request on standard input in the words of its protocol; the status is the protocol's too.
pub fn run(arguments: &ExchangeArgs) -> u8 {
    if let Some(registry) = &arguments.dry_run {
        return dry_run(arguments, registry).status();
    }
    let output = match arguments.protocol {
        Protocol::Docker => answer(arguments, docker::get, docker::unavailable),
        Protocol::Kubelet => answer(arguments, kubelet::request, kubelet::failure),
    };
    // Nobody is left to tell when the client is gone.
    let _ = io::stderr().write_all(output.stderr.as_bytes());
    match io::stdout().write_all(output.stdout.as_bytes()) {
        Ok(()) => output.status,
        Err(_) => 1,
    }
}

/// Prints what would be done for a registry.
fn dry_run(arguments: &ExchangeArgs, registry: &str) -> Exit {
    let query = match Query::of_server(registry) {
        Ok(query) => query,
        Err(error) => {
            complain("cannot read the registry", &error);
            return Exit::Usage;
        }
    };
    let loaded = match load(arguments) {
        Ok(loaded) => loaded,
        Err(error) => {
            complain("cannot use the configuration", &error);
            return Exit::Usage;
        }
    };
    let mut delegations = loaded.settings.delegations.iter();
    let steps = match delegations.find(|delegation| delegation.answers(&query)) {
        Some(delegation) => steps(delegation, &query),
        None => vec![format!(
            "no delegation answers for {}: the pull secret's own entry for it is handed out, and nothing is sent",
            query.registry()
        )],
    };
    let mut out = io::stdout().lock();
    for (number, step) in steps.iter().enumerate() {
        if writeln!(out, "{}. {step}", number + 1).is_err() {
            return Exit::Unavailable;
        }
    }
    Exit::Ok
}

fn load(arguments: &ExchangeArgs) -> Result<Loaded, ConfigError> {
    config::load(arguments.config.as_deref(), &[], &|name| env::var_os(name))
}

fn answer(
    arguments: &ExchangeArgs,
    read: fn(&[u8]) -> Result<Request, Output>,
    fail: fn(&str) -> Output,
) -> Output {
    let mut input = Zeroizing::new(Vec::with_capacity(LONGEST_BODY + 1));
    let longest = LONGEST_BODY as u64 + 1;
    match io::stdin().lock().take(longest).read_to_end(&mut input) {
        Ok(length) if length > LONGEST_BODY => return fail("standard input is longer than 1 MiB"),
        Ok(_) => {}
        Err(error) => return fail(&format!("cannot read standard input: {error}")),
    }
    let request = match read(&input) {
        Ok(request) => request,
        Err(output) => return output,
    };
    let loaded = match load(arguments) {
        Ok(loaded) => loaded,
        Err(error) => return fail(&error.to_string()),
    };
    match block_on(ask(&loaded.settings, &request)) {
        Ok(Ok(answer)) => match &request {
            Request::Docker { server } => docker::answer(server, &answer),
            Request::Kubelet { image, .. } => kubelet::answer(image, &answer),
        },
        Ok(Err(error)) => fail(&error.to_string()),
        Err(error) => fail(&format!("cannot start the runtime: {error}")),
    }
}

async fn ask(settings: &Settings, request: &Request) -> Result<Answer, SetupError> {
    let board = Arc::new(Board::new(settings.node_name.clone()));
    // First, so that its patience and that of the sources run at the same time.
    let shelf = Shelf::open(&settings.broker.exchange_cache);
    let cluster = Cluster::new(&settings.kubernetes);
    let means = Means {
        board: &board,
        cluster: &cluster,
        shelf: shelf.as_ref(),
    };
    let delegations = Delegations::new(&settings.delegations, &means)?;
    let query = request.query().ok();
    let delegation = query.and_then(|query| delegations.find(&query));
    let needs_sources = delegation.is_none_or(Delegation::needs_sources);
    let broker = Broker::new(settings.broker.clone(), delegations, board);
    if needs_sources {
        let observed = once::observe(settings, &cluster, PATIENCE).await;
        broker.learn(&Gate::new(settings.validation.clone()).pass(&observed));
    }
    // The sources were read with the rights of whoever runs this, so there is nobody to be protected from.
    Ok(broker.answer(request, Asker::Root).await)
}
