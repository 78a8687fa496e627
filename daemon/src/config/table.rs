//! The repeated tables: each one's fields once, for the file as written, for what is merged and for the report.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::file::LayerOrigin;
use super::merge::Placed;
use super::report::{Line, line};

macro_rules! table {
    ($placed:ident, as written $written:ident { $($field:ident: $type:ty,)* }) => {
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct $written {
            $(pub(crate) $field: Option<Spanned<$type>>,)*
        }

        #[derive(Debug, Default)]
        pub(crate) struct $placed {
            $(pub(crate) $field: Option<Placed<$type>>,)*
        }

        impl $placed {
            /// Every value with its place.
            pub(crate) fn of(written: $written, origin: &LayerOrigin) -> Self {
                Self { $($field: placed(written.$field, origin),)* }
            }

            /// Every value that is there, in the order of the documentation.
            pub(crate) fn lines(&self) -> Vec<Line> {
                [$(line(stringify!($field), &self.$field),)*].into_iter().flatten().collect()
            }
        }
    };
}

table!(Source, as written WrittenSource {
    name: String,
    secret: String,
    file: String,
    volume: String,
    label_selector: String,
    namespace: String,
    key: String,
    shape: String,
    scope: String,
});

table!(Target, as written WrittenTarget {
    kind: String,
    path: String,
    mode: String,
    owner: String,
    merge: String,
});

table!(Delegation, as written WrittenDelegation {
    name: String,
    registries: Vec<String>,
    grant: String,
    preset: String,
    realms: Vec<String>,
    issuer: String,
    token_endpoint: String,
    parameters: BTreeMap<String, String>,
    scope: String,
    audience: String,
    service_account_issuer: String,
    token_file: String,
    credential: String,
    credential_file: String,
    username: String,
    hand_out: String,
    ca_file: String,
    registry_scheme: String,
});

pub(super) fn placed<T>(value: Option<Spanned<T>>, origin: &LayerOrigin) -> Option<Placed<T>> {
    value.map(|value| Placed {
        place: origin.place(&value.span()),
        value: value.into_inner(),
    })
}
