//! kill -9 at random points of a write, with a reader that never looks away.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use super::{GID, MODE, Random, Scene, State, UID};

/// Writers at a time, each with a target of its own.
const LANES: usize = 2;
/// A kill comes at a random moment within so many replacements from the first one's start.
const SPREAD: u32 = 3;
/// Replacements by which the length of one is measured.
const CYCLES: u32 = 400;
/// Nothing here may hang: half an hour would mean that it does.
const DEADLINE: Duration = Duration::from_secs(1800);

/// What came of many kills.
#[derive(Debug)]
pub struct Outcome {
    /// What the kills met.
    pub census: Census,
    /// What the reader saw.
    pub sightings: Sightings,
}

/// What the kills met.
#[derive(Debug, Default)]
pub struct Census {
    /// How many there were.
    pub kills: usize,
    /// The temporary file was there and had not got all its bytes, owner and mode.
    pub incomplete: usize,
    /// It was finished but had not taken the target's name.
    pub complete: usize,
    /// The target had the old content.
    pub found_old: usize,
    /// The target had the new content.
    pub found_new: usize,
}

/// What the reader saw.
#[derive(Debug, Default)]
pub struct Sightings {
    /// Looks at the old content.
    pub old: usize,
    /// Looks at the new content.
    pub new: usize,
    /// Anything else: a torn write.
    pub wrong: Vec<String>,
}

/// Kills writers of `program` at random moments, `kills` times, in scenes below `base`. The first wrong sight
/// ends it.
///
/// # Errors
/// When a part cannot be started, ends by itself, or leaves behind what it should have swept.
pub fn kill(base: &str, program: &str, kills: usize, seed: u64) -> Result<Outcome> {
    let scenes: Vec<_> = (0..LANES)
        .map(|_| {
            let scene = Scene::new(base, program, 20_000, 300_000)?;
            scene.put_old()?;
            Ok(scene)
        })
        .collect::<Result<_>>()?;
    let (spread, start, over) = (
        measure(&scenes[0])? * SPREAD,
        Instant::now(),
        AtomicBool::new(false),
    );
    let outcome = thread::scope(|scope| {
        let over = &over;
        let reader = scope.spawn(|| watch(&scenes, over));
        let lanes: Vec<_> = scenes
            .iter()
            .zip(0u64..)
            .map(|(scene, lane)| {
                let random = Random::new(seed.wrapping_add(lane));
                let lane = Lane {
                    scene,
                    spread,
                    start,
                    over,
                };
                scope.spawn(move || lane.kill(random, kills / LANES))
            })
            .collect();
        let mut census = Census::default();
        let mut failed = None;
        for lane in lanes {
            match lane
                .join()
                .map_err(|_| anyhow!("a lane panicked"))
                .flatten()
            {
                Ok(part) => census = census.add(part),
                Err(error) => failed = Some(error),
            }
        }
        over.store(true, Ordering::Relaxed);
        let sightings = reader.join().map_err(|_| anyhow!("the reader panicked"))?;
        failed.map_or(Ok(Outcome { census, sightings }), Err)
    })?;
    for scene in &scenes {
        let sweep = scene.writer().arg("sweep").arg(scene.target()).output()?;
        ensure!(sweep.status.success(), "{sweep:?}");
        let left = scene.strangers()?;
        ensure!(left.is_empty(), "the last kill's leftover stays: {left:?}");
    }
    Ok(outcome)
}

impl Census {
    /// Kills that met a write under way.
    pub fn during_write(&self) -> usize {
        self.incomplete + self.complete
    }

    fn add(self, other: Self) -> Self {
        Self {
            kills: self.kills + other.kills,
            incomplete: self.incomplete + other.incomplete,
            complete: self.complete + other.complete,
            found_old: self.found_old + other.found_old,
            found_new: self.found_new + other.found_new,
        }
    }

    fn count(&mut self, scene: &Scene) -> Result<()> {
        self.kills += 1;
        match scene.state()? {
            State::Old => self.found_old += 1,
            State::New => self.found_new += 1,
            State::Absent => bail!("the target is gone"),
        }
        let leftovers = scene.strangers()?;
        ensure!(leftovers.len() <= 1, "a start did not sweep: {leftovers:?}");
        if let [leftover] = &*leftovers {
            let metadata = fs::symlink_metadata(leftover)?;
            let length = usize::try_from(metadata.len())?;
            let whole = length == scene.old.len() || length == scene.new.len();
            let dressed =
                (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777) == (UID, GID, MODE);
            match whole && dressed {
                true => self.complete += 1,
                false => self.incomplete += 1,
            }
        }
        Ok(())
    }
}

/// Starts a writer that begins with the new content, or with the old one.
fn spawn(scene: &Scene, new_first: bool, more: &[String]) -> Result<Child> {
    let mut contents = [scene.old_path(), scene.new_path()];
    if !new_first {
        contents.reverse();
    }
    let mut command = scene.writer();
    command
        .arg("alternate")
        .arg(scene.target())
        .args(contents)
        .args(Scene::settings())
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().context("cannot start the writer")
}

/// Waits until the writer is about to begin its first replacement.
fn wait_for_start(writer: &mut Child) -> Result<()> {
    let mut byte = [0];
    let stdout = writer.stdout.as_mut().context("no standard output")?;
    if stdout.read_exact(&mut byte).is_err() {
        let mut message = String::new();
        let stderr = writer.stderr.as_mut().context("no standard error")?;
        stderr.read_to_string(&mut message)?;
        bail!("the writer ended before it was killed: {message}");
    }
    Ok(())
}

fn measure(scene: &Scene) -> Result<Duration> {
    let mut writer = spawn(scene, true, &[format!("cycles={CYCLES}")])?;
    wait_for_start(&mut writer)?;
    let start = Instant::now();
    ensure!(writer.wait()?.success(), "the writer failed");
    Ok(start.elapsed() / CYCLES)
}

/// One target and the writers that are killed over it, one after the other.
struct Lane<'a> {
    scene: &'a Scene,
    spread: Duration,
    start: Instant,
    over: &'a AtomicBool,
}

impl Lane<'_> {
    fn kill(&self, mut random: Random, kills: usize) -> Result<Census> {
        let mut census = Census::default();
        let spread = u64::try_from(self.spread.as_nanos())?;
        while census.kills < kills && !self.over.load(Ordering::Relaxed) {
            ensure!(
                self.start.elapsed() < DEADLINE,
                "out of time after {census:?}"
            );
            let mut writer = spawn(self.scene, random.next_u64().is_multiple_of(2), &[])?;
            wait_for_start(&mut writer)?;
            thread::sleep(Duration::from_nanos(random.next_u64() % spread));
            writer.kill()?;
            let status = writer.wait()?;
            ensure!(
                status.signal() == Some(9),
                "the writer ended by itself: {status:?}"
            );
            census.count(self.scene)?;
        }
        Ok(census)
    }
}

/// Opens and reads the targets again and again, like a client that pulls an image; a wrong sight ends it.
fn watch(scenes: &[Scene], over: &AtomicBool) -> Sightings {
    let mut sightings = Sightings::default();
    while !over.load(Ordering::Relaxed) {
        for scene in scenes {
            match scene.state() {
                Ok(State::Old) => sightings.old += 1,
                Ok(State::New) => sightings.new += 1,
                Ok(State::Absent) => sightings.wrong.push("no file".to_owned()),
                Err(error) => sightings.wrong.push(format!("{error:#}")),
            }
        }
        if !sightings.wrong.is_empty() {
            over.store(true, Ordering::Relaxed);
        }
    }
    sightings
}
