//! The coordinator: paces rollouts over all nodes.
//!
//! ```text
//! election ─▶ lead{view ─▶ intent ─▶ core::rollout::decide ─▶ publish, store, drain}
//!                └─▶ desk ─▶ admin
//! ```
//!
//! It reads nodes and records, and writes the rollout's status and the specs of records; where nodes are drained it cordons them
//! and evicts their pods. It has no right to read a Secret.

mod condition;
mod cordon;
pub mod desk;
mod drain;
mod dry_run;
mod election;
mod fleet;
mod intent;
mod lead;
mod objects;
mod pools;
mod publish;
mod store;
mod view;

use std::collections::BTreeSet;
use std::env;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::desk::Desk;
use self::drain::Engine;
use self::election::{Election, Term, lasts};
use self::lead::{Current, LastBlockers, Lead, Shown};
use self::objects::NodeObject;
use self::store::Store;
use self::view::View;
use crate::admin;
use crate::agent::{block_on, refuse_to_start};
use crate::cli::CoordinatorArgs;
use crate::cluster::Cluster;
use crate::config::{self, Listen, Settings};
use crate::event::{Events, Subject};
use crate::exit::{Exit, complain};
use crate::list_watch::Terms;
use crate::listener::Listener;
use crate::resource::{PullSecretRollout, ROLLOUT};
use crate::resync::Resync;
use crate::signal::{Event, Signals};
use crate::telemetry;

/// How long a shutdown may take.
const DRAIN: Duration = Duration::from_secs(10);

/// Runs `pullkeeper coordinator` to its end.
pub fn run(arguments: &CoordinatorArgs) -> Exit {
    match block_on(start(arguments)) {
        Ok(exit) => exit,
        Err(error) => {
            complain("cannot start the runtime", &error);
            Exit::Internal
        }
    }
}

async fn start(arguments: &CoordinatorArgs) -> Exit {
    let mut signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => {
            complain("cannot handle signals", &error);
            return Exit::Internal;
        }
    };
    let file = arguments.config.as_deref();
    let settings = match config::load(file, &[], &|name| env::var_os(name)) {
        Ok(loaded) => loaded.settings,
        Err(error) => return refuse_to_start(&error),
    };
    if arguments.dry_run {
        return dry_run::run(arguments, &settings).await;
    }
    if let Err(error) = telemetry::start(&settings.log, &|name| env::var_os(name)) {
        complain("cannot start logging", &error);
        return Exit::Usage;
    }
    let listener = match Listener::bind(&settings.admin.listen, "admin.listen", 0o660).await {
        Ok(listener) => listener,
        Err(error) => {
            complain("cannot start", &error);
            return Exit::Unavailable;
        }
    };
    let address = listener
        .as_ref()
        .map_or_else(|| Listen::Off.to_string(), Listener::address);
    let identity = identity();
    let desk = Arc::new(Desk::new(identity.clone()));
    let cancel = CancellationToken::new();
    let admin = listener
        .map(|listener| tokio::spawn(admin::serve(listener, Arc::clone(&desk), cancel.clone())));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        identity,
        admin = address,
        "coordinator started"
    );
    let mut work = tokio::spawn(work(settings, identity, desk, cancel.clone()));
    let exit = loop {
        tokio::select! {
            event = signals.next() => if event == Event::Shutdown { break Exit::Ok },
            _ = &mut work => {
                tracing::error!("a task ended that never should; ending the process");
                break Exit::Internal;
            }
        }
    };
    cancel.cancel();
    let drained = tokio::time::timeout(DRAIN, async {
        if exit == Exit::Ok {
            let _ended_or_panicked = work.await;
        }
        if let Some(admin) = admin {
            let _ended_or_panicked = admin.await;
        }
    });
    if drained.await.is_err() {
        tracing::warn!("not everything ended in time; ending all the same");
    }
    exit
}

/// Stands for election, and leads whenever it is its turn, until cancelled.
async fn work(settings: Settings, identity: String, desk: Arc<Desk>, cancel: CancellationToken) {
    let cluster = Cluster::counted(&settings.kubernetes, desk.requests());
    let (terms, mut term) = watch::channel(None);
    let election = Election {
        cluster: cluster.clone(),
        settings: settings.coordinator.clone(),
        identity: identity.clone(),
        desk: Arc::clone(&desk),
    };
    let stand = election.stand(&terms, &cancel);
    let lead = async {
        while cancel
            .run_until_cancelled(elected(&mut term))
            .await
            .is_some()
        {
            tracing::info!("leading");
            desk.leads(true);
            Box::pin(lead(&settings, &identity, &cluster, &term, &desk)).await;
            desk.leads(false);
            tracing::info!("not leading any more");
        }
    };
    tokio::join!(stand, lead);
}

async fn elected(term: &mut watch::Receiver<Term>) {
    // The sender lives as long as whoever waits here.
    let _elected = term.wait_for(|term| lasts(*term)).await;
}

/// Works for one term. Everything that it knows is known anew.
async fn lead(
    settings: &Settings,
    identity: &str,
    cluster: &Cluster,
    term: &watch::Receiver<Term>,
    desk: &Arc<Desk>,
) {
    let end = CancellationToken::new();
    let _end_all = end.clone().drop_guard();
    let view = Arc::new(View::default());
    let terms = Terms::of(&settings.kubernetes, cluster, &Resync::default(), &end);
    let engine = Arc::new(Engine::new(
        terms.clone(),
        Arc::clone(&view),
        term.clone(),
        Arc::clone(desk),
        NodeObject::is_cordoned_for,
    ));
    let subject = Subject {
        object: ObjectReference {
            api_version: Some(PullSecretRollout::api_version(&()).into_owned()),
            kind: Some(PullSecretRollout::kind(&()).into_owned()),
            name: Some(ROLLOUT.to_owned()),
            ..ObjectReference::default()
        },
        controller: "pullkeeper-coordinator",
        instance: identity.to_owned(),
        action: "RollOutPullSecret",
    };
    let request_timeout = settings.kubernetes.request_timeout;
    let (events, deliver) = Events::on(
        subject,
        cluster.clone(),
        request_timeout,
        desk.events_dropped(),
    );
    let lead = Lead {
        view: Arc::clone(&view),
        store: Store::new(cluster.clone(), request_timeout),
        term: term.clone(),
        desk: Arc::clone(desk),
        events: if settings.kubernetes.events {
            events
        } else {
            Events::off()
        },
        engine: Arc::clone(&engine),
        gone: BTreeSet::new(),
        current: Current::default(),
        blockers: LastBlockers::default(),
        shown: Shown::default(),
    };
    tokio::select! {
        () = lead.work() => {}
        () = engine.run() => {}
        () = view.keep(&terms) => {}
        () = async { deliver.await; std::future::pending().await } => {}
    }
}

/// A name that no other process has: that of the pod or host, and something random.
fn identity() -> String {
    let host = nix::unistd::gethostname().ok();
    let host = host
        .and_then(|host| host.into_string().ok())
        .unwrap_or_else(|| "coordinator".to_owned());
    let random = getrandom::u64().unwrap_or_else(|_| std::process::id().into());
    format!("{host}_{random:016x}")
}
