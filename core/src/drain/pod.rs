//! A pod of a node that is to be drained, and what is to become of it.

use std::collections::BTreeMap;

use super::selector::Selector;

/// From here on pods are critical to the system, which is what other pods may need in order to end well.
const CRITICAL: i64 = 2_000_000_000;

/// A pod, as far as it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Where it is.
    pub namespace: String,
    /// Its name, which another pod may have tomorrow.
    pub name: String,
    /// What tells it from all others.
    pub uid: String,
    /// The node that it is bound to.
    pub node: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it has the annotation `kubernetes.io/config.mirror`: it shows what a kubelet runs by itself.
    pub mirror: bool,
    /// The kind of the owner that is its controller.
    pub controller: Option<String>,
    /// How far it has come.
    pub phase: Phase,
    /// Whether it has the condition `Ready`.
    pub ready: bool,
    /// Whether it has been told to end.
    pub terminating: bool,
    /// Whether the time that it was given to end has passed.
    pub overdue: bool,
    /// Its priority.
    pub priority: i64,
    /// Whether it has a volume that goes with it.
    pub empty_dir: bool,
    /// Its own grace period in seconds.
    pub grace: Option<i64>,
}

/// A pod's phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nothing of it runs yet, so that no budget counts it.
    Pending,
    /// It runs, or nobody can tell.
    #[default]
    Running,
    /// Nothing of it runs any more: `Succeeded` or `Failed`.
    Finished,
}

/// What may be done for a drain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether pods go that nobody makes anew.
    pub force: bool,
    /// Whether pods go that lose data with it.
    pub delete_empty_dir_data: bool,
    /// Pods that stay.
    pub skip: Option<Selector>,
}

/// What is to become of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is no matter of a drain.
    Stays,
    /// It has been told to end. It is waited for, and not told again.
    Leaving,
    /// It is to be evicted.
    Goes,
    /// Nobody would make it anew.
    NoController,
    /// It would lose data.
    EmptyDir,
}

/// A pod that is to be evicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// The node that it was seen on.
    pub node: String,
    /// Where it is.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID, without which no eviction is ever sent.
    pub uid: String,
    /// A grace period in seconds other than its own.
    pub grace: Option<i64>,
}

impl Pod {
    /// What is to become of it. A pod that has finished stays, since nothing of it runs and its log would be lost.
    pub fn fate(&self, options: &Options) -> Fate {
        let kind = self.controller.as_deref();
        let skipped = options.skip.as_ref();
        if self.mirror
            || matches!(kind, Some("Node" | "DaemonSet"))
            || self.phase == Phase::Finished
            || skipped.is_some_and(|skip| skip.selects(&self.labels))
        {
            Fate::Stays
        } else if self.terminating {
            Fate::Leaving
        } else if kind.is_none() && !options.force {
            Fate::NoController
        } else if self.empty_dir && !options.delete_empty_dir_data {
            Fate::EmptyDir
        } else {
            Fate::Goes
        }
    }

    /// `NAMESPACE/NAME`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Its eviction. Nobody is ended without any grace: whoever has none of its own gets the least there is.
    pub fn eviction(&self) -> Eviction {
        Eviction {
            node: self.node.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            grace: (self.grace == Some(0)).then_some(1),
        }
    }

    /// Whether it goes after all others.
    pub(super) fn is_critical(&self) -> bool {
        self.priority >= CRITICAL
    }
}

impl Eviction {
    /// `NAMESPACE/NAME`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A pod of a `ReplicaSet` that runs, in the namespace `web`.
    pub(in crate::drain) fn pod(name: &str) -> Pod {
        Pod {
            namespace: "web".to_owned(),
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            node: "n1".to_owned(),
            labels: [("app".to_owned(), name.split('-').next().unwrap().to_owned())].into(),
            controller: Some("ReplicaSet".to_owned()),
            ready: true,
            grace: Some(30),
            ..Pod::default()
        }
    }

    #[test]
    fn what_is_no_matter_of_a_drain_stays_whatever_the_options_are() {
        let all = Options {
            force: true,
            delete_empty_dir_data: true,
            skip: serde_json::from_str(r#"{"matchLabels": {"app": "keep"}}"#).unwrap(),
        };
        let of = |kind: &str| Pod {
            controller: Some(kind.to_owned()),
            ..pod("a")
        };
        let mirror = Pod {
            mirror: true,
            controller: None,
            ..pod("a")
        };
        let finished = Pod {
            phase: Phase::Finished,
            ..pod("a")
        };
        for one in [mirror, finished, of("Node"), of("DaemonSet"), pod("keep-1")] {
            assert_eq!(one.fate(&all), Fate::Stays, "{one:?}");
            let terminating = Pod {
                terminating: true,
                ..one
            };
            assert_eq!(terminating.fate(&all), Fate::Stays);
        }
        assert_eq!(pod("keep-1").fate(&Options::default()), Fate::Goes);
    }

    #[test]
    fn who_nobody_makes_anew_and_who_loses_data_goes_only_when_told() {
        let bare = Pod {
            controller: None,
            empty_dir: true,
            ..pod("a")
        };
        let fate = |force, delete_empty_dir_data| {
            bare.fate(&Options {
                force,
                delete_empty_dir_data,
                skip: None,
            })
        };
        assert_eq!(fate(false, false), Fate::NoController);
        assert_eq!(fate(false, true), Fate::NoController);
        assert_eq!(fate(true, false), Fate::EmptyDir);
        assert_eq!(fate(true, true), Fate::Goes);
        let leaving = Pod {
            terminating: true,
            ..bare
        };
        assert_eq!(leaving.fate(&Options::default()), Fate::Leaving);
    }

    #[test]
    fn nobody_is_ended_without_grace() {
        let grace = |grace| Pod { grace, ..pod("a") }.eviction().grace;
        assert_eq!(grace(Some(0)), Some(1));
        assert_eq!(grace(Some(30)), None);
        assert_eq!(grace(None), None);
    }
}
