//! A story in which all is well, and for each promise one in which it is not.

mod story;

use std::time::Duration;

use serde_json::json;

use super::{Promise, Trace, judge};
use story::{Story, cordon, eviction, foreign, ledger, list, permit, pod, release, slot};

fn broken(story: &Story) -> Vec<String> {
    let promise = Promise {
        slots: 1,
        unavailable: 1,
        settle: Duration::from_secs(5),
        control_plane: ["node-8", "node-9"].map(str::to_owned).into(),
    };
    judge(&Trace::of(&story.events()), &promise)
}

/// All that is broken is this, and something is.
fn breaks(story: &Story, number: &str) {
    let broken = broken(story);
    assert!(!broken.is_empty(), "nothing was noticed");
    for one in &broken {
        assert!(one.starts_with(&format!("{number}:")), "{broken:#?}");
    }
}

#[test]
fn a_drain_as_it_should_be_breaks_nothing() {
    assert_eq!(broken(&Story::whole()), [""; 0]);
}

#[test]
fn more_slots_than_there_are() {
    let mut story = Story::whole();
    story.replace(
        "drained",
        ledger(
            50,
            &[slot("node-1", 7, "Drained"), slot("node-2", 8, "Reserved")],
        ),
    );
    assert!(broken(&story).iter().any(|one| one.starts_with("S1:")));
    let mut story = Story::whole();
    story.replace(
        "drained",
        ledger(
            50,
            &[slot("node-8", 7, "Drained"), slot("node-9", 8, "Reserved")],
        ),
    );
    assert!(broken(&story).iter().any(|one| one.starts_with("S16:")));
}

#[test]
fn what_others_keep_away_counts() {
    let mut story = Story::whole();
    story.before("reserved", "admin", foreign("node-2", 15, true));
    breaks(&story, "S4");
    // Somebody may do so when a node is at work already.
    let mut story = Story::whole();
    story.before("drained", "admin", foreign("node-2", 45, true));
    assert_eq!(broken(&story), [""; 0]);
}

#[test]
fn no_slot_no_cordon_no_question() {
    let mut story = Story::whole();
    story.remove("asked");
    story.swap("reserved", "cordoned");
    breaks(&story, "S2");
    let mut story = Story::whole();
    story.remove("reserved");
    story.remove("cordoned");
    story.before(
        "draining",
        "late",
        ledger(25, &[slot("node-1", 7, "Reserved")]),
    );
    story.before("draining", "cordoned", cordon("node-1", 30, 7));
    breaks(&story, "S2");
    let mut story = Story::whole();
    story.swap("draining", "evicted");
    breaks(&story, "S2");
    let mut story = Story::whole();
    story.replace("permitted", permit("node-1", 60, 9));
    breaks(&story, "S2");
}

#[test]
fn a_slot_that_is_free_too_early() {
    let mut story = Story::whole();
    story.replace("restoring", ledger(80, &[]));
    breaks(&story, "S3");
}

#[test]
fn a_cordon_that_is_not_ours() {
    let mut story = Story::whole();
    story.before("cordoned", "admin", foreign("node-1", 25, true));
    breaks(&story, "S5");
    let mut story = Story::whole();
    story.after("free", "admin", foreign("node-2", 110, true));
    story.after("admin", "undone", release("node-2", 120));
    breaks(&story, "S5");
    let mut story = Story::whole();
    let mut prior = cordon("node-1", 85, 7);
    prior["user"]["username"] = "admin".into();
    prior["responseObject"]["metadata"]["annotations"]["pullkeeper.io/cordon-prior"] =
        "true".into();
    story.before("restored", "kept", prior);
    breaks(&story, "S5");
}

#[test]
fn flag_and_mark_together_and_guarded() {
    for part in ["uid", "resourceVersion"] {
        let mut story = Story::whole();
        let mut unguarded = cordon("node-1", 30, 7);
        unguarded["requestObject"]["metadata"][part] = json!(null);
        story.replace("cordoned", unguarded);
        breaks(&story, "S6");
    }
    let mut story = Story::whole();
    let mut flagless = cordon("node-1", 30, 7);
    flagless["requestObject"]["spec"] = json!({});
    story.replace("cordoned", flagless);
    breaks(&story, "S6");
    let mut story = Story::whole();
    let mut forced = cordon("node-1", 30, 7);
    forced["requestURI"] =
        "/api/v1/nodes/node-1?fieldManager=pullkeeper-coordinator&force=true".into();
    story.replace("cordoned", forced);
    breaks(&story, "S6");
    let mut story = Story::whole();
    let mut half = release("node-1", 90);
    half["requestObject"]["spec"] = json!({"unschedulable": true});
    story.replace("restored", half);
    breaks(&story, "S6");
}

#[test]
fn what_a_human_has_uncordoned() {
    let mut story = Story::whole();
    story.after("evicted", "human", foreign("node-1", 45, false));
    story.after("human", "again", eviction("pod-2", "uid-2"));
    let broken = broken(&story);
    assert!(
        broken.iter().any(|one| one.starts_with("S7:")),
        "{broken:#?}"
    );
    let mut story = Story::whole();
    story.after("evicted", "human", foreign("node-1", 45, false));
    story.after("human", "again", cordon("node-1", 46, 7));
    breaks(&story, "S7");
}

#[test]
fn whom_and_where() {
    let mut story = Story::whole();
    let mut nameless = eviction("pod-1", "uid-1");
    nameless["requestObject"] = json!({});
    story.replace("evicted", nameless);
    breaks(&story, "S8");
    let mut story = Story::whole();
    story.replace("evicted", eviction("pod-1", "another"));
    breaks(&story, "S8");
    let mut story = Story::whole();
    story.remove("restored");
    story.remove("permitted");
    story.before("draining", "early", release("node-1", 39));
    breaks(&story, "S8");
}

#[test]
fn how() {
    let mut story = Story::whole();
    let mut hard = eviction("pod-1", "uid-1");
    hard["requestObject"]["deleteOptions"]["gracePeriodSeconds"] = 0.into();
    story.replace("evicted", hard);
    breaks(&story, "S9");
    let mut story = Story::whole();
    let mut deletion = list("node-1");
    deletion["verb"] = "delete".into();
    story.after("listed", "deleted", deletion);
    breaks(&story, "S9");
}

#[test]
fn who_stays() {
    let mut story = Story::whole();
    let mut daemon = pod("uid-1");
    daemon["responseObject"]["metadata"]["ownerReferences"] = json!([{"kind": "DaemonSet"}]);
    story.replace("pod", daemon);
    breaks(&story, "S10");
    let mut story = Story::whole();
    let mut mirror = pod("uid-1");
    mirror["responseObject"]["metadata"]["annotations"] =
        json!({"kubernetes.io/config.mirror": "x"});
    story.replace("pod", mirror);
    breaks(&story, "S10");
    let mut trace = Trace::of(&Story::whole().events());
    trace.spare(["uid-1".to_owned()]);
    let promise = Promise {
        slots: 1,
        unavailable: 1,
        settle: Duration::ZERO,
        control_plane: [].into(),
    };
    assert_eq!(judge(&trace, &promise).len(), 1);
}

#[test]
fn a_permit_before_the_node_is_known_to_be_empty() {
    let mut story = Story::whole();
    story.remove("listed");
    breaks(&story, "S11");
    let mut story = Story::whole();
    story.swap("listed", "permitted");
    breaks(&story, "S11");
    let mut story = Story::whole();
    // A list at once after the cordon, for the settle time of the story's ten seconds a step.
    story.remove("listed");
    story.after("reserved", "early", list("node-1"));
    breaks(&story, "S11");
    let mut story = Story::whole();
    story.replace("listed", list("node-2"));
    breaks(&story, "S11");
}

#[test]
fn a_uid_that_was_refused() {
    let mut story = Story::whole();
    let mut refused = eviction("pod-1", "uid-1");
    refused["responseStatus"]["code"] = 409.into();
    story.replace("evicted", refused);
    assert_eq!(broken(&story), [""; 0]);
    story.after("evicted", "again", eviction("pod-1", "uid-1"));
    breaks(&story, "S25");
}
