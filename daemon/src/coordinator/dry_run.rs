//! `pullkeeper coordinator --dry-run`: what a rollout of something new would do to each node, without doing anything.
//!
//! It sees what a coordinator sees, has the decision itself foretell the order, and has the engine try the pods of nodes that
//! would be drained. Nobody is elected for that, and nothing is written.

mod answer;
mod tried;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use pullkeeper_core::rollout::forecast;
use serde_json::Value;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::answer::{Answer, print_table};
use self::tried::try_pods;
use super::desk::Desk;
use super::drain::Engine;
use super::fleet::fleet;
use super::intent::{Intent, Invalid};
use super::lead::{now, troubles};
use super::objects::NodeObject;
use super::view::{Known, View};
use crate::cli::{CoordinatorArgs, Input};
use crate::cluster::Cluster;
use crate::config::Settings;
use crate::exit::{Exit, complain};
use crate::list_watch::Terms;
use crate::resource::ROLLOUT;
use crate::resync::Resync;
use crate::validate::{print, read_input};

/// How long it may take until everything was listed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than anything takes: nobody else may begin meanwhile, since nothing is done.
const TERM: Duration = Duration::from_hours(24);

/// Why nothing can be said.
#[derive(Debug, Error)]
enum Failure {
    #[error("{0}")]
    Trouble(String),
    #[error(
        "there is no PullSecretRollout named {ROLLOUT}; name a file that has it, with --filename"
    )]
    NoRollout,
    #[error("{0}; correct it, and try again")]
    Invalid(Invalid),
}

/// Says what a rollout would do. Exits with [`Exit::Findings`] when it would not get everywhere.
pub(super) async fn run(arguments: &CoordinatorArgs, settings: &Settings) -> Exit {
    let written = match arguments.filename.as_ref().map(spec_of).transpose() {
        Ok(spec) => spec,
        Err(exit) => return exit,
    };
    let cluster = Cluster::new(&settings.kubernetes);
    let end = CancellationToken::new();
    let _end_all = end.clone().drop_guard();
    let view = Arc::new(View::default());
    let terms = Terms::of(&settings.kubernetes, &cluster, &Resync::default(), &end);
    let (_elected, term) = watch::channel(Some(Instant::now() + TERM));
    let engine = Engine::new(
        terms.clone(),
        Arc::clone(&view),
        term,
        Arc::new(Desk::new(String::new())),
        NodeObject::is_cordoned_for,
    );
    let answer = tokio::select! {
        answer = answer(&view, &engine, written) => answer,
        () = engine.run() => return Exit::Internal,
        () = view.keep(&terms) => return Exit::Internal,
    };
    match answer {
        Ok(answer) => print(
            arguments.output,
            &answer,
            |answer| print_table(answer, &mut io::stdout().lock()),
            answer.is_good(),
        ),
        Err(error) => {
            complain("cannot say what a rollout would do", &error);
            match error {
                Failure::Invalid(_) => Exit::Usage,
                Failure::Trouble(_) | Failure::NoRollout => Exit::Unavailable,
            }
        }
    }
}

/// The `spec` of the object in a file. What is wrong with it has been said.
fn spec_of(input: &Input) -> Result<Value, Exit> {
    let bytes = read_input(input).map_err(|_told| Exit::NoInput)?;
    let object: Value = serde_saphyr::from_slice(&bytes).map_err(|error| {
        complain("cannot read the rollout", &error);
        Exit::Usage
    })?;
    let kind = object.get("kind").and_then(Value::as_str);
    match (kind, object.get("spec")) {
        (Some("PullSecretRollout"), Some(spec)) => Ok(spec.clone()),
        _ => {
            let error = io::Error::other("it is no PullSecretRollout with a spec");
            complain("cannot read the rollout", &error);
            Err(Exit::Usage)
        }
    }
}

async fn answer(view: &View, engine: &Engine, written: Option<Value>) -> Result<Answer, Failure> {
    let known = known(view).await?;
    let spec = match written {
        Some(spec) => spec,
        None => {
            let rollouts = known.rollouts.all();
            let rollout = rollouts.and_then(|rollouts| rollouts.get(ROLLOUT));
            rollout.ok_or(Failure::NoRollout)?.spec.clone()
        }
    };
    let intent = Intent::read(&spec).map_err(Failure::Invalid)?;
    let none = BTreeMap::new();
    let policy = intent
        .policy(known.nodes.all().unwrap_or(&none), now())
        .map_err(Failure::Invalid)?;
    let none = BTreeMap::new();
    let fleet = fleet(&known, known.records.all().unwrap_or(&none), &intent);
    let forecast = forecast(&policy, &fleet, now());
    let tried = match intent.drains_nodes() {
        true => try_pods(view, engine, &intent, &forecast, &fleet).await,
        false => BTreeMap::new(),
    };
    Ok(Answer::new(&policy, &fleet, &forecast, &tried))
}

/// What is known once everything was listed.
async fn known(view: &View) -> Result<Known, Failure> {
    let told = |known: &Known| {
        let troubles = troubles(known, true).join("; ");
        Failure::Trouble(troubles)
    };
    let listed = async {
        loop {
            let known = view.known();
            let of = [
                &known.rollouts.trouble,
                &known.nodes.trouble,
                &known.records.trouble,
            ];
            if of.into_iter().any(Option::is_some) {
                return Err(told(&known));
            }
            let all = known.rollouts.all().is_some()
                && known.nodes.all().is_some()
                && known.records.all().is_some()
                && (known.pools.all().is_some() || known.pools.trouble.is_some());
            if all {
                return Ok(known);
            }
            view.changed().await;
        }
    };
    let listed = tokio::time::timeout(PATIENCE, listed).await;
    listed.unwrap_or_else(|_elapsed| Err(told(&view.known())))
}
