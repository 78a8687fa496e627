use pullkeeper_core::authfile::Shape;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::super::orders::Given;
use super::*;
use crate::source::{Payload, Revision as ItemRevision};

fn item(id: &str, version: Option<u32>) -> Item {
    Item {
        id: id.to_owned(),
        revision: version.map(|version| ItemRevision::Secret {
            uid: "u".to_owned(),
            resource_version: version.to_string(),
        }),
        content: Ok(Payload {
            shape: Shape::ConfigJson,
            bytes: Arc::new(Zeroizing::new(format!("{version:?}").into_bytes())),
        }),
        seen: Instant::now(),
    }
}

fn observation(source: &str, items: Option<Vec<Item>>) -> Observation {
    Observation {
        source: source.into(),
        namespace: None,
        items,
        trouble: None,
    }
}

/// The global pull secret in this version.
fn global(version: u32) -> Observation {
    observation("global", Some(vec![item("secret:ns/pull", Some(version))]))
}

fn permit(serial: u64, version: u32) -> NodePermit {
    let secret = SecretRevision {
        namespace: "ns".to_owned(),
        name: "pull".to_owned(),
        uid: "u".to_owned(),
        resource_version: version.to_string(),
    };
    NodePermit {
        node_uid: "node".to_owned(),
        generation: serial,
        serial,
        revision: [secret].into_iter().collect(),
        probe: false,
        restart: false,
        kubelet_provider: None,
    }
}

fn orders(permit: Option<NodePermit>) -> Orders {
    Orders::Given(Arc::new(Given {
        sources: vec![SecretSource {
            namespace: "ns".to_owned(),
            name: Some("pull".to_owned()),
        }],
        permit,
        answered: None,
    }))
}

fn pass(hold: &mut Hold, observations: &[Observation], orders: &Orders) -> Holding {
    hold.pass(observations, orders, None, None)
}

/// A hold on a node that has something already.
fn hold() -> Hold {
    Hold::new(false)
}

#[test]
fn what_is_new_waits_for_its_permit_and_what_was_stays() {
    let mut hold = hold();
    let taken = pass(&mut hold, &[global(1)], &orders(Some(permit(1, 1))));
    assert_eq!(taken.standing, Standing::Taken(permit(1, 1)));
    assert_eq!(taken.observations, [global(1)]);

    let waits = pass(&mut hold, &[global(2)], &orders(Some(permit(1, 1))));
    assert_eq!(waits.standing, Standing::Waiting);
    assert_eq!(waits.observations, [global(1)]);
    assert_eq!(
        waits.seen,
        Some(permit(2, 2).revision),
        "and it is told that it is there"
    );

    let taken = pass(&mut hold, &[global(2)], &orders(Some(permit(2, 2))));
    assert_eq!(taken.standing, Standing::Taken(permit(2, 2)));
    assert_eq!(taken.observations, [global(2)]);
}

#[test]
fn a_permit_for_another_version_is_none() {
    let mut hold = hold();
    for other in [None, Some(permit(3, 3)), Some(permit(1, 1))] {
        let waits = pass(&mut hold, &[global(2)], &orders(other));
        assert_eq!(waits.standing, Standing::Waiting);
        assert_eq!(waits.observations[0].items, None, "nothing was released");
    }
}

/// One that takes the place of a former one.
fn void(serial: u64, version: u32) -> NodePermit {
    NodePermit {
        generation: 0,
        ..permit(serial, version)
    }
}

#[test]
fn a_void_permit_is_none_and_what_was_taken_before_it_stays() {
    let mut hold = hold();
    pass(&mut hold, &[global(1)], &orders(Some(permit(1, 1))));
    let waits = pass(&mut hold, &[global(2)], &orders(Some(void(3, 2))));
    assert_eq!(waits.standing, Standing::Waiting);
    assert_eq!(waits.observations, [global(1)]);
    // There is nothing that is paced, so that there is nothing that it does not name.
    let other = [observation("other", Some(vec![item("file:/x", None)]))];
    let nothing = pass(&mut Hold::new(false), &other, &orders(Some(void(3, 2))));
    assert_eq!(nothing.standing, Standing::Waiting);
    // It was faster than the one that calls it back.
    pass(&mut hold, &[global(2)], &orders(Some(permit(2, 2))));
    let kept = pass(&mut hold, &[global(2)], &orders(Some(void(3, 2))));
    assert_eq!(kept.standing, Standing::Waiting);
    assert_eq!(kept.observations, [global(2)]);

    let taken = pass(&mut hold, &[global(3)], &orders(Some(permit(4, 3))));
    assert_eq!(taken.standing, Standing::Taken(permit(4, 3)));
}

#[test]
fn a_process_that_begins_with_a_void_permit_takes_nothing() {
    let waits = pass(&mut hold(), &[global(2)], &orders(Some(void(3, 2))));
    assert_eq!(waits.standing, Standing::Waiting);
    assert_eq!(waits.observations[0].items, None);
}

#[test]
fn what_is_being_tried_is_not_taken_once_its_permit_was_called_back() {
    let mut hold = hold();
    pass(&mut hold, &[global(1)], &orders(Some(permit(1, 1))));
    let probing = |permit| NodePermit {
        probe: true,
        ..permit
    };
    let tried = pass(
        &mut hold,
        &[global(2)],
        &orders(Some(probing(permit(2, 2)))),
    );
    assert_eq!(tried.standing, Standing::Probing(probing(permit(2, 2))));
    for passed in [None, Some(2), Some(3)] {
        let called_back = orders(Some(probing(void(3, 2))));
        let waits = hold.pass(&[global(2)], &called_back, passed, None);
        assert_eq!(waits.standing, Standing::Waiting);
        assert_eq!(waits.observations, [global(1)]);
    }
}

#[test]
fn nobody_knows_is_not_everybody_may() {
    let mut hold = hold();
    let file = observation("file", Some(vec![item("file:/auth.json", None)]));
    let unknown = pass(&mut hold, &[global(1), file.clone()], &Orders::Unknown);
    assert_eq!(unknown.standing, Standing::Unknown);
    assert_eq!(unknown.observations[0].items, None);
    assert_eq!(
        unknown.observations[1], file,
        "what is not paced never waits"
    );
    let free = pass(&mut hold, &[global(1), file.clone()], &Orders::Absent);
    assert_eq!(free.standing, Standing::Free);
    assert_eq!(free.observations, [global(1), file]);
}

#[test]
fn a_record_without_sources_paces_nothing() {
    let released = Orders::Given(Arc::default());
    let free = pass(&mut hold(), &[global(4)], &released);
    assert_eq!(free.standing, Standing::Free);
    assert_eq!(free.observations, [global(4)]);
}

#[test]
fn a_node_that_has_nothing_takes_what_there_is_and_waits_from_then_on() {
    let mut hold = Hold::new(true);
    let pending = observation("global", None);
    // A source that has not answered yet is not the node's first state.
    pass(&mut hold, &[pending], &orders(None));
    let joined = pass(&mut hold, &[global(1)], &orders(None));
    assert_eq!(joined.standing, Standing::Joined);
    assert_eq!(joined.observations, [global(1)]);
    let waits = pass(&mut hold, &[global(2)], &orders(None));
    assert_eq!(waits.standing, Standing::Waiting);
    assert_eq!(waits.observations, [global(1)]);
}

#[test]
fn only_what_the_record_names_waits() {
    let mut hold = hold();
    let other = |version| observation("other", Some(vec![item("secret:ns/other", Some(version))]));
    let held = pass(&mut hold, &[global(1), other(1)], &orders(None));
    assert_eq!(held.observations[0].items, None);
    assert_eq!(held.observations[1], other(1));
    let held = pass(&mut hold, &[global(1), other(2)], &orders(None));
    assert_eq!(held.observations[1], other(2));
}

#[test]
fn what_pods_of_a_namespace_get_is_not_the_nodes() {
    let mut hold = hold();
    let mut project = global(1);
    project.namespace = Some("ns".into());
    let held = pass(&mut hold, std::slice::from_ref(&project), &orders(None));
    assert_eq!(held.observations, [project]);
    assert_eq!(held.seen, Some(Revision::default()));
}

#[test]
fn a_secret_that_is_gone_waits_too_until_that_is_permitted() {
    // Deleted, or not found by a selector any more.
    for gone in [vec![item("secret:ns/pull", None)], Vec::new()] {
        let mut hold = hold();
        let gone = observation("global", Some(gone));
        pass(&mut hold, &[global(1)], &orders(Some(permit(1, 1))));
        for permit in [None, Some(permit(1, 1)), Some(permit(2, 2))] {
            let waits = pass(&mut hold, std::slice::from_ref(&gone), &orders(permit));
            assert_eq!(waits.standing, Standing::Waiting);
            assert_eq!(waits.observations, [global(1)]);
        }
        let empty = NodePermit {
            revision: Revision::default(),
            ..permit(3, 0)
        };
        let taken = pass(
            &mut hold,
            std::slice::from_ref(&gone),
            &orders(Some(empty.clone())),
        );
        assert_eq!(taken.standing, Standing::Taken(empty));
        assert_eq!(taken.observations, [gone]);
    }
}

#[test]
fn what_other_nodes_read_is_not_this_ones_business() {
    let mut wide = permit(1, 1);
    let other = SecretRevision {
        name: "elsewhere".to_owned(),
        ..wide.revision.secrets()[0].clone()
    };
    wide.revision = [wide.revision.secrets()[0].clone(), other]
        .into_iter()
        .collect();
    let taken = pass(&mut hold(), &[global(1)], &orders(Some(wide.clone())));
    assert_eq!(taken.standing, Standing::Taken(wide));
}

#[test]
fn what_is_seen_is_told_only_when_every_source_has_answered() {
    let pending = observation("other", None);
    assert_eq!(
        pass(&mut hold(), &[global(1), pending], &orders(None)).seen,
        None
    );
}

#[test]
fn what_is_to_be_tried_goes_on_when_it_is_good_and_never_when_it_was_rejected() {
    let mut hold = hold();
    pass(&mut hold, &[global(1)], &orders(Some(permit(1, 1))));
    let probing = NodePermit {
        probe: true,
        ..permit(2, 2)
    };
    let tried = hold.pass(&[global(2)], &orders(Some(probing.clone())), Some(1), None);
    assert_eq!(tried.standing, Standing::Probing(probing.clone()));
    assert_eq!(tried.observations, [global(1)]);
    let (next, former) = hold.candidates(&[global(2)]);
    let bytes = |all: &[Payload]| all.iter().map(|one| one.bytes.to_vec()).collect::<Vec<_>>();
    assert_eq!(bytes(&next), [b"Some(2)".to_vec()]);
    assert_eq!(bytes(&former), [b"Some(1)".to_vec()]);

    let answered = |outcome| {
        Orders::Given(Arc::new(Given {
            answered: Some(crate::resource::AgentReport {
                node_uid: "node".to_owned(),
                generation: 2,
                serial: 2,
                outcome,
                restarted: None,
                message: "why".to_owned(),
            }),
            ..match orders(Some(probing.clone())) {
                Orders::Given(given) => (*given).clone(),
                _ => Given::default(),
            }
        }))
    };
    let refused = pass(&mut hold, &[global(2)], &answered(ReportedOutcome::Failed));
    assert_eq!(refused.standing, Standing::Refused("why".to_owned()));
    assert_eq!(refused.observations, [global(1)]);
    // A process that begins anew does not try again what was good.
    let taken = pass(&mut hold, &[global(2)], &answered(ReportedOutcome::Reached));
    assert_eq!(taken.standing, Standing::Taken(probing.clone()));
    let taken = hold.pass(&[global(2)], &orders(Some(probing.clone())), Some(2), None);
    assert_eq!(taken.standing, Standing::Taken(probing));
}

#[test]
fn what_services_did_not_come_back_with_gives_way_to_what_was_there_before() {
    let restarting = |serial, version| NodePermit {
        restart: true,
        ..permit(serial, version)
    };
    let rejected = Rejected {
        serial: 2,
        why: "kubelet.service did not come back".to_owned(),
    };
    let again = |hold: &mut Hold, permit: NodePermit, version| {
        hold.pass(
            &[global(version)],
            &orders(Some(permit)),
            None,
            Some(&rejected),
        )
    };
    let mut hold = hold();
    pass(&mut hold, &[global(1)], &orders(Some(restarting(1, 1))));
    pass(&mut hold, &[global(2)], &orders(Some(restarting(2, 2))));
    for _ in 0..2 {
        let refused = again(&mut hold, restarting(2, 2), 2);
        assert_eq!(refused.standing, Standing::Refused(rejected.why.clone()));
        assert_eq!(refused.observations, [global(1)]);
    }
    // Another process keeps what is on disk.
    let refused = again(&mut Hold::new(false), restarting(2, 2), 2);
    assert_eq!(refused.standing, Standing::Refused(rejected.why.clone()));
    assert_eq!(refused.observations[0].items, None);
    // A new permit for the same version, or a newer one, is tried.
    let taken = again(&mut hold, restarting(3, 2), 2);
    assert_eq!(taken.observations, [global(2)]);
    let taken = again(&mut hold, restarting(4, 3), 3);
    assert_eq!(taken.observations, [global(3)]);
}
