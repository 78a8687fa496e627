//! A real systemd in namespaces of its own, and a node's file with its writer.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use pullkeeper_core::authfile::Shape;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::super::systemd::{Systemd, UnitState};
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
use crate::source::{Item, Observation, Payload};
use crate::status::TargetStatus;

/// Longest wait for what has to come about.
const PATIENCE: Duration = Duration::from_secs(60);

/// One machine: its systemd, the file, and what an agent needs to know.
pub(super) struct Scene {
    pub(super) folder: tempfile::TempDir,
    init: Child,
    cgroups: Vec<PathBuf>,
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
    _ownership: watch::Sender<Ownership>,
}

impl Scene {
    /// Starts a systemd that has these units, by name and text of `[Service]`.
    pub(super) async fn new(units: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("units")).unwrap();
        fs::create_dir(at("bus")).unwrap();
        let unit = |name: &str, text: String| {
            let text = format!("[Unit]\nDefaultDependencies=no\n{text}\n");
            write(&at("units").join(name), &text);
        };
        unit("test.target", "Wants=dbus.socket".to_owned());
        let listen = "[Socket]\nListenStream=/run/dbus/system_bus_socket";
        unit("dbus.socket", listen.to_owned());
        let bus = "Requires=dbus.socket\n[Service]\nExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork \
                   --nopidfile --systemd-activation";
        unit("dbus.service", bus.to_owned());
        for (name, text) in units {
            let text = text.replace("FOLDER", folder.path().to_str().unwrap());
            unit(name, format!("[Service]\n{text}"));
        }
        let (cgroups, enter) = cgroups();
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("src/activation/real_systemd/systemd.sh");
        let log = fs::File::create(at("log")).unwrap();
        let init = Command::new("sh")
            .arg("-c")
            .arg(format!(
                "{enter} exec unshare --mount --pid --fork --kill-child=KILL --cgroup --uts --ipc sh {} {}",
                script.display(),
                folder.path().display()
            ))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let socket = folder.path().join("bus/system_bus_socket");
        let scene = Self {
            socket,
            folder,
            init,
            cgroups,
            settings: ActivationSettings {
                units: units.iter().map(|(name, _)| (*name).to_owned()).collect(),
                timeout: Duration::from_secs(20),
                settle: Duration::from_secs(1),
                health_url: None,
            },
        };
        let begun = Instant::now();
        while let Err(error) = Systemd::connect(Some(&scene.bus())).await {
            let log = fs::read_to_string(scene.at("log")).unwrap();
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
        address(&self.at("bus/system_bus_socket"))
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
        let journal = Arc::new(Journal::open(&state));
        let (mut activation, activated) =
            Activation::new(self.settings.clone(), Arc::clone(&journal));
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
        tasks.spawn(activation.run(following, board, writers));
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
            _ownership: found,
        }
    }
}

fn address(socket: &Path) -> String {
    format!("unix:path={}", socket.display())
}

/// Writes a file that nobody reads before it is complete.
pub(super) fn write(path: &Path, text: &str) {
    fs::File::create(path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _gone = self.init.kill();
        let _reaped = self.init.wait();
        for cgroup in &self.cgroups {
            // What was killed is not dead yet; a folder that stays does no harm.
            for _ in 0..100 {
                let removed = Command::new("find")
                    .arg(cgroup)
                    .args(["-depth", "-type", "d", "-exec", "rmdir", "{}", "+"])
                    .stderr(Stdio::null())
                    .status();
                if removed.is_ok_and(|status| status.success()) || !cgroup.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Folders for a systemd of its own in the hierarchies that there are, and the words of a shell that enter them.
fn cgroups() -> (Vec<PathBuf>, String) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("pullkeeper-test-{}-{number}", std::process::id());
    let root = Path::new("/sys/fs/cgroup");
    let several = root.join("systemd").is_dir();
    let hierarchies = if several {
        vec![root.join("systemd"), root.join("unified")]
    } else {
        vec![root.to_owned()]
    };
    let there = hierarchies.into_iter().filter(|one| one.is_dir());
    let folders: Vec<_> = there.map(|one| one.join(&name)).collect();
    let enter = folders.iter().map(|folder| {
        let folder = folder.display();
        format!("mkdir {folder} && echo 0 >{folder}/cgroup.procs || exit 1; ")
    });
    let enter = enter.collect();
    (folders, enter)
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

    /// Ends at once, whatever it does.
    pub(super) async fn kill(mut self) {
        self.tasks.shutdown().await;
    }
}
