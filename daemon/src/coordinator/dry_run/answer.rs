//! What is said, for people and for programs.

use std::collections::BTreeMap;
use std::io::{self, Write};

use pullkeeper_core::rollout::{Fleet, Forecast, Policy, Stage, Strategy};
use serde::Serialize;

use super::tried::Tried;
use crate::table::Table;

/// What a rollout of something new would do.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    /// The word of `spec.strategy`.
    strategy: &'static str,
    /// Nodes that get their slots at the same time, in their order.
    waves: Vec<Wave>,
    /// Nodes that it would not go to, and why: `NotReady`, `Held`, `NoAgent`, `Cordoned`, or `Limits`, where the canary or a
    /// limit never lets it.
    left: BTreeMap<String, &'static str>,
}

#[derive(Debug, Serialize)]
struct Wave {
    /// `Canary` or `Waves`.
    stage: &'static str,
    nodes: Vec<Node>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    /// Pods that would be evicted, where nodes are drained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pods: Option<usize>,
    /// Which of them would not go, so that the node would be left as it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blockers: Vec<Blocker>,
    /// Why nobody can tell whether its pods would go.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
}

#[derive(Debug, Serialize)]
struct Blocker {
    pod: String,
    reason: &'static str,
    message: String,
}

impl Answer {
    pub(super) fn new(
        policy: &Policy,
        fleet: &Fleet,
        forecast: &Forecast,
        tried: &BTreeMap<String, Tried>,
    ) -> Self {
        let waves = forecast.waves.iter().map(|wave| Wave {
            stage: match wave.stage {
                Stage::Canary => "Canary",
                Stage::Soak { .. } | Stage::Waves => "Waves",
            },
            nodes: wave
                .nodes
                .iter()
                .map(|name| Node::new(name, fleet, tried.get(name)))
                .collect(),
        });
        let left = forecast.left.iter().map(|(name, obstacle)| {
            let why = obstacle.map_or("Limits", |obstacle| obstacle.as_str());
            (name.clone(), why)
        });
        Self {
            strategy: match policy.strategy {
                Strategy::FileOnly => "FileOnly",
                Strategy::Restart => "Restart",
                Strategy::Drain(_) => "Drain",
                Strategy::Immediate => "Immediate",
            },
            waves: waves.collect(),
            left: left.collect(),
        }
    }

    /// Whether it would get everywhere.
    pub(super) fn is_good(&self) -> bool {
        let mut nodes = self.waves.iter().flat_map(|wave| &wave.nodes);
        self.left.is_empty() && nodes.all(|node| node.blockers.is_empty() && node.unknown.is_none())
    }

    /// What is done to a node that nothing keeps.
    fn deed(&self) -> &'static str {
        match self.strategy {
            "Drain" => "be cordoned and drained, take it, be uncordoned",
            "Restart" => "take it, and restart what its agent is to restart",
            _ => "take it",
        }
    }
}

impl Node {
    fn new(name: &str, fleet: &Fleet, tried: Option<&Tried>) -> Self {
        let (pods, blockers, unknown) = match tried {
            Some(Tried::Found { pods, blockers }) => (Some(*pods), &blockers[..], None),
            Some(Tried::Unknown(why)) => (None, &[][..], Some(why.clone())),
            None => (None, &[][..], None),
        };
        let blockers = blockers.iter().map(|blocker| Blocker {
            pod: blocker.pod.clone(),
            reason: blocker.reason.as_str(),
            message: blocker.message.clone(),
        });
        Self {
            name: name.to_owned(),
            zone: fleet.nodes.get(name).and_then(|node| node.zone.clone()),
            pods,
            blockers: blockers.collect(),
            unknown,
        }
    }
}

/// One row a node.
pub(super) fn print_table(answer: &Answer, out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new(["WAVE", "STAGE", "NODE", "ZONE", "PODS", "WOULD"]);
    let mut blocked = 0;
    for (number, wave) in answer.waves.iter().enumerate() {
        for node in &wave.nodes {
            let would = match (node.blockers.first(), &node.unknown) {
                (Some(first), _) => {
                    blocked += 1;
                    let more = match node.blockers.len() - 1 {
                        0 => String::new(),
                        more => format!(" (and {more} more pods)"),
                    };
                    let Blocker {
                        pod,
                        reason,
                        message,
                    } = first;
                    format!("be left as it is: {reason}: {pod}: {message}{more}")
                }
                (None, Some(why)) => format!("be tried; nobody can tell now: {why}"),
                (None, None) => answer.deed().to_owned(),
            };
            table.row([
                &(number + 1).to_string(),
                wave.stage,
                &node.name,
                node.zone.as_deref().unwrap_or("-"),
                &node
                    .pods
                    .map_or_else(|| "-".to_owned(), |pods| pods.to_string()),
                &would,
            ]);
        }
    }
    for (name, why) in &answer.left {
        table.row(["-", "-", name, "-", "-", &format!("be left out: {why}")]);
    }
    table.write_to(out)?;
    let going: usize = answer.waves.iter().map(|wave| wave.nodes.len()).sum();
    let (waves, left) = (answer.waves.len(), answer.left.len());
    writeln!(
        out,
        "\n{}: {} of {} nodes in {waves} waves, {blocked} whose pods would not go, {left} left out; nothing was changed",
        answer.strategy,
        going - blocked,
        going + left,
    )
}

#[cfg(test)]
mod tests {
    use pullkeeper_core::drain::Reason;

    use super::*;

    fn node(name: &str) -> Node {
        Node {
            name: name.to_owned(),
            zone: Some("a".to_owned()),
            pods: Some(12),
            blockers: Vec::new(),
            unknown: None,
        }
    }

    fn answer() -> Answer {
        let blocker = Blocker {
            pod: "web/front-1".to_owned(),
            reason: Reason::DisruptionBudget.as_str(),
            message: "no".to_owned(),
        };
        let mut second = node("w-2");
        second.blockers = vec![blocker];
        Answer {
            strategy: "Drain",
            waves: vec![
                Wave {
                    stage: "Canary",
                    nodes: vec![node("w-1")],
                },
                Wave {
                    stage: "Waves",
                    nodes: vec![second],
                },
            ],
            left: BTreeMap::from([("w-3".to_owned(), "NotReady")]),
        }
    }

    #[test]
    fn a_row_says_what_would_become_of_a_node() {
        let answer = answer();
        assert!(!answer.is_good());
        let mut out = Vec::new();
        print_table(&answer, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "\
WAVE   STAGE    NODE   ZONE   PODS   WOULD
1      Canary   w-1    a      12     be cordoned and drained, take it, be uncordoned
2      Waves    w-2    a      12     be left as it is: DisruptionBudget: web/front-1: no
-      -        w-3    -      -      be left out: NotReady

Drain: 1 of 3 nodes in 2 waves, 1 whose pods would not go, 1 left out; nothing was changed
"
        );
    }

    #[test]
    fn all_is_well_when_it_gets_everywhere() {
        let mut answer = answer();
        answer.left.clear();
        answer.waves.pop();
        assert!(answer.is_good());
        answer.waves[0].nodes[0].unknown = Some("why".to_owned());
        assert!(!answer.is_good());
    }
}
