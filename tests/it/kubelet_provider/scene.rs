//! A node with a provider of a vendor's, an agent, and two registries: one that the vendor's provider knows, and ours.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use support::agent::{Agent, Site};
use support::cluster::Cluster;
use support::eventually;
use support::eventually::eventually_within;
use support::fixture::{Credential, config_json};
use support::node::{Image, Node, NodePlan, PodSpec};
use support::product::{helper, pullkeeper};
use support::registry::Registry;
use support::services::Services;

/// How long a command may take that restarts kubelet, twice if need be.
pub(super) const LONG: Duration = Duration::from_secs(120);
pub(super) const UNIT: &str = "kubelet.service";

/// How the unit starts kubelet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// By its command alone.
    Plain,
    /// As kubeadm's packages do.
    ExtraArgs,
    /// By its command, which does not start with our configuration.
    Picky,
}

pub(super) struct Scene {
    agent: Option<Agent>,
    pub(super) services: Services,
    node: Node,
    namespace: String,
    ours: Registry,
    credential: Credential,
    theirs: Registry,
    site: Site,
    /// The vendor's files, as they were.
    pub(super) vendor: Tree,
    _cluster: Cluster,
}

/// What a command has said, and its status.
pub(super) struct Said {
    pub(super) status: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Said {
    pub(super) fn success(self) -> Result<String> {
        ensure!(self.status == 0, "status {}: {}", self.status, self.stderr);
        Ok(self.stdout)
    }
}

/// Everything in a folder, by path: kind, mode, owner, time of change and content, or where a link leads.
pub(super) type Tree = BTreeMap<PathBuf, String>;

impl Scene {
    pub(super) async fn new(start: Start) -> Result<Self> {
        let (credential, vendors) = (Credential::new(), Credential::new());
        let ours = Registry::with_passwords(&[&credential]).await?;
        let theirs = Registry::with_passwords(&[&vendors]).await?;
        for (registry, credential) in [(&ours, &credential), (&theirs, &vendors)] {
            registry
                .push(credential, "team/app:1", &Image::pause("app")?)
                .await?;
        }
        let cluster = Cluster::start().await?;
        let mut node = NodePlan::new("real").join(&cluster).await?;
        let site = Site::new("kubelet-provider")?;
        let vendor = site.join("vendor");
        write_vendor(&vendor, &theirs.host(), &vendors)?;
        fs::create_dir(site.join("opt"))?;
        site.write(
            "kubelet.env",
            "# An administrator's.\nKUBELET_EXTRA_ARGS=\"--v=2\"\n",
        )?;

        let flags = format!(
            "--image-credential-provider-config={0}/config --image-credential-provider-bin-dir={0}/bin",
            vendor.display()
        );
        let environment = site.join("kubelet.env");
        let picky = site.write(
            "picky",
            format!(
                "#!/bin/sh\ncase \"$*\" in\n*{}/config-*) test -e {} && exec sleep 1000; test -e {} || exit 1 ;;\nesac\nexec \"$@\"\n",
                site.join("opt/kubelet").display(),
                site.join("hangs").display(),
                site.join("relented").display(),
            ),
        )?;
        fs::set_permissions(&picky, fs::Permissions::from_mode(0o755))?;
        let kubelet = |command: &str| {
            let command = match start {
                Start::Picky => format!("ExecStart={} {command} {flags}", picky.display()),
                Start::Plain => format!("ExecStart={command} {flags}"),
                Start::ExtraArgs => format!(
                    "EnvironmentFile=-{}\nExecStart={command} {flags} $KUBELET_EXTRA_ARGS",
                    environment.display()
                ),
            };
            format!("{command}\nRestart=always\nRestartSec=1")
        };
        let program = pullkeeper()?;
        let commands = ["plan", "install", "remove"].map(|command| {
            let service = format!(
                "Type=oneshot\nExecStart=/bin/sh -c '{} kubelet-provider {command} --config {}; echo $$? >FOLDER/{command}.status'\n\
                 StandardOutput=truncate:FOLDER/{command}.out\nStandardError=truncate:FOLDER/{command}.err\n\
                 [Unit]\nStartLimitIntervalSec=0",
                program.path().display(),
                site.config().display(),
            );
            (format!("{command}.service"), service)
        });
        let services = node.kubelet_as_service(kubelet, &commands).await?;
        node.start_service(&services).await?;

        configure(&site, &ours.host(), "")?;
        let namespace = cluster.namespace("team").await?;
        let mut scene = Self {
            agent: None,
            services,
            node,
            namespace,
            ours,
            credential,
            theirs,
            vendor: tree(&vendor)?,
            site,
            _cluster: cluster,
        };
        scene.publish()?;
        scene.agent = Some(scene.site.start().await?);
        Ok(scene)
    }

    /// Runs the command as a service of the node.
    pub(super) async fn perform(&self, command: &str) -> Result<Said> {
        let path = self.services.join(&format!("{command}.status"));
        let unit = format!("{command}.service");
        let _none = fs::remove_file(&path);
        self.services.begin(&unit).await?;
        // systemd forgets what has ended well.
        let status = eventually_within(LONG, &format!("{command} has ended"), async || {
            Ok(fs::read_to_string(&path)?.trim().parse()?)
        })
        .await?;
        self.services.ended(&unit, LONG).await?;
        self.said(command, status)
    }

    /// Starts the command as a service of the node, and waits until it has changed kubelet's flags and kubelet was restarted.
    pub(super) async fn begin(&self, command: &str) -> Result<()> {
        let before = self.invocation().await?;
        self.services.begin(&format!("{command}.service")).await?;
        eventually("kubelet is restarted", async || {
            ensure!(
                self.site.join("opt/kubelet/guard/armed").exists(),
                "not armed"
            );
            ensure!(self.invocation().await? != before, "the same one");
            Ok(())
        })
        .await
    }

    /// A [`Start::Picky`] kubelet hangs from now on, instead of an end.
    pub(super) fn hang(&self) -> Result<()> {
        self.site.write("hangs", "").map(drop)
    }

    /// A [`Start::Picky`] kubelet starts with whatever it is given from now on.
    pub(super) fn relent(&self) -> Result<()> {
        let _none = fs::remove_file(self.site.join("hangs"));
        self.site.write("relented", "").map(drop)
    }

    /// Has this line in the table `kubelet_provider`, for commands.
    pub(super) fn configure(&self, line: &str) -> Result<()> {
        configure(&self.site, &self.ours.host(), line)
    }

    /// The file for administrators.
    pub(super) fn environment(&self) -> Result<String> {
        Ok(fs::read_to_string(self.site.join("kubelet.env"))?)
    }

    /// Puts a link in its place, to a file with the same text.
    pub(super) fn link_environment(&self) -> Result<()> {
        let other = self.site.write("administrators.env", self.environment()?)?;
        let path = self.site.join("kubelet.env");
        fs::remove_file(&path)?;
        Ok(symlink(other, path)?)
    }

    /// Writes it.
    pub(super) fn set_environment(&self, text: &str) -> Result<()> {
        self.site.write("kubelet.env", text).map(drop)
    }

    fn said(&self, command: &str, status: i32) -> Result<Said> {
        let read = |end: &str| {
            let path = self.services.join(&format!("{command}.{end}"));
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        Ok(Said {
            status,
            stdout: read("out")?,
            stderr: read("err")?,
        })
    }

    /// Which start of kubelet this is.
    pub(super) async fn invocation(&self) -> Result<String> {
        self.services.invocation(UNIT).await
    }

    /// What kubelet says it has read its providers from, as one hash.
    pub(super) async fn hash(&self) -> Result<String> {
        let metrics = self.node.kubelet_metrics().await?;
        let name = "kubelet_credential_provider_config_info{";
        let line = metrics.lines().find(|line| line.starts_with(name));
        let hash = line.and_then(|line| line.split('"').nth(1));
        Ok(hash.context("kubelet tells no hash")?.to_owned())
    }

    /// Another password at our registry, which the agent knows.
    pub(super) async fn rotate(&mut self) -> Result<()> {
        self.credential = Credential::new();
        self.ours.set_users(&[&self.credential]).await?;
        self.publish()?;
        let auth = self.credential.auth();
        eventually("the agent has the credential", async || {
            let text = fs::read_to_string(self.site.join("target.json"))?;
            ensure!(text.contains(&auth), "not yet");
            Ok(())
        })
        .await
    }

    fn publish(&self) -> Result<()> {
        let config = config_json([(self.ours.host().as_str(), &self.credential)]);
        self.site.write("source.json", config).map(drop)
    }

    /// A pod pulls from our registry, and runs.
    pub(super) async fn pulls(&self, name: &str) -> Result<()> {
        self.pod(name, &self.ours).await?.running().await
    }

    /// The same from the vendor's.
    pub(super) async fn pulls_from_vendor(&self, name: &str) -> Result<()> {
        self.pod(name, &self.theirs).await?.running().await
    }

    /// A pod does not get its image from our registry.
    pub(super) async fn fails(&self, name: &str) -> Result<()> {
        self.pod(name, &self.ours)
            .await?
            .pull_failure()
            .await
            .map(drop)
    }

    async fn pod(&self, name: &str, registry: &Registry) -> Result<support::node::Pod> {
        let image = registry.image("team/app:1");
        self.node
            .create(&PodSpec::new(&self.namespace, name, &image))
            .await
    }

    /// The vendor's configuration.
    pub(super) fn vendor_config(&self) -> Result<String> {
        Ok(fs::read_to_string(self.site.join("vendor/config"))?)
    }

    /// Writes it.
    pub(super) fn set_vendor_config(&self, text: &str) -> Result<()> {
        self.site.write("vendor/config", text).map(drop)
    }

    /// The vendor's files, as they are.
    pub(super) fn vendor(&self) -> Result<Tree> {
        tree(&self.site.join("vendor"))
    }

    /// What is on the node and not ours.
    pub(super) fn foreign(&self) -> Result<Tree> {
        let mut all = self.traces()?;
        let ours = self.site.join("opt");
        all.retain(|path, _| !path.starts_with(&ours));
        Ok(all)
    }

    /// All that may be ours on the node, and what may not be changed for good.
    pub(super) fn traces(&self) -> Result<Tree> {
        let mut all = tree(&self.services.join("etc"))?;
        all.extend(tree(&self.site.join("opt"))?);
        all.extend(tree(&self.site.join("vendor"))?);
        all.insert(self.site.join("kubelet.env"), self.environment()?);
        Ok(all)
    }
}

/// The configuration of agent and commands, with a line of the table `kubelet_provider`.
fn configure(site: &Site, host: &str, line: &str) -> Result<()> {
    let usual = [
        ("directory", format!("{:?}", site.join("opt/kubelet"))),
        ("helper", format!("{:?}", helper()?.path())),
        ("match_images", format!("[{host:?}]")),
        ("timeout", "\"10s\"".to_owned()),
        ("settle", "\"3s\"".to_owned()),
    ];
    let other = |(key, _): &(&str, String)| !line.starts_with(&format!("{key} ="));
    let usual = usual.into_iter().filter(other);
    let lines: String = usual
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    let tables = format!(
        "[[source]]\nfile = {:?}\n[[target]]\nkind = \"docker\"\npath = {:?}\n\
         [broker]\nlisten = \"unix:{}\"\n[kubelet_provider]\n{lines}{line}\n",
        site.join("source.json"),
        site.join("target.json"),
        site.join("broker.sock").display(),
    );
    site.configure("", &tables)
}

/// A provider that knows one password, and a README beside it.
fn write_vendor(folder: &Path, host: &str, credential: &Credential) -> Result<()> {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin)?;
    let Credential { username, password } = credential;
    let answer = json!({
        "kind": "CredentialProviderResponse",
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "cacheKeyType": "Image", "cacheDuration": "0s",
        "auth": {host: {"username": username, "password": password}},
    });
    let program = format!("#!/bin/sh\ncat >/dev/null\necho '{answer}'\n");
    // Not YAML by its name, as on some clouds.
    let config = format!(
        "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n- name: vendor-provider\n  \
         apiVersion: credentialprovider.kubelet.k8s.io/v1\n  matchImages: [\"{host}\"]\n  defaultCacheDuration: 0s\n"
    );
    for (path, text, mode) in [
        ("bin/vendor-provider", program.as_str(), 0o755),
        ("bin/README", "A vendor's.\n", 0o644),
        ("config", config.as_str(), 0o644),
    ] {
        let path = folder.join(path);
        std::io::Write::write_all(&mut fs::File::create(&path)?, text.as_bytes())?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn tree(folder: &Path) -> Result<Tree> {
    let mut tree = Tree::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let metadata = fs::symlink_metadata(&path)?;
            let content = if metadata.is_dir() {
                folders.push(path.clone());
                "folder".to_owned()
            } else if metadata.is_symlink() {
                format!("-> {}", fs::read_link(&path)?.display())
            } else {
                String::from_utf8_lossy(&fs::read(&path)?).into_owned()
            };
            let (mode, owner) = (metadata.mode(), metadata.uid());
            tree.insert(path, format!("{mode:o} {owner} {content}"));
        }
    }
    Ok(tree)
}
