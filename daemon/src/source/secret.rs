//! A Secret by name.

use tokio::time::Instant;

use super::{
    Context, Item, Observation, SourceError,
    join::Slot,
    list_watch::{self, Query, Selection, Told},
};

/// Keeps the slot's observation that of the Secret.
pub(super) async fn follow(
    slot: Slot,
    namespace: String,
    name: String,
    key: Option<String>,
    context: Context,
) {
    let query = Query {
        namespace: namespace.clone(),
        selection: Selection::Name(name.clone()),
        key,
    };
    let mut view = View {
        observation: slot.observation(),
        id: query.id(&name),
        absent: SourceError::SecretNotFound { namespace, name },
    };
    list_watch::follow(query, &context, |told| {
        view.hear(told);
        slot.publish(&view.observation);
    })
    .await;
}

struct View {
    observation: Observation,
    id: String,
    absent: SourceError,
}

impl View {
    fn hear(&mut self, told: Told) {
        match told {
            Told::Listed(items) => {
                let id = &self.id;
                let found = items.into_iter().find(|item| item.id == *id);
                self.observation.items = Some(vec![found.unwrap_or_else(|| self.not_found())]);
            }
            Told::Applied(item) if item.id == self.id => {
                self.observation.items = Some(vec![item]);
            }
            Told::Deleted(id) if id == self.id => {
                self.observation.items = Some(vec![self.not_found()]);
            }
            Told::Applied(_) | Told::Deleted(_) => {}
            Told::Watching => self.observation.trouble = None,
            Told::Trouble(trouble) => self.observation.trouble = Some(trouble),
        }
    }

    fn not_found(&self) -> Item {
        Item {
            id: self.id.clone(),
            revision: None,
            content: Err(self.absent.clone()),
            seen: Instant::now(),
        }
    }
}

#[cfg(test)]
mod tests;
