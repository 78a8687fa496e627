//! All Secrets of a namespace with certain labels.

use std::collections::BTreeMap;

use super::{
    Context, Item, Observation,
    join::Slot,
    list_watch::{self, Query, Selection, Told},
};

/// Keeps the slot's observation that of the Secrets. None at all is a fact like any other; one
/// that cannot be used is an item with an error beside the others.
pub(super) async fn follow(slot: Slot, namespace: String, labels: String, context: Context) {
    let query = Query {
        namespace,
        selection: Selection::Labels(labels),
        key: None,
    };
    let mut view = View {
        observation: slot.observation(),
        items: BTreeMap::new(),
    };
    list_watch::follow(query, &context, |told| {
        view.hear(told);
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
    fn hear(&mut self, told: Told) {
        match told {
            Told::Listed(items) => {
                self.items = items
                    .into_iter()
                    .map(|item| (item.id.clone(), item))
                    .collect();
            }
            // The server says "deleted" for one that lost its labels, too.
            Told::Applied(item) => {
                self.items.insert(item.id.clone(), item);
            }
            Told::Deleted(id) => {
                self.items.remove(&id);
            }
            Told::Watching => return self.observation.trouble = None,
            Told::Trouble(trouble) => return self.observation.trouble = Some(trouble),
        }
        self.observation.items = Some(self.items.values().cloned().collect());
    }
}

#[cfg(test)]
mod tests;
