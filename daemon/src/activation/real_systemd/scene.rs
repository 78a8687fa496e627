//! A real systemd in namespaces of its own, and a node's file with its writer.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use kube::runtime::events::Event;
use pullkeeper_core::authfile::Shape;
use pullkeeper_systemd::{Systemd as Machine, address};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::super::*;
use crate::config::{
    BadEntry, MergePolicy, RequiredAction, TargetKind, TargetSettings, ValidationSettings,
};
use crate::event::Events;
use crate::gate::{Gate, Restart, Wish};
use crate::install::installer::Installer;
use crate::install::ownership::Ownership;
use crate::install::writer::{self, Shared};
use crate::report::Reporter;
use crate::resource::NodePermit;
use crate::resync::Resync;
use crate::service::{Systemd, UnitState};
use crate::source::{Item, Observation, Payload};
use crate::status::TargetStatus;

/// Longest wait for what has to come about.
const PATIENCE: Duration = Duration::from_secs(60);

/// One machine: its systemd, the file, and what an agent needs to know.
pub(super) struct Scene {
    // Before its folder: it is gone when that is removed.
    machine: Machine,
    folder: tempfile::TempDir,
    pub(super) settings: ActivationSettings,
    /// Where agents look for the bus.
    pub(super) socket: PathBuf,
}

/// The tasks of one agent.
pub(super) struct Agent {
    tasks: JoinSet<()>,
    passed: watch::Sender<Passed>,
    wishes: watch::Sender<Arc<Wish>>,
    gate: Gate,
    pub(super) journal: Arc<Journal>,
    pub(super) activated: watch::Receiver<Option<Activated>>,
    events: mpsc::Receiver<Event>,
    board: Arc<Board>,
    _ownership: watch::Sender<Ownership>,
}

impl Scene {
    /// Starts a systemd that has these units, by name and text of `[Service]`.
    pub(super) async fn new(units: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine::start(folder.path(), units, &[]).unwrap();
        let scene = Self {
            socket: machine.bus(),
            folder,
            machine,
            settings: ActivationSettings {
                units: units.iter().map(|(name, _)| (*name).to_owned()).collect(),
                timeout: Duration::from_secs(20),
                settle: Duration::from_secs(1),
                health_url: None,
            },
        };
        let begun = Instant::now();
        while let Err(error) = Systemd::connect(Some(&scene.bus())).await {
            let log = scene.machine.log();
            let why = "this test needs root, systemd and dbus-daemon (Debian: systemd, dbus)";
            assert!(begun.elapsed() < PATIENCE, "{why}: {error:?}\n{log}");
            sleep(Duration::from_millis(50)).await;
        }
        scene
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn bus(&self) -> String {
        address(&self.machine.bus())
    }

    /// The file that services read.
    pub(super) fn file(&self) -> PathBuf {
        self.at("auth.json")
    }

    pub(super) fn text(&self) -> Option<String> {
        fs::read_to_string(self.file()).ok()
    }

    pub(super) async fn state(&self, unit: &str) -> UnitState {
        let systemd = Systemd::connect(Some(&self.bus())).await.unwrap();
        systemd.unit(unit).await.unwrap().state().await.unwrap()
    }

    pub(super) async fn start(&self, unit: &str) {
        let systemd = Systemd::connect(Some(&self.bus())).await.unwrap();
        let result = systemd.unit(unit).await.unwrap().restart().await.unwrap();
        assert_eq!(result, "done");
    }

    /// An agent on this machine, as it is after its start.
    pub(super) fn agent(&self) -> Agent {
        let state = self.at("state");
        let (events, told) = Events::heard();
        let journal = Arc::new(Journal::open(&state));
        let (mut activation, activated) =
            Activation::new(self.settings.clone(), Arc::clone(&journal), events);
        activation.bus = Some(address(&self.socket));
        let target = TargetSettings {
            kind: TargetKind::Containers,
            path: self.file(),
            mode: 0o600,
            owner: None,
            merge: MergePolicy::Merge,
        };
        let board = Arc::new(Board::new(None));
        board.targets([TargetStatus::pending(&target)].into_iter());
        let (wishes, wish) = watch::channel(Arc::default());
        let (passed, following) = watch::channel(Passed::default());
        let (found, ownership) = watch::channel(Ownership::Ours);
        let (restore, restores) = mpsc::channel(1);
        let shared = Shared {
            wish,
            ownership,
            resync_interval: Duration::from_secs(60),
            resync: Resync::default(),
            board: Arc::clone(&board),
            cancel: CancellationToken::new(),
        };
        let installer = Installer::new(target, &state).journaled(Some(Arc::clone(&journal)));
        let writers = Writers::from([(self.file(), restore)]);
        let mut tasks = JoinSet::new();
        let reporter = Reporter::new(Events::off());
        tasks.spawn(writer::own(installer, shared, reporter, restores));
        tasks.spawn(activation.run(following, Arc::clone(&board), writers));
        Agent {
            tasks,
            passed,
            wishes,
            gate: Gate::new(ValidationSettings {
                bad_entry: BadEntry::Skip,
                allow_empty: false,
                required_registries: Vec::new(),
                required_action: RequiredAction::Warn,
            }),
            journal,
            activated,
            events: told,
            board,
            _ownership: found,
        }
    }
}

/// Writes a file that nobody reads before it is complete.
pub(super) fn write(path: &Path, text: &str) {
    fs::File::create(path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}

/// What a Secret says: a password for each registry.
pub(super) fn document(entries: &[(&str, &str)]) -> String {
    let entries = entries
        .iter()
        .map(|(registry, auth)| format!("\"{registry}\":{{\"auth\":\"{auth}\"}}"));
    format!(
        "{{\"auths\":{{{}}}}}\n",
        entries.collect::<Vec<_>>().join(",")
    )
}

impl Agent {
    /// A permit lets this content through.
    pub(super) fn take(&mut self, serial: u64, content: &str) {
        let permit = NodePermit {
            node_uid: "u".to_owned(),
            generation: serial,
            serial,
            revision: Default::default(),
            probe: false,
            restart: true,
            kubelet_provider: None,
        };
        self.wish(content, Standing::Taken(permit), Some(serial));
    }

    /// What went on before goes on again.
    pub(super) fn refuse(&mut self, content: &str) {
        self.wish(content, Standing::Refused(String::new()), None);
    }

    fn wish(&mut self, content: &str, standing: Standing, serial: Option<u64>) {
        let restart = serial.map(|serial| Restart {
            serial,
            answered: false,
        });
        let payload = Payload {
            shape: Shape::ConfigJson,
            bytes: Arc::new(Zeroizing::new(content.as_bytes().to_vec())),
        };
        let item = Item {
            id: "x".to_owned(),
            revision: None,
            content: Ok(payload),
            seen: Instant::now(),
        };
        let mut wish = self.gate.pass(&[Observation {
            source: "global".into(),
            namespace: None,
            items: Some(vec![item]),
            trouble: None,
        }]);
        wish.restart = restart;
        let wish = Arc::new(wish);
        self.wishes.send_replace(Arc::clone(&wish));
        self.passed.send_replace(Passed {
            standing,
            wish,
            restart,
            ..Passed::default()
        });
    }

    /// What came of the permit.
    pub(super) async fn outcome(&mut self, serial: u64) -> Activated {
        let ended =
            |told: &Option<Activated>| told.as_ref().is_some_and(|told| told.serial == serial);
        let told = timeout(PATIENCE, self.activated.wait_for(ended)).await;
        told.unwrap().unwrap().clone().unwrap()
    }

    /// Reasons and notes of the Events on the node that are new.
    pub(super) fn told(&mut self) -> Vec<(String, String)> {
        let events = std::iter::from_fn(|| self.events.try_recv().ok());
        events
            .map(|event| (event.reason, event.note.unwrap_or_default()))
            .collect()
    }

    /// What is counted of restarts, as it is scraped and in order.
    pub(super) fn counts(&self) -> Vec<String> {
        let text = self.board.metrics().render().unwrap();
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix("pullkeeper_"));
        let of_restarts = |line: &&str| {
            [
                "activations_total",
                "unit_restarts_total",
                "unit_restart_seconds_count",
            ]
            .iter()
            .any(|name| line.starts_with(name))
        };
        let lines = lines.filter(of_restarts);
        // What has not happened is counted too.
        let happened = lines.filter(|line| !line.ends_with(" 0"));
        let mut counts: Vec<_> = happened.map(str::to_owned).collect();
        counts.sort();
        counts
    }

    /// Ends at once, whatever it does.
    pub(super) async fn kill(mut self) {
        self.tasks.shutdown().await;
    }
}
