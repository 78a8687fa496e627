mod scene;

use pullkeeper_core::drain::Reason;
use serde_json::json;

use self::scene::Scene;
use super::*;
use crate::admin::Shown as _;

#[tokio::test(start_paused = true)]
async fn a_node_is_empty_only_when_a_late_list_says_so() {
    let scene = Scene::of(&["front-1", "back-1"]);
    assert!(scene.seen().is_none());
    scene.want(What::Drain, 2).await;
    assert_eq!(scene.evicted(), ["back-1", "front-1"]);
    let body = &lock(&scene.world).evictions[0].1.clone();
    let options = json!({"preconditions": {"uid": "uid-back-1"}});
    assert_eq!(body["deleteOptions"], options);
    assert_eq!(scene.seen().unwrap().left, 2, "they have not ended");
    lock(&scene.world).end("back-1");
    lock(&scene.world).end("front-1");
    scene.want(What::Drain, 1).await;
    let seen = scene.seen().unwrap();
    assert_eq!((seen.left, seen.settled), (0, Duration::ZERO));
    assert_eq!(lock(&scene.world).lists, 1);
    // Somebody was scheduled just before the cordon.
    lock(&scene.world).put_pod("late-1", json!({}));
    scene.want(What::Drain, 2).await;
    assert_eq!(scene.seen().unwrap().left, 1);
    lock(&scene.world).end("late-1");
    scene.want(What::Drain, 10).await;
    let seen = scene.seen().unwrap();
    assert_eq!(seen.left, 0);
    assert!(seen.settled >= Duration::from_secs(10), "{seen:?}");
    assert!(seen.blockers.is_empty() && !seen.inspected && seen.serial == 7);
    assert_eq!(lock(&scene.world).lists, 2);
    scene.want(What::Drain, 60).await;
    assert_eq!(lock(&scene.world).lists, 2);
    assert_eq!(scene.evicted().len(), 3);
    // What was said of the node is over with the next pod, and is said anew only by another list.
    lock(&scene.world).put_pod("late-2", json!({}));
    scene.want(What::Drain, 2).await;
    assert_eq!(scene.seen().unwrap().left, 1);
    lock(&scene.world).end("late-2");
    scene.want(What::Drain, 5).await;
    assert_eq!(
        (scene.seen().unwrap().left, lock(&scene.world).lists),
        (0, 3)
    );
    assert!(scene.seen().unwrap().settled >= Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_late_list_that_had_pods_does_not_say_that_none_is_left() {
    let scene = Scene::of(&["front-1"]);
    lock(&scene.world).put_budget("front", 0);
    scene.want(What::Drain, 15).await;
    lock(&scene.world).put_pod("front-1", json!({}));
    scene.want(What::Drain, 1).await;
    lock(&scene.world).cut();
    scene.want(What::Drain, 10).await;
    let seen = scene.seen().unwrap();
    assert!(seen.left == 1 && seen.settled >= Duration::from_secs(10));
    assert_eq!(lock(&scene.world).lists, 2);
    lock(&scene.world).end("front-1");
    scene.want(What::Drain, 2).await;
    assert_eq!(
        (scene.seen().unwrap().left, lock(&scene.world).lists),
        (0, 3)
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_is_evicted_unless_everything_is_as_it_was_ordered() {
    let quiet = async |act: fn(&Scene)| {
        let scene = Scene::of(&["front-1"]);
        act(&scene);
        scene.want(What::Drain, 20).await;
        let seen = scene.seen();
        (
            scene.evicted().len(),
            seen.map(|seen| (seen.left, seen.settled)),
        )
    };
    let nothing = (0, Some((1, Duration::ZERO)));
    assert_eq!(quiet(|scene| scene.mark(None)).await, nothing);
    assert_eq!(quiet(|scene| scene.mark(Some(6))).await, nothing);
    assert_eq!(quiet(Scene::trouble).await, nothing);
    assert_eq!(
        quiet(|scene| lock(&scene.world).hides_budgets = true).await,
        nothing
    );
    assert_eq!(
        quiet(|scene| _ = scene.term.send_replace(None)).await,
        nothing
    );
    let (evicted, _) = quiet(|_| {}).await;
    assert_eq!(evicted, 1);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_nobody_heeds_stops_by_itself() {
    let scene = Scene::of(&["front-1", "back-1"]);
    lock(&scene.world).put_budget("front", 0);
    scene.want(What::Drain, 5).await;
    assert_eq!(scene.evicted(), ["back-1"]);
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert!(scene.seen().is_none());
    lock(&scene.world).put_budget("front", 1);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(scene.evicted(), ["back-1"]);
    scene.want(What::Drain, 2).await;
    assert_eq!(scene.evicted(), ["back-1", "front-1"]);
    // Who is not named is let go at once.
    scene.engine.heed(BTreeMap::new(), Options::default());
    assert!(scene.seen().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_human_who_uncordons_stops_it_and_the_time_begins_anew() {
    let scene = Scene::of(&["front-1"]);
    lock(&scene.world).put_budget("front", 0);
    scene.want(What::Drain, 30).await;
    scene.mark(None);
    lock(&scene.world).put_budget("front", 1);
    scene.want(What::Drain, 30).await;
    assert!(scene.evicted().is_empty());
    lock(&scene.world).end("front-1");
    scene.want(What::Drain, 30).await;
    let seen = scene.seen().unwrap();
    assert_eq!((seen.left, seen.settled), (0, Duration::ZERO));
    scene.mark(Some(7));
    scene.want(What::Drain, 8).await;
    assert_eq!(scene.seen().unwrap().settled, Duration::ZERO);
    scene.want(What::Drain, 4).await;
    assert!(scene.seen().unwrap().settled >= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_budget_with_nothing_left_is_waited_for_without_a_request() {
    let scene = Scene::of(&["front-1", "front-2"]);
    lock(&scene.world).put_budget("front", 0);
    scene.want(What::Drain, 120).await;
    assert!(scene.evicted().is_empty());
    let seen = scene.seen().unwrap();
    assert_eq!(seen.blockers.len(), 2);
    assert_eq!(seen.blockers[0].reason, Reason::DisruptionBudget);
    assert!(seen.idle > Duration::from_secs(100));
    lock(&scene.world).put_budget("front", 1);
    scene.want(What::Drain, 1).await;
    assert_eq!(scene.evicted(), ["front-1"]);
    lock(&scene.world).put_budget("front", 0);
    lock(&scene.world).end("front-1");
    scene.want(What::Drain, 1).await;
    assert!(scene.seen().unwrap().idle < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_replaced_is_looked_for_and_not_sent_again() {
    let scene = Scene::of(&["front-1"]);
    let conflict = json!({"message": "the UID in the precondition does not match"});
    lock(&scene.world).answers.push_back((409, conflict));
    scene.want(What::Drain, 60).await;
    assert_eq!(scene.evicted(), ["front-1"]);
    assert!(lock(&scene.world).lists >= 2);
    let seen = scene.seen().unwrap();
    assert_eq!((seen.left, seen.blockers[0].reason), (1, Reason::Refused));
}

#[tokio::test(start_paused = true)]
async fn an_inspection_touches_nothing_and_asks_once_for_pods_that_are_alike() {
    let scene = Scene::of(&["front-1", "front-2", "back-1", "free-1"]);
    lock(&scene.world).put_budget("front", 0);
    lock(&scene.world).put_budget("back", 1);
    scene.mark(None);
    let busy = json!({"message": "Too many requests, please try again later."});
    lock(&scene.world).answers.push_back((429, busy));
    scene.want(What::Inspect, 1).await;
    assert!(scene.seen().is_none(), "that says nothing");
    let budget = json!({
        "message": "Cannot evict pod as it would violate the pod's disruption budget.",
        "details": {"causes": [{"reason": "DisruptionBudget", "message": "x"}]},
    });
    let accepted = json!({"status": "Success"});
    lock(&scene.world)
        .answers
        .extend([(201, accepted), (429, budget)]);
    scene.want(What::Inspect, 10).await;
    let seen = scene.seen().unwrap();
    assert!(seen.inspected && seen.left == 4 && seen.serial == 7);
    let blockers: Vec<_> = seen.blockers.iter().map(|one| &*one.pod).collect();
    assert_eq!(blockers, ["web/front-1"]);
    scene.want(What::Inspect, 300).await;
    assert_eq!(
        lock(&scene.world).dry_runs,
        ["back-1", "back-1", "front-1"],
        "what is clear is not asked again"
    );
    assert!(scene.evicted().is_empty());
    // For other options something else may hold.
    let mut scene = scene;
    scene.options.pods.force = true;
    scene.want(What::Inspect, 10).await;
    assert_eq!(lock(&scene.world).dry_runs.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_followed_is_told_and_what_happened_is_counted() {
    let scene = Scene::of(&["front-1"]);
    lock(&scene.world).hides_budgets = true;
    scene.want(What::Drain, 5).await;
    let troubles = scene.engine.troubles();
    assert_eq!(troubles.len(), 1, "{troubles:?}");
    assert!(troubles[0].contains("cannot watch poddisruptionbudgets: not permitted"));
    lock(&scene.world).hides_budgets = false;
    scene.want(What::Drain, 20).await;
    assert!(scene.engine.troubles().is_empty());
    assert_eq!(scene.evicted(), ["front-1"]);
    let metrics = scene.desk.metrics().unwrap();
    let line = "pullkeeper_evictions_total{answer=\"accepted\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}
