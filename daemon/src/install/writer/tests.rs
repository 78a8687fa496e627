use std::path::Path;
use std::time::SystemTime;

use pullkeeper_core::authfile::Shape;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::*;
use crate::config::{
    BadEntry, MergePolicy, RequiredAction, TargetKind, TargetSettings, ValidationSettings,
};
use crate::event::Events;
use crate::gate::Gate;
use crate::install::ownership::Ownership;
use crate::source::{Item, Observation, Payload};

const DOCUMENT: &str = "{\"auths\":{\"a.example\":{\"auth\":\"dXNlcjpwYXNz\"}}}\n";

fn settings(path: &Path) -> TargetSettings {
    TargetSettings {
        kind: TargetKind::Containers,
        path: path.to_owned(),
        mode: 0o600,
        owner: None,
        merge: MergePolicy::Merge,
    }
}

fn wish() -> Wish {
    let payload = Payload {
        shape: Shape::ConfigJson,
        bytes: Arc::new(Zeroizing::new(DOCUMENT.as_bytes().to_vec())),
    };
    let item = Item {
        id: "x".to_owned(),
        revision: None,
        content: Ok(payload),
        seen: Instant::now(),
    };
    let mut gate = Gate::new(ValidationSettings {
        bad_entry: BadEntry::Skip,
        allow_empty: false,
        required_registries: Vec::new(),
        required_action: RequiredAction::Warn,
    });
    gate.pass(&[Observation {
        source: "global".into(),
        namespace: None,
        items: Some(vec![item]),
        trouble: None,
    }])
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_away_before_the_gate_has_judged() {
    let folder = tempfile::tempdir().unwrap();
    let (path, state) = (folder.path().join("auth.json"), folder.path().join("state"));
    // As an earlier run left it: one managed entry.
    Installer::new(settings(&path), &state).apply(&wish(), Ownership::Ours);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), DOCUMENT);

    let (_wishes, wish) = watch::channel(Arc::default());
    let (_found, ownership) = watch::channel(Ownership::Ours);
    let board = Arc::new(Board::new(None));
    let shared = Shared {
        wish,
        ownership,
        resync_interval: Duration::from_secs(60),
        resync: Resync::default(),
        board: Arc::clone(&board),
        cancel: CancellationToken::new(),
    };
    let installer = Installer::new(settings(&path), &state);
    let (_nobody, restores) = mpsc::channel(1);
    let writer = own(installer, shared, Reporter::new(Events::off()), restores);
    assert!(
        tokio::time::timeout(Duration::from_secs(3600), writer)
            .await
            .is_err()
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), DOCUMENT);
}

#[tokio::test]
async fn mode_and_owner_are_put_right_without_a_change_of_content() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let (path, state) = (folder.path().join("auth.json"), folder.path().join("state"));
    let mut installer = Installer::new(settings(&path), &state);
    let wish = wish();
    assert_eq!(
        installer.apply(&wish, Ownership::Ours).written,
        Some(Cause::Source)
    );
    assert_eq!(installer.apply(&wish, Ownership::Ours).written, None);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(
        installer.apply(&wish, Ownership::Ours).written,
        Some(Cause::Drift)
    );
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    assert!(metadata.modified().unwrap() <= SystemTime::now());
}
