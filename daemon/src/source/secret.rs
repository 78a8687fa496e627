//! A Secret by name.

use tokio::time::Instant;

use super::{
    Context, Item, Observation, SourceError,
    join::Slot,
    secrets::{Heard, Secrets, Selection},
};

/// Keeps the slot's observation that of the Secret.
pub(super) async fn follow(
    slot: Slot,
    namespace: String,
    name: String,
    key: Option<String>,
    context: Context,
) {
    let secrets = Secrets {
        namespace: namespace.clone(),
        selection: Selection::Name(name.clone()),
        key,
    };
    let mut view = View {
        observation: slot.observation(),
        id: secrets.id(&name),
        absent: SourceError::SecretNotFound { namespace, name },
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
    id: String,
    absent: SourceError,
}

impl View {
    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Listed(items) => {
                let id = &self.id;
                let found = items.into_iter().find(|item| item.id == *id);
                self.observation.items = Some(vec![found.unwrap_or_else(|| self.not_found())]);
            }
            Heard::Applied(item) if item.id == self.id => {
                self.observation.items = Some(vec![item]);
            }
            Heard::Deleted(id) if id == self.id => {
                self.observation.items = Some(vec![self.not_found()]);
            }
            Heard::Applied(_) | Heard::Deleted(_) => {}
            Heard::Watching => self.observation.trouble = None,
            Heard::Trouble(trouble) => self.observation.trouble = Some(trouble),
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
