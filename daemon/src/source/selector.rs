//! All Secrets of a namespace with certain labels.

use std::collections::BTreeMap;

use super::{
    Context, Item, Observation,
    join::Slot,
    secrets::{Heard, Secrets, Selection},
};

/// Keeps the slot's observation that of the Secrets. None at all is a fact like any other; one
/// that cannot be used is an item with an error beside the others.
pub(super) async fn follow(slot: Slot, namespace: String, labels: String, context: Context) {
    let secrets = Secrets {
        namespace,
        selection: Selection::Labels(labels),
        key: None,
    };
    let mut view = View {
        observation: slot.observation(),
        items: BTreeMap::new(),
    };
    secrets
        .follow(&context, |heard| {
            view.hear(heard);
            slot.publish(&view.observation);
        })
        .await;
}

struct View {
    observation: Observation,
    /// By id, which sorts them by namespace and name.
    items: BTreeMap<String, Item>,
}

impl View {
    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Listed(items) => {
                self.items = items
                    .into_iter()
                    .map(|item| (item.id.clone(), item))
                    .collect();
            }
            // The server says "deleted" for one that lost its labels, too.
            Heard::Applied(item) => {
                self.items.insert(item.id.clone(), item);
            }
            Heard::Deleted(id) => {
                self.items.remove(&id);
            }
            Heard::Watching => return self.observation.trouble = None,
            Heard::Trouble(trouble) => return self.observation.trouble = Some(trouble),
        }
        self.observation.items = Some(self.items.values().cloned().collect());
    }
}

#[cfg(test)]
mod tests;
