//! The agent itself under kill -9: whatever it was doing, the node's file is whole, and the next run knows what
//! the killed one had put there.

use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use support::agent::Site;
use support::fixture::{Credential, config_json};
use support::writer::Random;

/// Runs that are killed.
const KILLS: usize = 400;
const RUN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_killed_agent_leaves_a_whole_file_and_takes_back_what_it_wrote() -> Result<()> {
    let site = Site::new("agent-kill")?;
    let (source, target) = (site.join("source.json"), site.join("node/auth.json"));
    site.configure(
        "",
        &format!(
            "[[source]]\nname = \"global\"\nfile = {source:?}\n[[target]]\nkind = \"containers\"\npath = {target:?}\n"
        ),
    )?;
    let [foreign, first, second, third] = std::array::from_fn(|_| Credential::new());
    // Every change takes one entry away, brings one and changes one.
    let wishes = [
        config_json([("a.example", &first), ("b.example", &second)]),
        config_json([("b.example", &third), ("c.example", &first)]),
    ];
    let states = [
        config_json([
            ("a.example", &first),
            ("b.example", &second),
            ("z.example", &foreign),
        ]),
        config_json([
            ("b.example", &third),
            ("c.example", &first),
            ("z.example", &foreign),
        ]),
    ];
    let states: Vec<Value> = states
        .iter()
        .map(|text| serde_json::from_str(text))
        .collect::<Result<_, _>>()?;
    std::fs::create_dir(site.join("node"))?;
    site.write("node/auth.json", config_json([("z.example", &foreign)]))?;
    site.write("source.json", &wishes[0])?;
    let mut whole = once(&site).await?;

    let over = Arc::new(AtomicBool::new(false));
    let looks = Arc::new(AtomicUsize::new(0));
    let reader = {
        let (over, looks, target, states) = (
            Arc::clone(&over),
            Arc::clone(&looks),
            target.clone(),
            states.clone(),
        );
        tokio::task::spawn_blocking(move || -> Result<()> {
            while !over.load(Ordering::Relaxed) {
                let found: Value =
                    serde_json::from_slice(&std::fs::read(&target)?).context("a torn file")?;
                ensure!(states.contains(&found), "a third state");
                looks.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        })
    };

    let mut random = Random::new(u64::from(std::process::id()));
    let mut met = Met::default();
    for kill in 0..KILLS {
        let now = (kill + 1) % 2;
        site.write("source.json", &wishes[now])?;
        let logs = tempfile::tempdir()?;
        let process = site.program()?.arg("--once").spawn(logs.path())?;
        // Starting and collecting a run takes its part of the time.
        let nanos = u64::try_from(whole.as_nanos())? * 6 / 10;
        // Not tokio's, which knows no less than a millisecond.
        std::thread::sleep(Duration::from_nanos(random.next_u64() % nanos));
        process.kill_9();
        let status = process.wait(RUN).await?;
        let killed = status.signal() == Some(9);
        let reached = serde_json::from_slice::<Value>(&std::fs::read(&target)?)? == states[now];
        met.count(killed, reached, !leftovers(&site)?.is_empty());
        // Whatever the killed run had done, one that is left alone finishes it and forgets nothing.
        whole = once(&site)
            .await
            .with_context(|| format!("after kill {kill}"))?;
        let found: Value = serde_json::from_slice(&std::fs::read(&target)?)?;
        ensure!(
            found == states[now],
            "after kill {kill} the file is not what the source asks for"
        );
        let left = leftovers(&site)?;
        ensure!(
            left.is_empty(),
            "after kill {kill} and another run there is {left:?}"
        );
    }
    over.store(true, Ordering::Relaxed);
    reader.await??;
    println!("{met:?}, {} looks", looks.load(Ordering::Relaxed));
    ensure!(met.killed > KILLS / 10, "too few runs were killed: {met:?}");
    ensure!(
        met.before > KILLS / 40 && met.after > KILLS / 100,
        "the kills were all on one side: {met:?}"
    );
    Ok(())
}

/// What the kills met.
#[derive(Debug, Default)]
struct Met {
    killed: usize,
    /// The file was still the former one.
    before: usize,
    /// The file was the new one already.
    after: usize,
    /// A temporary file was there.
    during: usize,
}

impl Met {
    fn count(&mut self, killed: bool, reached: bool, leftover: bool) {
        self.killed += usize::from(killed);
        self.before += usize::from(killed && !reached);
        self.after += usize::from(killed && reached);
        self.during += usize::from(killed && leftover);
    }
}

/// A run to the end; how long it took.
async fn once(site: &Site) -> Result<Duration> {
    let begun = Instant::now();
    site.program()?.arg("--once").run(RUN).await?.success()?;
    Ok(begun.elapsed())
}

/// Names beside the target's.
fn leftovers(site: &Site) -> Result<Vec<String>> {
    let names = std::fs::read_dir(site.join("node"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>>>()?;
    Ok(names
        .into_iter()
        .filter(|name| name != "auth.json")
        .collect())
}
