//! A ledger that was damaged by a human, or written by a newer version.

use pullkeeper_core::rollout::Ledger;
use serde_json::{Map, Value, json};

use super::{Kept, Violation, World};

/// What every ledger has.
const REQUIRED: [&str; 9] = [
    "version",
    "generation",
    "revision",
    "stage",
    "canary",
    "reservations",
    "failures",
    "resumes",
    "permits",
];

impl World {
    /// Somebody damages the ledger: that is a new version of the object.
    pub(super) fn damage(&mut self) -> Kept {
        let unreadable = |error: serde_json::Error| Violation {
            promise: "S19: what was written can be read",
            seen: error.to_string(),
        };
        let ledger = &self.rollout.ledger;
        let mut written = serde_json::to_value(ledger).map_err(unreadable)?;
        if Ledger::read(Some(&written)).ok().as_ref() != Some(ledger) {
            return Err(Violation {
                promise: "S19: what was written can be read",
                seen: written.to_string(),
            });
        }
        self.spoil(&mut written);
        self.tell(format!("the ledger is damaged: {written}"));
        self.rollout.damage = Some(written);
        self.rollout.version += 1;
        Ok(())
    }

    /// A human puts back what was there.
    pub(super) fn mend(&mut self) {
        if self.rollout.damage.take().is_some() {
            self.tell("the ledger is mended".to_owned());
            self.rollout.version += 1;
        }
    }

    fn spoil(&mut self, written: &mut Value) {
        let required = self.rng.usize(0..REQUIRED.len());
        match self.rng.u32(0..6) {
            0 => written["version"] = json!("2"),
            1 => {
                *written =
                    [json!({}), json!([]), json!("{}"), json!(1)][self.rng.usize(0..4)].clone()
            }
            2 => {
                if let Some(fields) = written.as_object_mut() {
                    fields.remove(REQUIRED[required]);
                }
            }
            3 => written[REQUIRED[required]] = Value::Null,
            4 => written["generation"] = json!(-1),
            // A newer version may know more of anything.
            _ => {
                let mut objects = Vec::new();
                collect(written, &mut objects);
                let which = self.rng.usize(0..objects.len());
                if let Some(object) = objects.into_iter().nth(which) {
                    object.insert("newer".to_owned(), json!(true));
                }
            }
        }
    }
}

/// All objects that have no objects in them, but for the outermost one.
fn collect<'v>(value: &'v mut Value, into: &mut Vec<&'v mut Map<String, Value>>) {
    match value {
        Value::Object(fields) => {
            let inner = |value: &Value| value.is_object() || value.is_array();
            if fields.values().any(inner) {
                fields
                    .values_mut()
                    .for_each(|field| collect(field, &mut *into));
            } else {
                into.push(fields);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| collect(item, &mut *into)),
        _ => {}
    }
}
