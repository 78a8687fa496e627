//! With a real systemd.

mod scene;

use std::fs;

use self::scene::{Scene, document, write};
use super::*;

const A: (&str, &str) = ("a.example", "dXNlcjpwYXNz");
const A2: (&str, &str) = ("a.example", "dXM6cGFzcw==");
const B: (&str, &str) = ("b.example", "dXNlcjpwYXNz");

/// A service that runs, and counts its starts.
const COUNTED: &str =
    "ExecStartPre=/bin/sh -c 'echo >>FOLDER/starts'\nExecStart=/bin/sleep infinity";
/// One that does not run with the second password.
const PICKY: &str = "ExecStartPre=/bin/sh -c 'echo >>FOLDER/starts; ! grep -q dXM6cGFzcw FOLDER/auth.json'\n\
                     ExecStart=/bin/sleep infinity";
/// One that does so and ends soon, and is restarted by systemd.
const FLAPPING: &str = "ExecStart=/bin/sh -c 'grep -q dXM6cGFzcw FOLDER/auth.json && sleep 0.3 && exit 1; sleep infinity'\n\
                        Restart=always\nRestartSec=100ms\nStartLimitIntervalSec=0";
/// One that never says that it is ready with it.
const HANGING: &str = "Type=oneshot\nRemainAfterExit=yes\nTimeoutStartSec=infinity\n\
                       ExecStart=/bin/sh -c '! grep -q dXM6cGFzcw FOLDER/auth.json || sleep infinity'";

fn starts(scene: &Scene) -> usize {
    let starts = fs::read_to_string(scene.at("starts")).unwrap_or_default();
    starts.lines().count()
}

/// A machine whose file has what the first permit brought.
async fn begun(unit: &str) -> (Scene, scene::Agent) {
    let mut scene = Scene::new(&[("it.service", unit)]).await;
    scene.settings.timeout = Duration::from_secs(6);
    let mut agent = scene.agent();
    agent.take(1, &document(&[A]));
    assert_eq!(agent.outcome(1).await.outcome, Ok(()));
    scene.start("it.service").await;
    (scene, agent)
}

#[tokio::test]
async fn only_what_was_there_and_changes_restarts_services() {
    let (scene, mut agent) = begun(COUNTED).await;
    let first = scene.state("it.service").await;
    assert_eq!(starts(&scene), 1);
    agent.take(2, &document(&[A, B]));
    let added = agent.outcome(2).await;
    assert_eq!((added.outcome, added.restarted), (Ok(()), None));
    assert_eq!(scene.state("it.service").await, first);

    agent.take(3, &document(&[A2, B]));
    let changed = agent.outcome(3).await;
    assert_eq!(changed.outcome, Ok(()));
    assert!(changed.restarted.is_some());
    assert_eq!(
        agent.counts(),
        [
            "activations_total{outcome=\"restarted\"} 1",
            "unit_restart_seconds_count{unit=\"it.service\"} 1",
            "unit_restarts_total{unit=\"it.service\",outcome=\"back\"} 1",
        ]
    );
    assert_eq!(agent.told(), []);
    let second = scene.state("it.service").await;
    assert!(second.is_up() && second.invocation != first.invocation);
    assert_eq!(starts(&scene), 2);
    assert_eq!(scene.text().unwrap(), document(&[A2, B]));
    // Nothing of what was there before stays.
    assert!(!scene.at("state/activation.json").exists());
}

#[tokio::test]
async fn when_a_service_does_not_start_the_former_file_comes_back_and_so_does_the_service() {
    let (scene, mut agent) = begun(PICKY).await;
    agent.take(2, &document(&[A2]));
    let failed = agent.outcome(2).await;
    let why = failed.outcome.unwrap_err();
    assert!(
        why.starts_with("it.service did not come back: failed"),
        "{why}"
    );
    assert!(
        why.ends_with("the former files are back; the services are back"),
        "{why}"
    );
    assert!(!why.contains("dXM6"));
    assert!(failed.restarted.is_some());
    assert_eq!(
        agent.counts(),
        [
            "activations_total{outcome=\"rolled-back\"} 1",
            "unit_restart_seconds_count{unit=\"it.service\"} 2",
            "unit_restarts_total{unit=\"it.service\",outcome=\"back\"} 1",
            "unit_restarts_total{unit=\"it.service\",outcome=\"down\"} 1",
        ]
    );
    let (first, _) = why.split_once("; the former").unwrap();
    assert_eq!(
        agent.told(),
        [
            ("RestartFailed".to_owned(), first.to_owned()),
            ("RestartRolledBack".to_owned(), why.clone()),
        ]
    );
    assert_eq!(scene.text().unwrap(), document(&[A]));
    assert!(scene.state("it.service").await.is_up());
    // Tried once, and not again by the writer that still wishes for it, nor by the next process.
    let tried = starts(&scene);
    assert_eq!(tried, 3);
    let journal = fs::read_to_string(scene.at("state/activation.json")).unwrap();
    assert!(
        journal.contains("Rejected") && !journal.contains("content"),
        "{journal}"
    );
    agent.kill().await;
    let mut next = scene.agent();
    let told = next.outcome(2).await;
    assert_eq!((told.outcome, told.restarted), (Err(why), failed.restarted));
    let rejected = next.journal.rejections().borrow().clone().unwrap();
    assert_eq!(rejected.serial, 2);
    next.refuse(&document(&[A]));
    assert_eq!(starts(&scene), tried);
    // A new permit is another try.
    next.take(3, &document(&[A, B]));
    assert_eq!(next.outcome(3).await.outcome, Ok(()));
    assert_eq!(scene.text().unwrap(), document(&[A, B]));
}

#[tokio::test]
async fn when_there_was_no_file_there_is_none_again_and_never_an_empty_one() {
    let unit = "ExecStart=/bin/sh -c '! test -e FOLDER/auth.json && sleep infinity'";
    let mut scene = Scene::new(&[("it.service", unit)]).await;
    scene.settings.timeout = Duration::from_secs(6);
    scene.start("it.service").await;
    let mut agent = scene.agent();
    // An entry that is new makes no restart useful by itself; another target's may.
    let restart = crate::gate::Restart {
        serial: 1,
        answered: false,
    };
    let other = Former::new(None, b"{}", true);
    assert!(
        agent
            .journal
            .begin(restart, &scene.at("other"), other)
            .unwrap()
    );
    agent.take(1, &document(&[A]));
    let why = agent.outcome(1).await.outcome.unwrap_err();
    assert!(
        why.contains("the former files are back; the services are back"),
        "{why}"
    );
    assert_eq!(scene.text(), None);
    assert!(scene.state("it.service").await.is_up());
}

#[tokio::test]
async fn a_service_that_flaps_is_not_back() {
    let (scene, mut agent) = begun(FLAPPING).await;
    agent.take(2, &document(&[A2]));
    let why = agent.outcome(2).await.outcome.unwrap_err();
    let flaps = why.starts_with("it.service does not stay up") || why.contains("auto-restart");
    assert!(flaps, "{why}");
    assert_eq!(scene.text().unwrap(), document(&[A]));
    assert!(scene.state("it.service").await.is_up());
}

#[tokio::test]
async fn a_restart_that_hangs_ends_at_the_timeout() {
    let (mut scene, agent) = begun(HANGING).await;
    agent.kill().await;
    scene.settings.timeout = Duration::from_secs(3);
    let mut agent = scene.agent();
    agent.take(2, &document(&[A2]));
    let why = agent.outcome(2).await.outcome.unwrap_err();
    let slow = "it.service was not back within `activation.timeout`: activating (start)";
    assert!(why.starts_with(slow), "{why}");
    assert_eq!(scene.text().unwrap(), document(&[A]));
    assert!(scene.state("it.service").await.is_up());
}

#[tokio::test]
async fn what_does_not_answer_is_not_well() {
    let (mut scene, agent) = begun(COUNTED).await;
    agent.kill().await;
    scene.settings.timeout = Duration::from_secs(3);
    // Nobody listens on the port of nothing.
    scene.settings.health_url = Some("http://127.0.0.1:1/healthz".parse().unwrap());
    let mut agent = scene.agent();
    agent.take(2, &document(&[A2]));
    let why = agent.outcome(2).await.outcome.unwrap_err();
    assert!(
        why.starts_with("http://127.0.0.1:1/healthz does not answer 200"),
        "{why}"
    );
    assert!(why.contains("the services are not back"), "{why}");
    assert_eq!(scene.text().unwrap(), document(&[A]));
}

#[tokio::test]
async fn without_a_bus_or_a_unit_nothing_is_touched_and_that_is_told() {
    let (mut scene, agent) = begun(COUNTED).await;
    agent.kill().await;
    let first = scene.state("it.service").await;
    scene.settings.units = vec!["absent.service".to_owned()];
    let mut agent = scene.agent();
    agent.take(2, &document(&[A2]));
    let told = agent.outcome(2).await;
    let why = told.outcome.unwrap_err();
    assert!(
        why.starts_with("nothing was restarted")
            && why.contains("systemd refuses to restart absent.service"),
        "{why}"
    );
    assert_eq!(told.restarted, None);
    assert_eq!(scene.text().unwrap(), document(&[A2]));
    assert_eq!(
        agent.counts(),
        [
            "activations_total{outcome=\"refused\"} 1",
            "unit_restarts_total{unit=\"absent.service\",outcome=\"refused\"} 1",
        ]
    );
    assert_eq!(agent.told(), [("RestartFailed".to_owned(), why)]);
    agent.kill().await;

    scene.settings.units = vec!["it.service".to_owned()];
    scene.socket = scene.at("bus/none");
    let mut agent = scene.agent();
    agent.take(3, &document(&[A]));
    let told = agent.outcome(3).await;
    let why = told.outcome.unwrap_err();
    assert!(why.contains("cannot reach systemd over D-Bus"), "{why}");
    assert_eq!(
        (told.restarted, scene.text().unwrap()),
        (None, document(&[A]))
    );
    assert_eq!(scene.state("it.service").await, first);
}

#[tokio::test]
async fn an_agent_that_is_killed_while_services_settle_does_not_restart_them_again() {
    let (mut scene, agent) = begun(COUNTED).await;
    agent.kill().await;
    scene.settings.settle = Duration::from_secs(2);
    let mut agent = scene.agent();
    agent.take(2, &document(&[A2]));
    while starts(&scene) < 2 {
        sleep(Duration::from_millis(10)).await;
    }
    agent.kill().await;
    // Nobody has told it yet what it may do.
    let mut next = scene.agent();
    let ended = next.outcome(2).await;
    assert_eq!(ended.outcome, Ok(()));
    assert_eq!(
        (starts(&scene), scene.text().unwrap()),
        (2, document(&[A2]))
    );
    next.kill().await;
}

#[tokio::test]
async fn an_agent_that_is_killed_before_the_rollback_ends_it_after_its_start() {
    let (scene, agent) = begun(PICKY).await;
    agent.kill().await;
    // What a kill leaves at that point.
    let journal = journaled(&scene);
    let down = "it.service did not come back".to_owned();
    assert!(journal.advance(2, Phase::RollingBack(down)).unwrap());
    drop(journal);
    // What was in the file went with the process: it is kept nowhere else.
    let written = fs::read_to_string(scene.at("state/activation.json")).unwrap();
    assert!(written.contains("RollingBack") && !written.contains(A.1) && !written.contains(A2.1));
    let mut next = scene.agent();
    // It is refused from the start, so that nobody writes it meanwhile.
    assert!(next.journal.rejections().borrow().is_some());
    let why = next.outcome(2).await.outcome.unwrap_err();
    assert!(
        why.contains("does not know any more what was there"),
        "{why}"
    );
    assert!(why.contains("the services are not back"), "{why}");
    assert_eq!(next.told(), [("RestartNotRolledBack".to_owned(), why)]);
    assert_eq!(scene.text().unwrap(), document(&[A2]));
    // With the next version everything is well.
    next.take(3, &document(&[A]));
    assert_eq!(next.outcome(3).await.outcome, Ok(()));
    assert_eq!(scene.text().unwrap(), document(&[A]));
    assert!(scene.state("it.service").await.is_up());
}

/// A file that was replaced under the second permit, and the journal that says so.
fn journaled(scene: &Scene) -> Journal {
    let journal = Journal::open(&scene.at("state"));
    let restart = crate::gate::Restart {
        serial: 2,
        answered: false,
    };
    let former = Former::new(Some(document(&[A]).as_bytes()), b"{}", true);
    assert!(journal.begin(restart, &scene.file(), former).unwrap());
    write(&scene.file(), &document(&[A2]));
    journal
}

#[tokio::test]
async fn an_agent_that_is_killed_between_file_and_restart_restarts() {
    let (mut scene, agent) = begun(COUNTED).await;
    agent.kill().await;
    // What a kill leaves at that point is a journal and a new file.
    drop(journaled(&scene));
    scene.settings.settle = Duration::from_millis(300);
    let mut agent = scene.agent();
    assert_eq!(starts(&scene), 1);
    agent.take(2, &document(&[A2]));
    assert_eq!(agent.outcome(2).await.outcome, Ok(()));
    assert_eq!(starts(&scene), 2);
}

#[tokio::test]
async fn where_a_file_cannot_be_written_nothing_is_restarted_now_or_later() {
    let (scene, mut agent) = begun(COUNTED).await;
    // A folder has the file's name.
    fs::remove_file(scene.file()).unwrap();
    fs::create_dir(scene.file()).unwrap();
    agent.take(2, &document(&[A2]));
    let why = agent.outcome(2).await.outcome.unwrap_err();
    assert!(why.starts_with("a file could not be written"), "{why}");
    fs::remove_dir(scene.file()).unwrap();
    write(&scene.file(), &document(&[A]));
    agent.take(2, &document(&[A2]));
    while scene.text() != Some(document(&[A2])) {
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(agent.journal.stands(), None);
    assert_eq!(starts(&scene), 1);
}

#[tokio::test]
async fn an_agent_that_is_killed_while_a_unit_starts_waits_for_it() {
    let slow =
        "ExecStartPre=/bin/sh -c 'echo >>FOLDER/starts; sleep 1'\nExecStart=/bin/sleep infinity";
    let (scene, mut agent) = begun(slow).await;
    agent.take(2, &document(&[A2]));
    while starts(&scene) < 2 {
        sleep(Duration::from_millis(10)).await;
    }
    agent.kill().await;
    let mut next = scene.agent();
    assert_eq!(next.outcome(2).await.outcome, Ok(()));
    assert_eq!(
        (starts(&scene), scene.text().unwrap()),
        (2, document(&[A2]))
    );
}
