//! What becomes of children when the test process ends.

use std::io::Write;

use anyhow::{Context, Result, ensure};
use support::process::Program;
use support::scratch::Scratch;
use support::{eventually, patience, product};

const NAME: &str = "cluster_harness::children::children_die_with_the_test_process";
const ROLE: &str = "PULLKEEPER_TEST_VICTIM";

/// Runs this test in a process of its own, where it starts a child and does not clean up.
#[tokio::test]
async fn children_die_with_the_test_process() -> Result<()> {
    if let Ok(role) = std::env::var(ROLE) {
        return victim(&role).await;
    }
    for role in ["is killed", "ends"] {
        let scratch = Scratch::new("victim")?;
        let victim = Program::new("victim", std::env::current_exe()?)
            .args(["--exact", NAME, "--nocapture"])
            .env(ROLE, role)
            .spawn(scratch.path())?;
        let child = eventually("the victim tells its child's ID", async || {
            let told = victim.stdout();
            let line = told.lines().find_map(|line| line.strip_prefix("child:"));
            Ok(line.with_context(|| victim.tail())?.parse::<u32>()?)
        })
        .await?;
        match role {
            "is killed" => {
                assert!(runs(child));
                victim.kill_9();
            }
            _ => assert!(victim.wait(patience()).await?.success()),
        }
        eventually(
            &format!("the child is gone when its parent {role}"),
            async || {
                ensure!(!runs(child), "{child} still runs");
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

async fn victim(role: &str) -> Result<()> {
    let scratch = Scratch::new("victim")?;
    let child = Program::new("sleep", "/bin/sleep")
        .arg("600")
        .spawn(scratch.path())?;
    // libtest has begun a line of its own.
    writeln!(std::io::stdout(), "\nchild:{}", child.id())?;
    if role == "is killed" {
        child.wait(patience()).await?;
    }
    // As in a static that is never dropped, like the shared cluster.
    std::mem::forget(child);
    Ok(())
}

fn runs(pid: u32) -> bool {
    // Nobody may reap an orphan in a container, so a zombie counts as gone.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, state)| !state.starts_with('Z'))
    })
}

#[tokio::test]
async fn the_product_is_found_and_runs() -> Result<()> {
    product::pullkeeper()?
        .arg("--help")
        .run(patience())
        .await?
        .success()?;
    Ok(())
}
