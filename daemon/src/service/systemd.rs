//! systemd, over D-Bus.

use futures_util::StreamExt as _;
use pullkeeper_core::placement::host::{Command, Unit};
use tokio::time::{Instant, timeout_at};
use zbus::connection::Builder;
use zbus::{Connection, OwnedObjectPath};

use super::error::RestartError;

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    fn subscribe(&self) -> zbus::Result<()>;
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn reload(&self) -> zbus::Result<()>;
    #[zbus(name = "GetUnitByPID")]
    fn unit_by_pid(&self, pid: u32) -> zbus::Result<OwnedObjectPath>;
    #[zbus(signal)]
    fn job_removed(
        &self,
        id: u32,
        job: OwnedObjectPath,
        unit: String,
        result: String,
    ) -> zbus::Result<()>;
}

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Unit",
    default_service = "org.freedesktop.systemd1"
)]
trait Unit {
    #[zbus(property(emits_changed_signal = "false"))]
    fn id(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn fragment_path(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn drop_in_paths(&self) -> zbus::Result<Vec<String>>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn active_state(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn sub_state(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"), name = "InvocationID")]
    fn invocation_id(&self) -> zbus::Result<Vec<u8>>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn state_change_timestamp(&self) -> zbus::Result<u64>;
}

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Service",
    default_service = "org.freedesktop.systemd1"
)]
trait Service {
    #[zbus(property(emits_changed_signal = "false"))]
    fn exec_start_ex(&self) -> zbus::Result<Vec<ExecCommand>>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn environment_files(&self) -> zbus::Result<Vec<(String, bool)>>;
    #[zbus(property(emits_changed_signal = "false"), name = "NRestarts")]
    fn restarts(&self) -> zbus::Result<u32>;
}

/// A command as systemd tells it: program, words, what is special about it, and when it ran last and how that ended.
type ExecCommand = (
    String,
    Vec<String>,
    Vec<String>,
    u64,
    u64,
    u64,
    u64,
    u32,
    i32,
    i32,
);

/// The manager of this host's services.
#[derive(Debug)]
pub(crate) struct Systemd {
    manager: ManagerProxy<'static>,
}

/// How a unit is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnitState {
    pub(crate) active: String,
    pub(crate) sub: String,
    /// Which start of it this is: every start has another one.
    pub(crate) invocation: Vec<u8>,
    /// Since when it is so, in microseconds of the host's clock.
    pub(crate) since: u64,
    /// How often systemd has restarted it by itself; 0 for what is no service.
    pub(crate) restarts: u32,
}

impl UnitState {
    pub(crate) fn is_up(&self) -> bool {
        self.active == "active"
    }

    /// Whether it is on its way to another state. One that has failed, and waits to be started again, is not.
    pub(crate) fn is_changing(&self) -> bool {
        let changing = ["activating", "deactivating", "reloading"];
        changing.contains(&&*self.active) && self.sub != "auto-restart"
    }

    /// In systemd's words.
    pub(crate) fn words(&self) -> String {
        let Self {
            active,
            sub,
            restarts,
            ..
        } = self;
        format!("{active} ({sub}), restarted {restarts} times by systemd")
    }
}

impl Systemd {
    /// Connects to the bus at this address, or the system's (`DBUS_SYSTEM_BUS_ADDRESS` is honoured).
    pub(crate) async fn connect(bus: Option<&str>) -> Result<Self, RestartError> {
        let connect = async {
            let connection = match bus {
                Some(address) => Builder::address(address).build().await?,
                None => Connection::system().await?,
            };
            let manager = ManagerProxy::new(&connection).await?;
            manager.subscribe().await?;
            Ok(Self { manager })
        };
        connect.await.map_err(RestartError::Unreachable)
    }

    /// [`Systemd::connect`], for so long.
    pub(crate) async fn connect_by(
        deadline: Instant,
        bus: Option<&str>,
    ) -> Result<Self, RestartError> {
        match timeout_at(deadline, Self::connect(bus)).await {
            Ok(connected) => connected,
            Err(_) => {
                let error = zbus::Error::Failure("the bus does not answer".to_owned());
                Err(RestartError::Unreachable(error))
            }
        }
    }

    /// The unit of this name, loaded if it was not.
    pub(crate) async fn unit<'n>(&self, name: &'n str) -> Result<Named<'n>, RestartError> {
        let refused = |source| RestartError::Refused {
            unit: name.to_owned(),
            source,
        };
        let path = self.manager.load_unit(name).await.map_err(refused)?;
        let connection = self.manager.inner().connection();
        let proxies = async {
            let unit = UnitProxy::builder(connection).path(path.clone());
            let service = ServiceProxy::builder(connection).path(path);
            Ok((unit.build().await?, service.build().await?))
        };
        let (unit, service) = proxies.await.map_err(refused)?;
        Ok(Named {
            name,
            manager: self.manager.clone(),
            unit,
            service,
        })
    }
}

impl Systemd {
    /// The name of the unit that a process belongs to; `None` where systemd knows of none.
    pub(crate) async fn unit_of(&self, pid: u32) -> Result<Option<String>, RestartError> {
        let path = match self.manager.unit_by_pid(pid).await {
            Ok(path) => path,
            Err(zbus::Error::MethodError(..)) => return Ok(None),
            Err(error) => return Err(RestartError::Unreachable(error)),
        };
        let connection = self.manager.inner().connection();
        let name = async {
            let unit = UnitProxy::builder(connection).path(path).build().await?;
            unit.id().await
        };
        name.await.map(Some).map_err(RestartError::Unreachable)
    }

    /// Reads all unit files and drop-ins anew.
    pub(crate) async fn reload(&self) -> Result<(), RestartError> {
        self.manager
            .reload()
            .await
            .map_err(RestartError::Unreachable)
    }

    /// Asks for a unit to be started, and does not wait for it.
    pub(crate) async fn start(&self, name: &str) -> Result<(), RestartError> {
        let started = self.manager.start_unit(name, "replace").await;
        started.map(drop).map_err(|source| RestartError::Refused {
            unit: name.to_owned(),
            source,
        })
    }

    /// Asks for a unit to be stopped, and does not wait for it. One that is not loaded is stopped.
    pub(crate) async fn stop(&self, name: &str) -> Result<(), RestartError> {
        match self.manager.stop_unit(name, "replace").await {
            Ok(_) | Err(zbus::Error::MethodError(..)) => Ok(()),
            Err(error) => Err(RestartError::Unreachable(error)),
        }
    }
}

/// One unit.
#[derive(Debug)]
pub(crate) struct Named<'n> {
    name: &'n str,
    manager: ManagerProxy<'static>,
    unit: UnitProxy<'static>,
    service: ServiceProxy<'static>,
}

impl Named<'_> {
    /// How it is now.
    pub(crate) async fn state(&self) -> Result<UnitState, RestartError> {
        let state = async {
            Ok(UnitState {
                active: self.unit.active_state().await?,
                sub: self.unit.sub_state().await?,
                invocation: self.unit.invocation_id().await?,
                since: self.unit.state_change_timestamp().await?,
                // A target or a socket has none.
                restarts: self.service.restarts().await.unwrap_or_default(),
            })
        };
        state.await.map_err(|source| RestartError::Lost {
            unit: self.name.to_owned(),
            source,
        })
    }

    /// What it is made of, by its files.
    pub(crate) async fn description(&self) -> Result<Unit, RestartError> {
        let description = async {
            let commands = self.service.exec_start_ex().await?.into_iter();
            let environment = self.service.environment_files().await?.into_iter();
            let mut files = vec![self.unit.fragment_path().await?];
            files.extend(self.unit.drop_in_paths().await?);
            Ok(Unit {
                name: self.name.to_owned(),
                exec_start: commands
                    .map(|(path, argv, flags, ..)| Command { path, argv, flags })
                    .collect(),
                environment_files: environment.map(|(path, _)| path).collect(),
                files,
            })
        };
        description.await.map_err(|source| RestartError::Lost {
            unit: self.name.to_owned(),
            source,
        })
    }

    /// Restarts it, and waits until systemd has done so; systemd's word for what came of it, such as `done` or `failed`.
    pub(crate) async fn restart(&self) -> Result<String, RestartError> {
        let refused = |source| RestartError::Refused {
            unit: self.name.to_owned(),
            source,
        };
        // Before the job is made, so that its end is not missed.
        let mut removed = self.manager.receive_job_removed().await.map_err(refused)?;
        // One that has failed too often would not be started. It is no matter if there is nothing to reset.
        let _reset = self.manager.reset_failed_unit(self.name).await;
        let asked = self.manager.restart_unit(self.name, "replace").await;
        let job = match asked {
            Ok(job) => job,
            Err(source @ zbus::Error::MethodError(..)) => return Err(refused(source)),
            // It may have been heard.
            Err(source) => {
                let unit = self.name.to_owned();
                return Err(RestartError::Lost { unit, source });
            }
        };
        while let Some(signal) = removed.next().await {
            if let Ok(end) = signal.args()
                && end.job == job
            {
                return Ok(end.result);
            }
        }
        Err(RestartError::Lost {
            unit: self.name.to_owned(),
            source: zbus::Error::Failure("the connection to the bus has ended".to_owned()),
        })
    }
}
