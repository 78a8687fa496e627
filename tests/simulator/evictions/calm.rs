//! When nothing goes wrong any more.

use pullkeeper_core::drain::Phase;

use super::server::Wanted;
use super::{Event, Luck, NODES, World};

impl World {
    /// Everything is well from now on, and all nodes are to be emptied.
    pub(super) fn calm(&mut self) {
        self.is_calm = true;
        self.tell("calm");
        self.luck = Luck::default();
        self.lead.paused = false;
        self.lead.silent = 0;
        self.server.vetoed.clear();
        for namespace in self.server.terminating.clone() {
            self.at(1, Event::Stamp(namespace));
        }
        for name in NODES {
            self.join(name);
        }
        let budgets: Vec<_> = self.server.budgets.values().cloned().collect();
        for mut one in budgets {
            if one.budget.name.name.starts_with("more") {
                self.server.remove_budget(&one.budget.name);
            } else {
                one.wanted = Wanted::Unavailable(1);
                one.budget.generation += 1;
                self.server.put_budget(one);
            }
        }
        let pods: Vec<_> = self.server.pods.values().cloned().collect();
        for one in pods {
            let uid = one.pod.uid;
            if one.pod.terminating {
                let wait = self.rng.u64(0..20_000);
                self.at(wait, Event::End(uid));
            } else if one.pod.phase == Phase::Running {
                self.server.change(&uid, |one| one.pod.ready = true);
            }
        }
        let feeds: Vec<_> = self.engine.feeds().map(|feed| feed.number()).collect();
        for number in feeds {
            if let Some(feed) = self.engine.feed(number) {
                feed.silence(0);
            }
        }
    }
}
