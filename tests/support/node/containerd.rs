//! containerd, with what kubelet expects of it: a CNI network, a sandbox image, registries on
//! loopback.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::image::Image;
use super::machine::{Machine, Resident};
use crate::process::Program;
use crate::scratch::Scratch;
use crate::{eventually, patience};

/// Its socket, in the machine.
pub(super) const SOCKET: &str = "/run/containerd/containerd.sock";

/// The folder that tells it where the images of a host come from, read at each pull; below the
/// node's.
pub(super) const HOSTS: &str = "certs.d";

const SANDBOX: &str = "node.test/pause:sandbox";

/// Starts containerd in the machine; its pods get addresses of `subnet`. On return it has the
/// sandbox image.
pub(super) async fn start(machine: &Machine, folder: &Scratch, subnet: &str) -> Result<Resident> {
    let hosts = folder.join(HOSTS);
    let network = folder.write("cni/pods.conflist", network(subnet))?;
    let networks = network.parent().context("a file without a folder")?;
    let config = folder.write("containerd.toml", config(networks, &hosts))?;
    let archive = Image::pause("sandbox")?.archive(SANDBOX);
    let archive = folder.write("sandbox.tar", archive)?;

    let program = installed_inside(machine, "containerd")?
        .arg("--config")
        .arg(config);
    let containerd = machine.spawn(&program)?;
    let process = containerd.process();
    eventually("containerd takes the sandbox image", async || {
        ensure!(process.is_running(), "it has ended");
        import(machine, &archive).await
    })
    .await
    .with_context(|| format!("containerd does not serve{}", process.tail()))?;
    Ok(containerd)
}

/// Gives it the images of an archive.
pub(super) async fn import(machine: &Machine, archive: &Path) -> Result<()> {
    let ctr = installed_inside(machine, "ctr")?
        .args(["--address", SOCKET, "--namespace", "k8s.io"])
        .args(["images", "import"])
        .arg(archive);
    ctr.run(patience()).await?.success().map(drop)
}

fn installed_inside(machine: &Machine, name: &str) -> Result<Program> {
    machine.inside(name, Program::installed(name)?.path())
}

fn config(networks: &Path, hosts: &Path) -> String {
    let (networks, hosts) = (networks.display(), hosts.display());
    // restrict_oom_score_adj: in a container root may lack the capability to lower a score.
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
address = "{SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{SANDBOX}"
restrict_oom_score_adj = true
disable_apparmor = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{networks}"

[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{hosts}"
"#
    )
}

// ptp and not bridge: both ends of its cable are gone with the pod, while a bridge would stay in
// the network that the machine shares with this one.
fn network(subnet: &str) -> String {
    json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [{
            "type": "ptp",
            "ipam": { "type": "host-local", "ranges": [[{ "subnet": subnet }]] },
        }],
    })
    .to_string()
}
