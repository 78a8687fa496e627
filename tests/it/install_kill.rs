//! kill -9 at random points of a write, with a reader that never looks away.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use support::writer::kill::kill;

/// Kills in all; `PULLKEEPER_KILLS` may ask for more.
const KILLS: usize = 10_000;

#[test]
fn install_survives_kill_9() {
    let kills = std::env::var("PULLKEEPER_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let kills = kills.max(KILLS);
    let seed = std::env::var("PULLKEEPER_SEED").map_or_else(|_| clock(), |s| s.parse().unwrap());
    println!("seed {seed}, {kills} kills");

    let start = Instant::now();
    let program = env!("CARGO_BIN_EXE_install-writer");
    let outcome = kill(env!("CARGO_TARGET_TMPDIR"), program, kills, seed).unwrap();
    let (census, sightings) = (outcome.census, outcome.sightings);

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
    assert_eq!(census.kills, kills / 2 * 2);
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
}

fn clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}
