use super::*;
use crate::status::TargetFailure;

fn permit(serial: u64) -> NodePermit {
    NodePermit {
        node_uid: "u".to_owned(),
        generation: 3,
        serial,
        revision: Default::default(),
        probe: false,
        restart: false,
        kubelet_provider: None,
    }
}

/// Where nobody has anything to do with kubelet's provider.
fn compose(
    told: &NodePullSecretStatus,
    given: &Given,
    passed: &Passed,
    targets: &[TargetStatus],
    activation: Activation<'_>,
) -> Option<NodePullSecretStatus> {
    super::compose(told, given, passed, targets, activation, None)
}

fn passed(standing: Standing) -> Passed {
    Passed {
        standing,
        seen: Some(Default::default()),
        wish: Arc::new(Wish {
            generation: 5,
            ..Wish::default()
        }),
        restart: None,
        rejected: None,
        answered: 0,
    }
}

fn target(state: TargetState, generation: u64) -> TargetStatus {
    TargetStatus {
        kind: "kubelet",
        path: "/x/config.json".to_owned(),
        state,
        generation,
        entries: 1,
        last_write: None,
        error: (state == TargetState::Failed).then(|| TargetFailure {
            kind: "write",
            message: "no space left".to_owned(),
        }),
        findings: Vec::new(),
    }
}

fn tell(passed: &Passed, target: TargetStatus) -> Option<NodePullSecretStatus> {
    let nothing = NodePullSecretStatus::default();
    compose(
        &nothing,
        &Given::default(),
        passed,
        &[target],
        Activation::None,
    )
}

#[test]
fn a_permit_is_answered_when_every_target_has_been_looked_at_for_it() {
    let taken = passed(Standing::Taken(permit(7)));
    let early = tell(&taken, target(TargetState::InSync, 4)).unwrap();
    assert_eq!((early.phase, early.report), (NodePhase::Updating, None));
    let pending = tell(&taken, target(TargetState::Pending, 5)).unwrap();
    assert_eq!(pending.report, None);

    let done = tell(&taken, target(TargetState::InSync, 5)).unwrap();
    assert_eq!(done.phase, NodePhase::Current);
    let report = done.report.unwrap();
    assert_eq!(
        (report.serial, report.outcome),
        (7, ReportedOutcome::Reached)
    );
    // What is somebody else's to write is served by other means.
    let observed = tell(&taken, target(TargetState::Observed, 5)).unwrap();
    assert_eq!(observed.report.unwrap().outcome, ReportedOutcome::Reached);
}

#[test]
fn a_failure_says_why_and_stays_the_answer() {
    let taken = passed(Standing::Taken(permit(7)));
    let failed = tell(&taken, target(TargetState::Failed, 5)).unwrap();
    assert_eq!(
        (failed.phase, &*failed.reason),
        (NodePhase::Failed, "WriteFailed")
    );
    let report = failed.report.clone().unwrap();
    assert_eq!(report.outcome, ReportedOutcome::Failed);
    assert!(
        report.message.contains("/x/config.json: no space left"),
        "{}",
        report.message
    );
    // It heals by itself; what was answered was answered.
    let healed = compose(
        &failed,
        &Given::default(),
        &taken,
        &[target(TargetState::InSync, 5)],
        Activation::None,
    );
    let healed = healed.unwrap();
    assert_eq!(healed.phase, NodePhase::Current);
    assert_eq!(healed.report, Some(report));
}

#[test]
fn what_the_record_says_was_answered_is_not_answered_again() {
    let given = Given {
        answered: answer(&permit(7), &State::Failed("BadSecret", "x".to_owned())),
        ..Given::default()
    };
    let targets = [target(TargetState::InSync, 5)];
    let nothing = NodePullSecretStatus::default();
    let told = |serial| {
        let passed = passed(Standing::Taken(permit(serial)));
        compose(&nothing, &given, &passed, &targets, Activation::None)
            .unwrap()
            .report
            .unwrap()
    };
    assert_eq!(told(7).outcome, ReportedOutcome::Failed);
    assert_eq!(
        (told(8).serial, told(8).outcome),
        (8, ReportedOutcome::Reached)
    );
}

#[test]
fn waiting_is_no_failure_and_nothing_is_said_before_anything_is_known() {
    let waiting = tell(&passed(Standing::Waiting), target(TargetState::InSync, 5)).unwrap();
    assert_eq!(
        (waiting.phase, &*waiting.reason),
        (NodePhase::Waiting, "NoPermit")
    );
    assert!(waiting.report.is_none() && waiting.since.is_some());
    let target = || target(TargetState::InSync, 5);
    assert_eq!(tell(&passed(Standing::Unknown), target()), None);
    let unseen = Passed {
        seen: None,
        ..passed(Standing::Taken(permit(1)))
    };
    assert_eq!(tell(&unseen, target()), None);
}

#[test]
fn nothing_is_answered_while_a_permit_is_called_back_and_what_was_answered_stays() {
    let void = NodePermit {
        generation: 0,
        ..permit(8)
    };
    let given = |answered| Given {
        permit: Some(void.clone()),
        answered,
        ..Given::default()
    };
    // Its credentials were rejected just before that was known.
    let waiting = Passed {
        rejected: Some((7, "quay.io refuses it".to_owned())),
        ..passed(Standing::Waiting)
    };
    let targets = [target(TargetState::InSync, 5)];
    for answered in [None, answer(&permit(6), &State::Held)] {
        let nothing = NodePullSecretStatus::default();
        let told = compose(
            &nothing,
            &given(answered.clone()),
            &waiting,
            &targets,
            Activation::None,
        )
        .unwrap();
        assert_eq!(
            (told.phase, &*told.reason),
            (NodePhase::Waiting, "NoPermit")
        );
        assert_eq!(told.report, answered);
    }
}

#[test]
fn the_same_is_not_told_again() {
    let passed = passed(Standing::Waiting);
    let told = tell(&passed, target(TargetState::InSync, 5)).unwrap();
    let again = compose(
        &told,
        &Given::default(),
        &passed,
        &[target(TargetState::InSync, 5)],
        Activation::None,
    );
    assert_eq!(again, Some(told));
}

#[test]
fn a_credential_that_is_rejected_fails_the_permit_and_names_the_registry() {
    let probing = passed(Standing::Probing(permit(7)));
    let trying = tell(&probing, target(TargetState::InSync, 5)).unwrap();
    assert_eq!(
        (trying.phase, &*trying.reason),
        (NodePhase::Updating, "Probing")
    );
    assert_eq!(trying.report, None);
    let rejected = |serial| Passed {
        rejected: Some((serial, "quay.io refuses it".to_owned())),
        ..probing.clone()
    };
    assert_eq!(
        tell(&rejected(6), target(TargetState::InSync, 5))
            .unwrap()
            .report,
        None
    );
    let failed = tell(&rejected(7), target(TargetState::InSync, 5)).unwrap();
    assert_eq!(&*failed.reason, "CredentialRejected");
    let report = failed.report.unwrap();
    assert_eq!(
        (report.serial, report.outcome),
        (7, ReportedOutcome::Failed)
    );
    assert_eq!(report.message, "quay.io refuses it");
}

#[test]
fn a_permit_to_restart_is_answered_when_services_are_back_or_are_not() {
    let restarting = |serial| NodePermit {
        restart: true,
        ..permit(serial)
    };
    let tell = |standing, activation: Activation<'_>, former: Option<AgentReport>| {
        let given = Given {
            permit: Some(restarting(7)),
            answered: former,
            ..Given::default()
        };
        let targets = [target(TargetState::InSync, 5)];
        compose(
            &NodePullSecretStatus::default(),
            &given,
            &passed(standing),
            &targets,
            activation,
        )
        .unwrap()
    };
    let at = |second| Some(Time(Timestamp::from_second(second).unwrap()));
    let ended = |serial, outcome, restarted| Activated {
        serial,
        outcome,
        restarted,
    };
    let taken = || Standing::Taken(restarting(7));
    for early in [
        Activation::Pending,
        Activation::Ended(&ended(6, Ok(()), at(1))),
    ] {
        let told = tell(taken(), early, None);
        assert_eq!(
            (told.phase, &*told.reason),
            (NodePhase::Updating, "Restarting")
        );
        assert_eq!(told.report, None);
    }
    let done = tell(taken(), Activation::Ended(&ended(7, Ok(()), at(2))), None);
    let report = done.report.unwrap();
    assert_eq!(report.outcome, ReportedOutcome::Reached);
    assert_eq!(report.restarted, at(2));

    // Whether the versions were taken back already, or not yet.
    let why = "kubelet.service did not come back".to_owned();
    for standing in [taken(), Standing::Refused(why.clone())] {
        let failed = ended(7, Err(why.clone()), at(3));
        let told = tell(standing, Activation::Ended(&failed), None);
        assert_eq!(
            (told.phase, &*told.reason),
            (NodePhase::Failed, "RestartFailed")
        );
        let report = told.report.unwrap();
        assert_eq!(
            (report.outcome, report.message),
            (ReportedOutcome::Failed, why.clone())
        );
        assert_eq!(report.restarted, at(3));
    }

    // What was restarted for a former permit stays told.
    let former = AgentReport {
        restarted: at(3),
        ..answer(&permit(6), &State::Held).unwrap()
    };
    let told = tell(
        taken(),
        Activation::Ended(&ended(7, Ok(()), None)),
        Some(former),
    );
    let report = told.report.unwrap();
    assert_eq!((report.serial, report.restarted), (7, at(3)));

    // Where nothing is ever restarted, the permit is as any other one.
    let told = tell(taken(), Activation::None, None);
    assert_eq!(told.report.unwrap().outcome, ReportedOutcome::Reached);
}

#[test]
fn what_is_wrong_is_told_when_nothing_is_restarted_any_more() {
    let permit = NodePermit {
        restart: true,
        ..permit(7)
    };
    let tell = |activation: Activation<'_>| {
        let taken = passed(Standing::Taken(permit.clone()));
        let targets = [target(TargetState::Failed, 5)];
        let nothing = NodePullSecretStatus::default();
        compose(&nothing, &Given::default(), &taken, &targets, activation).unwrap()
    };
    assert_eq!(tell(Activation::Pending).report, None);
    let ended = Activated {
        serial: 7,
        outcome: Err("nothing was restarted".to_owned()),
        restarted: None,
    };
    let told = tell(Activation::Ended(&ended));
    assert_eq!(told.reason, "WriteFailed");
    assert_eq!(told.report.unwrap().outcome, ReportedOutcome::Failed);
}

#[test]
fn a_permit_about_kubelet_is_answered_when_kubelet_is_back() {
    use crate::kubelet_provider::Provided;
    use crate::resource::{KubeletProviderStatus, ProviderWord};

    let permit = NodePermit {
        kubelet_provider: Some("managed-1".to_owned()),
        ..permit(7)
    };
    let passed = passed(Standing::Taken(permit));
    let provided = |serial, outcome: Result<(), &str>| Provided {
        status: KubeletProviderStatus {
            wanted: "managed-1".to_owned(),
            state: ProviderWord::InEffect,
            message: String::new(),
            profile: None,
            config_hash: None,
            restarts: 1,
        },
        done: Some(crate::kubelet_provider::Answer {
            serial,
            outcome: outcome.map_err(str::to_owned),
        }),
        restarted: Some(Time(Timestamp::UNIX_EPOCH)),
    };
    let tell = |provided: Option<&Provided>| {
        let targets = [target(TargetState::InSync, 5)];
        let (nothing, given) = (NodePullSecretStatus::default(), Given::default());
        super::compose(
            &nothing,
            &given,
            &passed,
            &targets,
            Activation::None,
            Some(provided),
        )
        .unwrap()
    };
    let waiting = tell(None);
    assert_eq!(
        (waiting.report, waiting.reason.as_str()),
        (None, "Restarting")
    );
    let former = tell(Some(&provided(6, Ok(()))));
    assert_eq!(former.report, None, "that was another permit");
    let back = tell(Some(&provided(7, Ok(()))));
    let report = back.report.unwrap();
    assert_eq!(
        (report.serial, report.outcome),
        (7, ReportedOutcome::Reached)
    );
    assert_eq!(report.restarted, Some(Time(Timestamp::UNIX_EPOCH)));
    assert_eq!(back.kubelet_provider.unwrap().restarts, 1);
    let failed = tell(Some(&provided(7, Err("it did not come back"))));
    let report = failed.report.unwrap();
    assert_eq!(
        (report.outcome, report.message.as_str()),
        (ReportedOutcome::Failed, "it did not come back")
    );
    assert_eq!(failed.reason, "KubeletProviderFailed");
}
