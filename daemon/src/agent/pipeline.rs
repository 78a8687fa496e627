//! Everything that runs for one configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::activation::{Activated, Activation, Journal, Rejected};
use crate::broker::Broker;
use crate::cluster::Cluster;
use crate::config::{Listen, Settings, TargetKind};
use crate::event::{Events, Subject};
use crate::gate::{Gate, Restart, Wish};
use crate::install::helper::{Helper, Keep};
use crate::install::installer::Installer;
use crate::install::ownership::{Inquiry, Ownership};
use crate::install::writer::{self, Shared};
use crate::kubelet_provider::Keeper;
use crate::list_watch::Terms;
use crate::report::Reporter;
use crate::resync::Resync;
use crate::rollout::{self, Hold, Memory, Orders, Passed, Reports, Standing, Trial};
use crate::source::{self, Observation};
use crate::status::{Board, HelperStatus, TargetStatus};

/// What revisions go through on their way to the files, and what it remembers.
pub(super) struct Way {
    pub(super) hold: Hold,
    pub(super) gate: Gate,
    /// Where something is restarted.
    pub(super) journal: Option<Arc<Journal>>,
}

/// The running tasks of one configuration.
pub(super) struct Pipeline {
    cancel: CancellationToken,
    resync: Resync,
    sources: TaskTracker,
    gate: JoinHandle<Way>,
    tasks: JoinSet<&'static str>,
}

impl Pipeline {
    /// Starts everything. Nothing here waits for the API server.
    pub(super) fn start(
        settings: &Settings,
        way: Way,
        board: &Arc<Board>,
        broker: &Arc<Broker>,
    ) -> Self {
        let cancel = CancellationToken::new();
        let resync = Resync::default();
        let journal = way.journal.clone();
        let cluster = Cluster::new(&settings.kubernetes);
        let mut tasks = JoinSet::new();

        let terms = Terms::of(&settings.kubernetes, &cluster, &resync, &cancel);
        let context = source_context(settings, terms);
        let sources = context.tasks.clone();
        let observations = source::spawn(&settings.sources, &context);
        sources.close();

        let events = match &settings.node_name {
            Some(node_name) if settings.kubernetes.events => {
                let (events, deliver) = Events::on(
                    Subject::node(node_name),
                    cluster.clone(),
                    settings.kubernetes.request_timeout,
                    board.metrics().events_dropped(),
                );
                spawn(&mut tasks, &cancel, "events", deliver);
                events
            }
            _ => Events::off(),
        };

        let activation = activation(settings, way.journal.as_ref(), &events);
        let (passed_sender, passed) = watch::channel(Passed::default());
        let orders = match &settings.node_name {
            Some(node_name) if settings.kubernetes.rollouts => {
                let (orders, receiver) = watch::channel(Orders::Unknown);
                let follow = rollout::follow(node_name.clone(), context.terms.clone(), orders);
                spawn(&mut tasks, &cancel, "orders", follow);
                let provider = Keeper::of(settings, node_name, &cluster, &events);
                let (provided, provider_told) = watch::channel(None);
                let provider_told = provider.is_some().then_some(provider_told);
                if let Some(keeper) = provider {
                    let keep = keeper.keep(passed.clone(), provided);
                    spawn(&mut tasks, &cancel, "kubelet provider", keep);
                }
                let reports = Reports {
                    provider: provider_told,
                    node_name: node_name.clone(),
                    cluster: cluster.clone(),
                    orders: receiver.clone(),
                    passed: passed.clone(),
                    activated: activation.as_ref().map(|(_, activated)| activated.clone()),
                    board: Arc::clone(board),
                };
                spawn(&mut tasks, &cancel, "reports", rollout::keep(reports));
                receiver
            }
            _ => watch::channel(Orders::Absent).1,
        };

        let (wish_sender, wish) = watch::channel(Arc::default());
        let reporter = Reporter::new(events.clone());
        let listeners = Listeners {
            wishes: wish_sender,
            passed: passed_sender,
            memory: Some(Memory::of(&settings.state_dir)),
            reporter,
            board: Arc::clone(board),
            // A broker that nobody can ask needs no copy of the credentials.
            broker: (settings.broker.listen != Listen::Off).then(|| Arc::clone(broker)),
        };
        let pass = pass(way, observations, orders, listeners);
        let end_all = cancel.clone().drop_guard();
        let gate = tokio::spawn(async move {
            // Dropped at the end, whichever way it comes.
            let _end_all = end_all;
            pass.await
        });

        // Only kubelet's file can be somebody else's; without one nothing is asked.
        let (found, ownership) = watch::channel(Ownership::Unknown);
        if settings
            .targets
            .iter()
            .any(|target| target.kind == TargetKind::Kubelet)
        {
            let inquiry = inquiry(settings, &cluster);
            spawn(&mut tasks, &cancel, "ownership", inquiry.run(found));
        } else {
            spawn(&mut tasks, &cancel, "ownership", async move {
                found.closed().await
            });
        }

        board.targets(settings.targets.iter().map(TargetStatus::pending));
        let mut restores = BTreeMap::new();
        for target in &settings.targets {
            let shared = Shared {
                wish: wish.clone(),
                ownership: ownership.clone(),
                resync_interval: settings.resync_interval,
                resync: resync.clone(),
                board: Arc::clone(board),
                cancel: cancel.clone(),
            };
            let installer = Installer::new(target.clone(), &settings.state_dir)
                .journaled(activation.is_some().then(|| journal.clone()).flatten());
            let (restore, asked) = mpsc::channel(1);
            restores.insert(target.path.clone(), restore);
            let reporter = Reporter::new(events.clone());
            // Cancelled by itself, between two writes.
            tasks.spawn(async move {
                writer::own(installer, shared, reporter, asked).await;
                "writer"
            });
        }
        let helper = settings.credential_helper.as_ref();
        board.helper(helper.map(HelperStatus::pending));
        if let Some(helper) = helper {
            let keep = Keep {
                reporter: Reporter::new(events.clone()),
                board: Arc::clone(board),
                resync_interval: settings.resync_interval,
                resync: resync.clone(),
                cancel: cancel.clone(),
            };
            let helper = Helper::new(helper);
            // Cancelled by itself, between two attempts.
            tasks.spawn(async move {
                keep.own(helper).await;
                "credential helper"
            });
        }
        if let Some((activation, _)) = activation {
            let run = activation.run(passed, Arc::clone(board), restores);
            spawn(&mut tasks, &cancel, "activation", run);
        }
        Self {
            cancel,
            resync,
            sources,
            gate,
            tasks,
        }
    }

    /// Looks at sources and targets now.
    pub(super) fn resync(&self) {
        self.resync.request();
    }

    /// Waits until a task ends that should not; what it was.
    pub(super) async fn broken(&mut self) -> &'static str {
        tokio::select! {
            () = self.cancel.cancelled() => "source or gate",
            Some(ended) = self.tasks.join_next() => ended.unwrap_or("task"),
        }
    }

    /// Stops everything, writes under way finished, and gives back what the way to the files remembers, unless it broke.
    pub(super) async fn stop(mut self) -> Option<Way> {
        self.cancel.cancel();
        self.sources.wait().await;
        while self.tasks.join_next().await.is_some() {}
        self.gate.await.ok()
    }
}

pub(super) fn source_context(settings: &Settings, terms: Terms) -> source::Context {
    source::Context {
        terms,
        resync_interval: settings.resync_interval,
        tasks: TaskTracker::new(),
    }
}

pub(super) fn inquiry(settings: &Settings, cluster: &Cluster) -> Inquiry {
    Inquiry {
        node_name: settings.node_name.clone(),
        cluster: cluster.clone(),
        state_dir: settings.state_dir.clone(),
    }
}

fn spawn(
    tasks: &mut JoinSet<&'static str>,
    cancel: &CancellationToken,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) {
    let cancel = cancel.clone();
    tasks.spawn(async move {
        cancel.run_until_cancelled_owned(task).await;
        name
    });
}

/// Everybody who is told what the sources wish for.
struct Listeners {
    wishes: watch::Sender<Arc<Wish>>,
    passed: watch::Sender<Passed>,
    /// Until something that is paced was taken.
    memory: Option<Memory>,
    reporter: Reporter,
    board: Arc<Board>,
    broker: Option<Arc<Broker>>,
}

/// Judges what the sources say, as far as it may go on, until they have ended.
async fn pass(
    mut way: Way,
    mut observations: watch::Receiver<Vec<Observation>>,
    mut orders: watch::Receiver<Orders>,
    mut listeners: Listeners,
) -> Way {
    let mut judged: Option<(Vec<Observation>, Arc<Wish>)> = None;
    let mut trial = Trial::default();
    let mut rejections = way.journal.as_deref().map(Journal::rejections);
    loop {
        // Cloned, because sources wait for the borrow.
        let seen = observations.borrow_and_update().clone();
        let ordered = orders.borrow_and_update().clone();
        let rejected = rejections
            .as_mut()
            .map(|all| all.borrow_and_update().clone());
        let rejected = rejected.flatten();
        let holding = way
            .hold
            .pass(&seen, &ordered, trial.passed, rejected.as_ref());
        let restart = restart(&holding.standing, &ordered).filter(|_| way.journal.is_some());
        match &holding.standing {
            Standing::Probing(permit) => trial.begin(permit.serial, || way.hold.candidates(&seen)),
            _ => trial.end(),
        }
        let wish = match &judged {
            // Orders that let nothing else through are nothing to write for.
            Some((former, wish))
                if *former == holding.observations && is_same(wish.restart, restart) =>
            {
                Arc::clone(wish)
            }
            _ => {
                let mut wish = way.gate.pass(&holding.observations);
                wish.restart = restart;
                let wish = Arc::new(wish);
                listeners.tell(&wish);
                judged = Some((holding.observations, Arc::clone(&wish)));
                wish
            }
        };
        if matches!(holding.standing, Standing::Taken(_) | Standing::Joined) {
            listeners.remember().await;
        }
        let answered = match &ordered {
            Orders::Given(given) => given.answered.as_ref().map_or(0, |answer| answer.serial),
            Orders::Unknown | Orders::Absent => 0,
        };
        let followed = *orders.borrow() != Orders::Absent;
        listeners.board.paced(followed.then_some(&holding.standing));
        listeners.passed.send_replace(Passed {
            standing: holding.standing,
            seen: holding.seen,
            wish,
            restart,
            rejected: trial.rejected.clone(),
            answered,
        });
        tokio::select! {
            changed = observations.changed() => if changed.is_err() { return way },
            () = changed(&mut orders) => {}
            () = rejected_again(&mut rejections) => {}
            () = trial.ended() => {}
        }
    }
}

/// What services are to be restarted for.
fn restart(standing: &Standing, orders: &Orders) -> Option<Restart> {
    let Standing::Taken(permit) = standing else {
        return None;
    };
    let answered = match orders {
        Orders::Given(given) => given.answered.as_ref(),
        _ => None,
    };
    permit.restart.then(|| Restart {
        serial: permit.serial,
        answered: answered.is_some_and(|answer| answer.serial >= permit.serial),
    })
}

/// Whether the same is wished for. That a permit is answered meanwhile is nothing to write for.
fn is_same(former: Option<Restart>, next: Option<Restart>) -> bool {
    former.map(|one| one.serial) == next.map(|one| one.serial)
}

/// Waits for news of what is rejected.
async fn rejected_again(rejections: &mut Option<watch::Receiver<Option<Rejected>>>) {
    if let Some(rejections) = rejections
        && rejections.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// What restarts services, and where it tells what came of it.
fn activation(
    settings: &Settings,
    journal: Option<&Arc<Journal>>,
    events: &Events,
) -> Option<(Activation, watch::Receiver<Option<Activated>>)> {
    let restarts = !settings.activation.units.is_empty() && settings.kubernetes.rollouts;
    let journal = journal.filter(|_| restarts && settings.node_name.is_some())?;
    Some(Activation::new(
        settings.activation.clone(),
        Arc::clone(journal),
        events.clone(),
    ))
}

/// Waits for orders. Whoever tells them may have ended, or never begun.
async fn changed(orders: &mut watch::Receiver<Orders>) {
    if orders.changed().await.is_err() {
        std::future::pending().await
    }
}

impl Listeners {
    /// Once for each run.
    async fn remember(&mut self) {
        let Some(memory) = self.memory.take() else {
            return;
        };
        let remembered = tokio::task::spawn_blocking(move || memory.remember()).await;
        if let Ok(Err(error)) = remembered {
            let error = crate::exit::chain(&error);
            tracing::warn!(error, "cannot remember that this node follows rollouts");
        }
    }

    fn tell(&mut self, wish: &Arc<Wish>) {
        // First of all: the next pull counts.
        if let Some(broker) = &self.broker {
            broker.learn(wish);
        }
        self.board.wished(wish);
        self.reporter.tell_wish(wish);
        self.wishes.send_replace(Arc::clone(wish));
    }
}
