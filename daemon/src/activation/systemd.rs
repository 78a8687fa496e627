//! systemd, over D-Bus.

use futures_util::StreamExt as _;
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
    #[zbus(property(emits_changed_signal = "false"), name = "NRestarts")]
    fn restarts(&self) -> zbus::Result<u32>;
}

/// The manager of this host's services.
#[derive(Debug)]
pub(super) struct Systemd {
    manager: ManagerProxy<'static>,
}

/// How a unit is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnitState {
    pub(super) active: String,
    pub(super) sub: String,
    /// Which start of it this is: every start has another one.
    pub(super) invocation: Vec<u8>,
    /// Since when it is so, in microseconds of the host's clock.
    pub(super) since: u64,
    /// How often systemd has restarted it by itself; 0 for what is no service.
    pub(super) restarts: u32,
}

impl UnitState {
    pub(super) fn is_up(&self) -> bool {
        self.active == "active"
    }

    /// Whether it is on its way to another state. One that has failed, and waits to be started again, is not.
    pub(super) fn is_changing(&self) -> bool {
        let changing = ["activating", "deactivating", "reloading"];
        changing.contains(&&*self.active) && self.sub != "auto-restart"
    }

    /// In systemd's words.
    pub(super) fn words(&self) -> String {
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
    pub(super) async fn connect(bus: Option<&str>) -> Result<Self, RestartError> {
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

    /// The unit of this name, loaded if it was not.
    pub(super) async fn unit<'n>(&self, name: &'n str) -> Result<Named<'n>, RestartError> {
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

/// One unit.
#[derive(Debug)]
pub(super) struct Named<'n> {
    name: &'n str,
    manager: ManagerProxy<'static>,
    unit: UnitProxy<'static>,
    service: ServiceProxy<'static>,
}

impl Named<'_> {
    /// How it is now.
    pub(super) async fn state(&self) -> Result<UnitState, RestartError> {
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

    /// Restarts it, and waits until systemd has done so; systemd's word for what came of it, such as `done` or `failed`.
    pub(super) async fn restart(&self) -> Result<String, RestartError> {
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
