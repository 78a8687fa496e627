use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::{cluster::Cluster, resync::Resync};
use crate::{
    config::{KubernetesSettings, SourceScope},
    source::SourceError,
};

fn context() -> Context {
    let kubernetes = KubernetesSettings {
        kubeconfig: Some("/nowhere/kubeconfig".into()),
        events: false,
        rollouts: false,
        watch_timeout: Duration::from_secs(45),
        request_timeout: Duration::from_secs(10),
    };
    Context {
        terms: Terms::of(
            &kubernetes,
            &Cluster::new(&kubernetes),
            &Resync::default(),
            &CancellationToken::new(),
        ),
        resync_interval: Duration::from_secs(60),
        tasks: TaskTracker::new(),
    }
}

#[test]
fn a_slot_wakes_only_with_something_new() {
    let none_yet = vec![
        Observation::none_yet("a", None),
        Observation::none_yet("b", None),
    ];
    let (all, mut joined) = watch::channel(none_yet);
    let slot = Slot {
        index: 1,
        all: Arc::new(all),
    };
    let mut observation = slot.observation();
    assert_eq!(&*observation.source, "b");

    slot.publish(&observation);
    assert!(!joined.has_changed().unwrap());

    observation.trouble = Some(SourceError::Unreachable { detail: "x".into() });
    slot.publish(&observation);
    assert_eq!(joined.borrow_and_update()[1], observation);
    assert_eq!(joined.borrow()[0], Observation::none_yet("a", None));

    slot.publish(&observation);
    assert!(!joined.has_changed().unwrap());
}

#[tokio::test]
async fn sources_are_in_the_order_of_the_settings_and_do_not_wait_for_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let settings = [
        SourceSettings {
            name: "secret".into(),
            origin: Origin::Secret {
                namespace: "ns".into(),
                name: "n".into(),
                key: None,
            },
            scope: SourceScope::Node,
        },
        SourceSettings {
            name: "file".into(),
            origin: Origin::File {
                path: directory.path().join("absent"),
                shape: None,
            },
            scope: SourceScope::Node,
        },
    ];
    let context = context();
    let mut joined = spawn(&settings, &context);
    assert_eq!(joined.borrow().len(), 2);

    let both = |all: &Vec<Observation>| all[0].trouble.is_some() && all[1].items.is_some();
    let wait = joined.wait_for(both);
    let all = tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .unwrap()
        .unwrap()
        .clone();
    assert_eq!((&*all[0].source, &all[0].items), ("secret", &None));
    let trouble = all[0].trouble.as_ref().unwrap().to_string();
    assert!(trouble.contains("/nowhere/kubeconfig"), "{trouble}");
    assert_eq!(&*all[1].source, "file");

    context.terms.cancel.cancel();
    context.tasks.close();
    context.tasks.wait().await;
    joined.mark_unchanged();
    assert!(joined.changed().await.is_err(), "the channel is closed");
}
