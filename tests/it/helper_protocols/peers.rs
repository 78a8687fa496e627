//! Who may ask, and who is asked.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Result, ensure};
use support::eventually;
use support::fixture::Credential;
use support::process::Program;

use super::*;

const NOBODY: &str = "65534";

/// The helper as user and group `NOBODY`.
fn as_nobody(site: &Site) -> Result<Program> {
    let setpriv = Program::installed("setpriv")?.args([
        "--reuid",
        NOBODY,
        "--regid",
        NOBODY,
        "--clear-groups",
    ]);
    // Where nobody may look for a program.
    let copy = site.join("docker-credential-pullkeeper");
    std::fs::copy(helper()?.path(), &copy)?;
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755))?;
    Ok(at(site, setpriv.arg(copy)).arg("get").input("r.example"))
}

/// The folders on the way to the site, open for everybody to pass.
fn passable(site: &Site) -> Result<()> {
    let mut folder = site.join(".");
    while folder.pop() {
        let mode = std::fs::metadata(&folder)?.permissions().mode();
        if mode & 0o001 == 0 {
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode | 0o001))?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn only_those_who_are_listed_are_answered() -> Result<()> {
    let credential = Credential::new();
    let entries = body(&[("r.example", &credential)]);

    let private = site("root-alone", &entries, "")?;
    passable(&private)?;
    let agent = started(&private).await?;
    let mode = std::fs::metadata(private.join("broker.sock"))?
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let output = as_nobody(&private)?.run(RUN).await?;
    ensure!(
        output.stdout.contains("permission denied"),
        "{}",
        output.stdout
    );
    agent.stop().await?;

    let other = site("others", &entries, "allowed_users = [\"0\", \"12345\"]")?;
    passable(&other)?;
    let agent = started(&other).await?;
    let output = as_nobody(&other)?.run(RUN).await?;
    assert_eq!(output.status.code(), Some(1));
    ensure!(
        output
            .stdout
            .contains("user 65534 of group 65534 may not ask"),
        "{}",
        output.stdout
    );
    eventually("the refusal in the log", async || {
        ensure!(agent.logged("a peer asked for credentials that may not") == 1);
        Ok(())
    })
    .await?;
    agent.stop().await?;

    let group = site("group", &entries, "allowed_groups = [\"65534\"]")?;
    passable(&group)?;
    let agent = started(&group).await?;
    knows(&group, "r.example", &credential).await?;
    let output = as_nobody(&group)?.run(RUN).await?;
    ensure!(output.stdout.contains(&credential.password), "not answered");
    agent.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_strangers_socket_is_not_asked() -> Result<()> {
    let site = site("stranger", &body(&[]), "")?;
    let folder = site.join("strangers");
    std::fs::create_dir(&folder)?;
    std::os::unix::fs::chown(&folder, Some(65534), Some(65534))?;
    passable(&site)?;
    let socket = folder.join("broker.sock");
    let listen = r#"use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die; bind($s, sockaddr_un($ARGV[0])) or die;
        listen($s, 5) or die; accept(my $c, $s); sysread($c, my $line, 100) and print $line;"#;
    let stranger = Program::installed("setpriv")?
        .args(["--reuid", NOBODY, "--clear-groups", "perl", "-e", listen])
        .arg(&socket)
        .spawn(&site.join("."))?;
    eventually("the stranger listens", async || {
        Ok(std::fs::metadata(&socket)?)
    })
    .await?;
    let output = at(&site, helper()?)
        .env("PULLKEEPER_BROKER_SOCKET", &socket)
        .arg("get")
        .input("r.example")
        .run(RUN)
        .await?;
    ensure!(
        output
            .stdout
            .contains("belongs to user 65534, and is not asked"),
        "{}",
        output.stdout
    );
    stranger.wait(RUN).await?;
    assert_eq!(stranger.stdout(), "", "something was sent to the stranger");
    Ok(())
}
