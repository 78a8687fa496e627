//! The node agent: wires sources, gate, targets and the endpoint together, and follows signals.
//!
//! ```text
//! source ─▶ gate ─▶ install ─▶ board ─▶ admin
//!             └──────────┴─────▶ report (log, Events)
//! ```

mod once;
mod pipeline;

use std::env;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::pipeline::Pipeline;
use crate::admin::{self, listener::Listener};
use crate::cli::AgentArgs;
use crate::config::{self, ConfigError, Loaded};
use crate::exit::{Exit, complain};
use crate::gate::Gate;
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
    // One thread suffices: the work is waiting, and file work has threads of its own, few of them.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(16)
        .thread_keep_alive(Duration::from_secs(2))
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            complain("cannot start the runtime", &error);
            return Exit::Internal;
        }
    };
    let exit = runtime.block_on(start(arguments));
    // A read that hangs in a dead network file system must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    exit
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

fn refuse_to_start(error: &ConfigError) -> Exit {
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
    endpoint: Endpoint,
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
        let endpoint = match Endpoint::open(&settings.admin.listen, &board).await {
            Ok(endpoint) => endpoint,
            Err(error) => {
                complain("cannot start", &error);
                return Exit::Unavailable;
            }
        };
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            sources = settings.sources.len(),
            targets = settings.targets.len(),
            admin = endpoint.address,
            "agent started"
        );
        let gate = Gate::new(settings.validation.clone());
        let mut pipeline = Pipeline::start(settings, gate, &board);
        let mut agent = Self {
            arguments,
            loaded,
            log,
            board,
            endpoint,
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
            pipeline.stop().await;
            agent.endpoint.close().await;
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
        if settings.admin != self.loaded.settings.admin {
            match Endpoint::open(&settings.admin.listen, &self.board).await {
                Ok(endpoint) => {
                    std::mem::replace(&mut self.endpoint, endpoint)
                        .close()
                        .await
                }
                Err(error) => return self.refuse(pipeline, crate::exit::chain(&error)),
            }
        }
        if let Err(error) = self.log.set_level(&settings.log.level) {
            return self.refuse(pipeline, crate::exit::chain(&error));
        }
        let gate = match pipeline.stop().await {
            Some(mut gate) => {
                gate.configure(settings.validation.clone());
                gate
            }
            None => Gate::new(settings.validation.clone()),
        };
        let pipeline = Pipeline::start(settings, gate, &self.board);
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

/// The administrative endpoint while it is open.
struct Endpoint {
    address: String,
    cancel: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Endpoint {
    async fn open(
        listen: &config::Listen,
        board: &Arc<Board>,
    ) -> Result<Self, admin::listener::ListenError> {
        let cancel = CancellationToken::new();
        let Some(listener) = Listener::bind(listen).await? else {
            return Ok(Self {
                address: "off".to_owned(),
                cancel,
                task: None,
            });
        };
        let address = listener.address();
        let task = tokio::spawn(admin::serve(listener, Arc::clone(board), cancel.clone()));
        Ok(Self {
            address,
            cancel,
            task: Some(task),
        })
    }

    async fn close(self) {
        self.cancel.cancel();
        if let Some(task) = self.task {
            let _ended_or_panicked = task.await;
        }
    }
}
