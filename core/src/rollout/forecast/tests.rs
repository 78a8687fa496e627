use super::super::decide::tests::{node, policy};
use super::super::policy::{Drain, Strategy};
use super::*;

const DRAIN: Strategy = Strategy::Drain(Drain {
    settle: Duration::from_secs(5),
    deadline: Duration::from_secs(600),
    patience: Duration::from_secs(60),
    backoff: Duration::from_secs(60),
});

/// Pause, window and resumes hold nothing up here.
fn stopped(strategy: Strategy) -> Policy {
    Policy {
        strategy,
        paused: true,
        open: false,
        resumes: 3,
        ..policy()
    }
}

fn fleet(names: &[&str]) -> Fleet {
    let nodes = names.iter().map(|name| {
        let control_plane = name.starts_with("cp");
        let node = Node {
            control_plane,
            ..node(name)
        };
        ((*name).to_owned(), node)
    });
    Fleet {
        nodes: nodes.collect(),
        ..Fleet::default()
    }
}

/// Whether they are canaries, and their names.
fn waves(forecast: &Forecast) -> Vec<(bool, Vec<&str>)> {
    let waves = forecast.waves.iter().map(|wave| {
        let names = wave.nodes.iter().map(String::as_str).collect();
        (wave.stage == Stage::Canary, names)
    });
    waves.collect()
}

#[test]
fn canary_waves_and_control_plane_follow_each_other_whatever_is_done_on_nodes() {
    let fleet = fleet(&["cp-1", "cp-2", "w-1", "w-2", "w-3", "w-4"]);
    for strategy in [Strategy::FileOnly, Strategy::Restart, DRAIN] {
        let told = forecast(&stopped(strategy), &fleet, Time(5));
        assert_eq!(
            waves(&told),
            [
                (true, vec!["w-1"]),
                (false, vec!["w-2", "w-3"]),
                (false, vec!["cp-1", "w-4"]),
                (false, vec!["cp-2"]),
            ],
            "{strategy:?}"
        );
        assert!(told.left.is_empty(), "{told:?}");
    }
    let told = forecast(&stopped(Strategy::Immediate), &fleet, Time(5));
    assert_eq!(waves(&told).len(), 1, "{told:?}");
}

#[test]
fn who_would_not_go_is_said_why() {
    let mut fleet = fleet(&["w-1", "w-2", "w-3", "w-4", "w-5"]);
    for (name, node) in &mut fleet.nodes {
        match name.as_str() {
            "w-1" => node.ready = false,
            "w-2" => node.held = true,
            "w-3" => node.cordon = Cordon::Foreign,
            "w-4" => node.record.as_mut().unwrap().seen = None,
            _ => {}
        }
    }
    let told = forecast(&stopped(DRAIN), &fleet, Time(5));
    assert_eq!(waves(&told), [(true, vec!["w-5"])]);
    let left: Vec<_> = told.left.values().map(|why| why.unwrap()).collect();
    assert_eq!(
        left,
        [
            Obstacle::NotReady,
            Obstacle::Held,
            Obstacle::Cordoned,
            Obstacle::NoAgent
        ]
    );
}
