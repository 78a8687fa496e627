use super::*;

/// An API server with one budget for all pods of several nodes, whose view reaches the plan late. Whatever it answers, it is
/// never asked for more than one pod at a time, nor twice for a pod that was replaced, and all nodes end up empty.
#[test]
fn nodes_that_share_a_budget_are_drained_whatever_is_answered() {
    for seed in 1..200_u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let of_node = |index: usize| Pod {
            node: format!("n{}", index % 3),
            ..pod(&format!("front-{index}"))
        };
        let mut scene = Scene::of((0..9).map(of_node)).with(budget("front", "front", 2));
        let (mut healthy, mut version) = (4, 1);
        let mut pending = Vec::<Eviction>::new();
        let mut replaced = BTreeSet::new();
        let mut rounds = 0;
        while scene.nodes.values().any(|node| !node.pods.is_empty()) {
            rounds += 1;
            assert!(rounds < 5000, "seed {seed} does not end");
            let step = scene.look();
            for eviction in &step.evictions {
                assert!(!replaced.contains(&eviction.uid), "seed {seed}");
            }
            pending.extend(step.evictions);
            assert!(pending.len() <= 1, "seed {seed}");
            for name in step.lists {
                scene.nodes.get_mut(&name).unwrap().listed = scene.now;
            }
            if random(2) == 0
                && let Some(eviction) = pending.pop()
            {
                let answer = match random(10) {
                    0 => Answer::Busy { retry_after: None },
                    1 => refused(),
                    2 => Answer::Unanswered,
                    3 => {
                        replaced.insert(eviction.uid.clone());
                        scene.goes(&eviction.name);
                        Answer::Replaced
                    }
                    _ if healthy > 2 => {
                        healthy -= 1;
                        version += 1;
                        scene.pod(&eviction.name).terminating = true;
                        Answer::Accepted
                    }
                    _ => budgeted(),
                };
                scene.plan.answered(&eviction, &answer, 0.5, scene.now);
            }
            if random(3) == 0 {
                let pods = scene.nodes.values().flat_map(|node| &node.pods);
                let leaving = pods
                    .filter(|pod| pod.terminating)
                    .map(|pod| pod.name.clone());
                let leaving: Vec<_> = leaving.collect();
                for name in leaving {
                    scene.goes(&name);
                    healthy += 1;
                    version += 1;
                }
            }
            if random(4) == 0 {
                let told = &mut scene.budgets[0];
                told.version = version.to_string();
                told.current_healthy = healthy;
                told.disruptions_allowed = (healthy - 2).max(0);
            }
            scene.wait(1);
        }
    }
}

#[test]
fn races_that_are_lost_again_and_again_are_told() {
    let mut scene = Scene::of([pod("front-1")]).with(budget("front", "front", 1));
    let retry_after = seconds(10);
    assert_eq!(scene.sent(), ["front-1"]);
    scene.answer("front-1", Answer::Raced { retry_after });
    assert!(scene.reasons().is_empty());
    scene.wait(10);
    assert_eq!(scene.sent(), ["front-1"]);
    scene.answer("front-1", Answer::Raced { retry_after });
    let blockers = scene.look().left["n1"].blockers.clone();
    assert_eq!(blockers.len(), 1);
    assert_eq!(blockers[0].reason, Reason::DisruptionBudget);
    let message = &blockers[0].message;
    assert!(
        message.contains("web/front is changed by others"),
        "{message}"
    );
}

#[test]
fn a_lost_race_after_too_many_budgets_is_waited_for_all_the_same() {
    let mut scene = Scene::of([pod("front-1")]).with(budget("front", "front", 1));
    assert_eq!(scene.sent(), ["front-1"]);
    scene.answer("front-1", Answer::TooManyBudgets);
    scene.wait(60);
    assert_eq!(scene.sent(), ["front-1"]);
    let retry_after = seconds(10);
    scene.answer("front-1", Answer::Raced { retry_after });
    let changed = Budget {
        generation: 2,
        observed_generation: 2,
        version: "2".to_owned(),
        ..budget("front", "front", 1)
    };
    scene.budgets[0] = changed;
    scene.wait(5);
    assert!(scene.sent().is_empty());
    scene.wait(5);
    assert_eq!(scene.sent(), ["front-1"]);
}

#[test]
fn who_waits_for_an_eviction_of_another_pod_is_told_of_once_that_takes_long() {
    let pods = ["front-1", "front-2"].map(pod);
    let mut scene = Scene::of(pods).with(budget("front", "front", 1));
    assert_eq!(scene.sent(), ["front-1"]);
    let told_from = scene.look().look_at;
    assert_eq!(told_from, Some(scene.now + seconds(10)));
    scene.wait(9);
    assert!(scene.look().left["n1"].blockers.is_empty());
    scene.wait(1);
    let blockers = scene.look().left["n1"].blockers.clone();
    assert_eq!(blockers.len(), 1, "{blockers:?}");
    assert_eq!(blockers[0].pod, pod("front-2").path());
    assert_eq!(blockers[0].reason, Reason::DisruptionBudget);
    assert!(blockers[0].message.contains("web/front"), "{blockers:?}");

    // What may have been spent keeps it waiting as well, and what is said of the pod itself comes first.
    scene.answer("front-1", Answer::Unanswered);
    assert_eq!(
        scene.reasons(),
        [Reason::Unanswered, Reason::DisruptionBudget]
    );
    scene.wait(60);
    scene.list();
    assert_eq!(scene.sent(), ["front-1"]);
}
