//! Which Secrets of the API server, and what is said when they cannot be read.

use k8s_openapi::api::core::v1::Secret;
use kube::Resource;

use super::{Context, Item, SourceError, object::SecretObject};
use crate::list_watch::{self, Object, Query, Told, Trouble};

/// Objects per page: a Secret may have 1 MiB.
const PAGE: u32 = 20;

/// Some Secrets of a namespace.
#[derive(Clone, Debug)]
pub(super) struct Secrets {
    pub(super) namespace: String,
    pub(super) selection: Selection,
    /// The key to read; `None` takes the one that belongs to a Secret's type.
    pub(super) key: Option<String>,
}

/// Which Secrets of the namespace.
#[derive(Clone, Debug)]
pub(super) enum Selection {
    /// By label selector.
    Labels(String),
    /// The one of that name. RBAC's `resourceNames` holds for such a list and watch.
    Name(String),
}

/// What is heard of them.
pub(super) enum Heard {
    /// These are all there are.
    Listed(Vec<Item>),
    /// This one was created or changed.
    Applied(Item),
    /// The one of this id is gone.
    Deleted(String),
    /// Changes will be told from now on.
    Watching,
    /// They are not, for this reason.
    Trouble(SourceError),
}

impl Object for SecretObject {
    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }
}

impl Secrets {
    /// Listens until the context is cancelled.
    pub(super) async fn follow(self, context: &Context, mut hear: impl FnMut(Heard)) {
        let (fields, labels, page) = match &self.selection {
            Selection::Labels(labels) => (None, Some(labels.clone()), Some(PAGE)),
            Selection::Name(name) => (Some(format!("metadata.name={name}")), None, None),
        };
        let query = Query {
            path: Secret::url_path(&(), Some(&self.namespace)),
            fields,
            labels,
            page,
        };
        list_watch::follow(query, &context.terms, |told| {
            hear(match told {
                Told::Listed(objects) => {
                    let items = objects.into_iter().map(|object| self.item(object));
                    Heard::Listed(items.collect())
                }
                Told::Applied(object) => Heard::Applied(self.item(object)),
                Told::Deleted(object) => Heard::Deleted(self.item(object).id),
                Told::Watching => Heard::Watching,
                Told::Trouble(trouble) => Heard::Trouble(self.trouble(trouble)),
            });
        })
        .await;
    }

    /// The id that the item of a Secret has.
    pub(super) fn id(&self, name: &str) -> String {
        format!("secret:{}/{name}", self.namespace)
    }

    fn item(&self, object: SecretObject) -> Item {
        object.into_item(|name| self.id(name), self.key.as_deref())
    }

    fn trouble(&self, trouble: Trouble) -> SourceError {
        let object = self.object();
        match trouble {
            Trouble::Unauthorized(detail) => SourceError::Unauthorized { object, detail },
            Trouble::Forbidden(detail) => {
                let rule = self.rule();
                SourceError::Forbidden {
                    object,
                    rule,
                    detail,
                }
            }
            Trouble::Rejected(code, detail) => SourceError::Rejected {
                object,
                code,
                detail,
            },
            Trouble::Unreachable(detail) => SourceError::Unreachable { detail },
        }
    }

    fn object(&self) -> String {
        let namespace = &self.namespace;
        match &self.selection {
            Selection::Labels(labels) => format!("Secrets {labels} in namespace {namespace}"),
            Selection::Name(name) => format!("Secret {namespace}/{name}"),
        }
    }

    fn rule(&self) -> String {
        let namespace = &self.namespace;
        match &self.selection {
            Selection::Labels(_) => {
                format!("to list and watch secrets in namespace {namespace}")
            }
            Selection::Name(name) => format!(
                "to list and watch secrets in namespace {namespace} (resourceNames: [{name}])"
            ),
        }
    }
}
