//! kill -9 at random points of a write, with a reader that never looks away.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use support::writer::{GID, MODE, Random, Scene, State, UID};

/// Writers at a time, each with a target of its own.
const LANES: usize = 2;

/// Kills in all; `PULLKEEPER_KILLS` may ask for more.
const KILLS: usize = 10_000;

/// A kill comes at a random moment within so many replacements from the first one's start.
const SPREAD: u32 = 3;

/// Replacements by which the length of one is measured.
const CYCLES: u32 = 400;

/// Nothing here may hang: an hour would mean that it does.
const DEADLINE: Duration = Duration::from_secs(1800);

#[test]
fn install_survives_kill_9() {
    let kills = std::env::var("PULLKEEPER_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let kills = kills.max(KILLS);
    let seed = std::env::var("PULLKEEPER_SEED").map_or_else(|_| clock(), |s| s.parse().unwrap());
    let scenes: Vec<_> = (0..LANES).map(|_| scene()).collect();
    let cycle = measure(&scenes[0]);
    println!("seed {seed}, {kills} kills, one replacement takes {cycle:?}");

    let start = Instant::now();
    let over = AtomicBool::new(false);
    let (census, sightings) = thread::scope(|scope| {
        let over = &over;
        let reader = scope.spawn(|| watch(&scenes, over));
        let lanes: Vec<_> = scenes
            .iter()
            .zip(0u64..)
            .map(|(scene, lane)| {
                let random = Random::new(seed.wrapping_add(lane));
                let lane = Lane {
                    scene,
                    spread: cycle * SPREAD,
                    start,
                    over,
                };
                scope.spawn(move || lane.kill(random, kills / LANES))
            })
            .collect();
        let joined: Vec<_> = lanes.into_iter().map(|lane| lane.join()).collect();
        over.store(true, Ordering::Relaxed);
        let sightings = reader.join().unwrap();
        let census = joined
            .into_iter()
            .map(Result::unwrap)
            .reduce(Census::add)
            .unwrap();
        (census, sightings)
    });

    println!(
        "torn_writes {} in {kills} kills, {census:?}",
        sightings.wrong.len()
    );
    println!("{sightings:?} in {:?}", start.elapsed());
    assert!(
        sightings.wrong.is_empty(),
        "the reader saw {:#?}",
        sightings.wrong
    );
    assert_eq!(census.kills, kills / LANES * LANES);
    // Without these the test would pass although no kill ever met a write.
    assert!(
        census.during_write() > kills / 10,
        "too few kills met a write: {census:?}"
    );
    assert!(
        census.incomplete > 0 && census.complete > 0,
        "not every phase was met: {census:?}"
    );
    assert!(
        census.found_old > kills / 10 && census.found_new > kills / 10,
        "{census:?}"
    );
    assert!(
        sightings.old > kills && sightings.new > kills,
        "too few looks: {sightings:?}"
    );
    for scene in &scenes {
        let sweep = scene
            .writer()
            .arg("sweep")
            .arg(scene.target())
            .output()
            .unwrap();
        assert!(sweep.status.success(), "{sweep:?}");
        assert!(
            scene.strangers().unwrap().is_empty(),
            "the last kill's leftover is swept"
        );
    }
}

/// What the kills met.
#[derive(Debug, Default)]
struct Census {
    kills: usize,
    /// The temporary file was there and had not got all its bytes, owner and mode.
    incomplete: usize,
    /// It was finished but had not taken the target's name.
    complete: usize,
    found_old: usize,
    found_new: usize,
}

impl Census {
    fn during_write(&self) -> usize {
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

    fn count(&mut self, scene: &Scene) {
        self.kills += 1;
        match scene.state().unwrap() {
            State::Old => self.found_old += 1,
            State::New => self.found_new += 1,
            State::Absent => panic!("the target is gone"),
        }
        let leftovers = scene.strangers().unwrap();
        assert!(leftovers.len() <= 1, "a start did not sweep: {leftovers:?}");
        if let [leftover] = &*leftovers {
            let metadata = fs::symlink_metadata(leftover).unwrap();
            let length = usize::try_from(metadata.len()).unwrap();
            let whole = length == scene.old.len() || length == scene.new.len();
            let dressed =
                (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777) == (UID, GID, MODE);
            match whole && dressed {
                true => self.complete += 1,
                false => self.incomplete += 1,
            }
        }
    }
}

/// What the reader saw.
#[derive(Debug, Default)]
struct Sightings {
    old: usize,
    new: usize,
    wrong: Vec<String>,
}

fn scene() -> Scene {
    let program = env!("CARGO_BIN_EXE_install-writer");
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), program, 20_000, 300_000).unwrap();
    scene.put_old().unwrap();
    scene
}

/// Starts a writer that begins with the new content, or with the old one.
fn spawn(scene: &Scene, new_first: bool, more: &[String]) -> Child {
    let mut contents = [scene.old_path(), scene.new_path()];
    if !new_first {
        contents.reverse();
    }
    scene
        .writer()
        .arg("alternate")
        .arg(scene.target())
        .args(contents)
        .args(Scene::settings())
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the writer is about to begin its first replacement.
fn wait_for_start(writer: &mut Child) {
    let mut byte = [0];
    if writer
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut byte)
        .is_err()
    {
        let mut message = String::new();
        writer
            .stderr
            .as_mut()
            .unwrap()
            .read_to_string(&mut message)
            .unwrap();
        panic!("the writer ended before it was killed: {message}");
    }
}

fn measure(scene: &Scene) -> Duration {
    let mut writer = spawn(scene, true, &[format!("cycles={CYCLES}")]);
    wait_for_start(&mut writer);
    let start = Instant::now();
    assert!(writer.wait().unwrap().success());
    start.elapsed() / CYCLES
}

/// One target and the writers that are killed over it, one after the other.
struct Lane<'a> {
    scene: &'a Scene,
    spread: Duration,
    start: Instant,
    over: &'a AtomicBool,
}

impl Lane<'_> {
    fn kill(&self, mut random: Random, kills: usize) -> Census {
        let mut census = Census::default();
        let spread = u64::try_from(self.spread.as_nanos()).unwrap();
        while census.kills < kills && !self.over.load(Ordering::Relaxed) {
            assert!(
                self.start.elapsed() < DEADLINE,
                "out of time after {census:?}"
            );
            let mut writer = spawn(self.scene, random.next_u64().is_multiple_of(2), &[]);
            wait_for_start(&mut writer);
            thread::sleep(Duration::from_nanos(random.next_u64() % spread));
            writer.kill().unwrap();
            let status = writer.wait().unwrap();
            assert_eq!(
                status.signal(),
                Some(9),
                "the writer ended by itself: {status:?}"
            );
            census.count(self.scene);
        }
        census
    }
}

/// Opens and reads the targets again and again, like a client that pulls an image; a wrong sight
/// ends the test.
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

fn clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}
