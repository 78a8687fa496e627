//! The node agent: wires sources, gate, targets and the endpoint together, and follows signals.
//!
//! ```text
//! source ─▶ gate ─▶ install ─▶ board ─▶ admin
//!             ├──────────┴─────▶ report (log, Events)
//!             └─▶ broker ◀─ helpers
//! ```

pub(crate) mod once;
mod pipeline;

use std::env;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::pipeline::{Pipeline, Way};
use crate::activation::Journal;
use crate::admin;
use crate::broker::{self, Broker};
use crate::cli::AgentArgs;
use crate::cluster::Cluster;
use crate::config::{self, ConfigError, Listen, Loaded, Settings};
use crate::delegation::{Delegations, Means};
use crate::exit::{Exit, complain};
use crate::gate::Gate;
use crate::listener::{ListenError, Listener};
use crate::outbound::SetupError;
use crate::rollout::{Hold, Memory};
use crate::signal::{Event, Signals};
use crate::status::Board;
use crate::telemetry::{self, LogControl};

/// How long a shutdown may take: below a pod's default grace and systemd's `TimeoutStopSec`.
const DRAIN: Duration = Duration::from_secs(20);

/// Runs `pullkeeper agent --check`: what would run, or everything that is wrong.
pub fn check(arguments: &AgentArgs) -> Exit {
    match load(arguments) {
        Ok(loaded) => match loaded.write_to(&mut io::stdout().lock()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Exit::Unavailable,
            _ => Exit::Ok,
        },
        Err(error) => refuse_to_start(&error),
    }
}

/// Runs `pullkeeper agent` to its end.
pub fn run(arguments: &AgentArgs) -> Exit {
    match block_on(start(arguments)) {
        Ok(exit) => exit,
        Err(error) => {
            complain("cannot start the runtime", &error);
            Exit::Internal
        }
    }
}

/// Runs a future to its end on a runtime of its own.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    // One thread suffices: the work is waiting, and file work has threads of its own, few of them.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(16)
        .thread_keep_alive(Duration::from_secs(2))
        .build()?;
    let done = runtime.block_on(future);
    // A read that hangs in a dead network file system must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(done)
}

async fn start(arguments: &AgentArgs) -> Exit {
    // Before anything else: process 1 ignores SIGTERM as long as nobody handles it.
    let signals = if arguments.once {
        None
    } else {
        Some(Signals::install())
    };
    let loaded = match load(arguments) {
        Ok(loaded) => loaded,
        Err(error) => return refuse_to_start(&error),
    };
    let log = match telemetry::start(&loaded.settings.log, &|name| env::var_os(name)) {
        Ok(log) => log,
        Err(error) => {
            complain("cannot start logging", &error);
            return Exit::Usage;
        }
    };
    match signals {
        None => once::run(&loaded.settings).await,
        Some(Ok(signals)) => Agent::run(arguments, loaded, log, signals).await,
        Some(Err(error)) => {
            complain("cannot handle signals", &error);
            Exit::Internal
        }
    }
}

fn load(arguments: &AgentArgs) -> Result<Loaded, ConfigError> {
    let file = arguments.config.as_deref();
    config::load(file, &arguments.settings.values, &|name| env::var_os(name))
}

pub(crate) fn refuse_to_start(error: &ConfigError) -> Exit {
    let mut stderr = io::stderr().lock();
    // Nobody is left to tell when the terminal is gone.
    let _ = writeln!(stderr, "pullkeeper: cannot use the configuration");
    for problem in error.problems() {
        let _ = writeln!(stderr, "  {problem}");
    }
    Exit::Usage
}

struct Agent<'a> {
    arguments: &'a AgentArgs,
    loaded: Loaded,
    log: LogControl,
    board: Arc<Board>,
    broker: Arc<Broker>,
    admin: Endpoint,
    helpers: Endpoint,
}

fn delegations(settings: &Settings, board: &Arc<Board>) -> Result<Delegations, SetupError> {
    let of_namespaces = settings
        .sources
        .iter()
        .any(|source| source.pods_of().is_some());
    let unheard = of_namespaces || !settings.delegations.is_empty();
    if unheard && settings.broker.listen == Listen::Off {
        tracing::warn!(
            "nobody can ask for what delegations and sources of namespaces give: set `broker.listen`, such as \
             \"unix:/run/pullkeeper/broker.sock\""
        );
    }
    let means = Means {
        board,
        cluster: &Cluster::new(&settings.kubernetes),
        // What one process keeps in its memory no other one needs.
        shelf: None,
    };
    Delegations::new(&settings.delegations, &means)
}

impl<'a> Agent<'a> {
    async fn run(
        arguments: &'a AgentArgs,
        loaded: Loaded,
        log: LogControl,
        mut signals: Signals,
    ) -> Exit {
        let settings = &loaded.settings;
        let board = Arc::new(Board::new(settings.node_name.clone()));
        let delegations = match delegations(settings, &board) {
            Ok(delegations) => delegations,
            Err(error) => {
                complain("cannot start", &error);
                return Exit::Usage;
            }
        };
        let broker = Broker::new(settings.broker.clone(), delegations, Arc::clone(&board));
        let broker = Arc::new(broker);
        let opened = match Endpoint::admin(settings, &board).await {
            Ok(admin) => Endpoint::broker(settings, &broker)
                .await
                .map(|helpers| (admin, helpers)),
            Err(error) => Err(error),
        };
        let (admin, helpers) = match opened {
            Ok(endpoints) => endpoints,
            Err(error) => {
                complain("cannot start", &error);
                return Exit::Unavailable;
            }
        };
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            sources = settings.sources.len(),
            targets = settings.targets.len(),
            admin = admin.address,
            broker = helpers.address,
            "agent started"
        );
        let targets = settings.targets.iter().map(|target| &*target.path);
        let has_something = Memory::of(&settings.state_dir).has_something(targets);
        let way = Way {
            hold: Hold::new(!has_something),
            gate: Gate::new(settings.validation.clone()),
            journal: journal(settings),
        };
        let mut pipeline = Pipeline::start(settings, way, &board, &broker);
        let mut agent = Self {
            arguments,
            loaded,
            log,
            board,
            broker,
            admin,
            helpers,
        };
        let exit = loop {
            let event = tokio::select! {
                event = signals.next() => event,
                name = pipeline.broken() => {
                    tracing::error!(task = name, "a task ended that never should; ending the process");
                    break Exit::Internal;
                }
            };
            match event {
                Event::Resync => pipeline.resync(),
                Event::Reload => pipeline = agent.reload(pipeline).await,
                Event::Shutdown => break Exit::Ok,
            }
        };
        tracing::info!("draining");
        let drained = tokio::time::timeout(DRAIN, async {
            // Helpers first, while the sources that they may be waiting for still run.
            agent.helpers.close().await;
            pipeline.stop().await;
            agent.admin.close().await;
        });
        if drained.await.is_err() {
            tracing::warn!("not everything ended in time; ending all the same");
        }
        exit
    }

    /// Takes a new configuration, or says why not and goes on with the one in force.
    async fn reload(&mut self, pipeline: Pipeline) -> Pipeline {
        let loaded = match load(self.arguments) {
            Ok(loaded) => loaded,
            Err(error) => return self.refuse(pipeline, error.to_string()),
        };
        let settings = &loaded.settings;
        // What can fail comes first, so that a refused configuration changes nothing.
        let former = &self.loaded.settings;
        let differ = self.broker.delegations().differ_from(&settings.delegations)
            || settings.kubernetes != former.kubernetes;
        let delegations = if differ {
            match delegations(settings, &self.board) {
                Ok(delegations) => Some(delegations),
                Err(error) => return self.refuse(pipeline, crate::exit::chain(&error)),
            }
        } else {
            None
        };
        let admin = if settings.admin == former.admin {
            Ok(None)
        } else {
            Endpoint::admin(settings, &self.board).await.map(Some)
        };
        let helpers = if broker_socket(settings) == broker_socket(former) {
            Ok(None)
        } else {
            Endpoint::broker(settings, &self.broker).await.map(Some)
        };
        let (admin, helpers) = match (admin, helpers) {
            (Ok(admin), Ok(helpers)) => (admin, helpers),
            (Err(error), opened) | (opened, Err(error)) => {
                if let Ok(Some(opened)) = opened {
                    opened.close().await;
                }
                return self.refuse(pipeline, crate::exit::chain(&error));
            }
        };
        if let Err(error) = self.log.set_level(&settings.log.level) {
            return self.refuse(pipeline, crate::exit::chain(&error));
        }
        if let Some(admin) = admin {
            std::mem::replace(&mut self.admin, admin).close().await;
        }
        if let Some(helpers) = helpers {
            std::mem::replace(&mut self.helpers, helpers).close().await;
        }
        self.broker.configure(settings.broker.clone(), delegations);
        let way = match pipeline.stop().await {
            Some(mut way) => {
                way.gate.configure(settings.validation.clone());
                way.journal = way.journal.or_else(|| journal(settings));
                way
            }
            None => Way {
                hold: Hold::new(false),
                gate: Gate::new(settings.validation.clone()),
                journal: journal(settings),
            },
        };
        let pipeline = Pipeline::start(settings, way, &self.board, &self.broker);
        self.board.configured(None);
        tracing::info!("configuration reloaded");
        self.loaded = loaded;
        pipeline
    }

    fn refuse(&self, pipeline: Pipeline, why: String) -> Pipeline {
        tracing::error!(
            error = why,
            "the new configuration was refused; the former stays in force"
        );
        self.board.configured(Some(why));
        pipeline
    }
}

/// The journal of restarts, where something is restarted.
fn journal(settings: &Settings) -> Option<Arc<Journal>> {
    let restarts = !settings.activation.units.is_empty();
    restarts.then(|| Arc::new(Journal::open(&settings.state_dir)))
}

/// What makes another socket of the broker's.
fn broker_socket(settings: &Settings) -> (&Listen, u32) {
    let broker = &settings.broker;
    let root_alone = broker.allowed_users == [0] && broker.allowed_groups.is_empty();
    // The kernel's word about the peer is what counts; the mode keeps those out who would be refused anyway.
    (&broker.listen, if root_alone { 0o600 } else { 0o666 })
}

/// An endpoint while it is open.
struct Endpoint {
    address: String,
    cancel: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Endpoint {
    async fn admin(settings: &Settings, board: &Arc<Board>) -> Result<Self, ListenError> {
        let listener = Listener::bind(&settings.admin.listen, "admin.listen", 0o660).await?;
        Ok(Self::open(listener, |listener, cancel| {
            tokio::spawn(admin::serve(listener, Arc::clone(board), cancel))
        }))
    }

    async fn broker(settings: &Settings, broker: &Arc<Broker>) -> Result<Self, ListenError> {
        let (listen, mode) = broker_socket(settings);
        let listener = Listener::bind(listen, "broker.listen", mode).await?;
        Ok(Self::open(listener, |listener, cancel| {
            tokio::spawn(broker::serve(listener, Arc::clone(broker), cancel))
        }))
    }

    fn open(
        listener: Option<Listener>,
        serve: impl FnOnce(Listener, CancellationToken) -> tokio::task::JoinHandle<()>,
    ) -> Self {
        let cancel = CancellationToken::new();
        Self {
            address: listener
                .as_ref()
                .map_or_else(|| Listen::Off.to_string(), Listener::address),
            task: listener.map(|listener| serve(listener, cancel.clone())),
            cancel,
        }
    }

    async fn close(self) {
        self.cancel.cancel();
        if let Some(task) = self.task {
            let _ended_or_panicked = task.await;
        }
    }
}
