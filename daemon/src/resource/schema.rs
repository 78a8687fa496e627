//! Schemas of types that others define.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A number or a percentage, as `maxUnavailable` of a Deployment.
pub(super) fn limit(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "x-kubernetes-validations": [{
            "rule": "type(self) == int ? self >= 0 : string(self).matches('^([0-9]{1,9}|(100|[0-9]{1,2})%)$')",
            "message": "must be a number of nodes such as 5, or a percentage from 0% to 100%",
        }],
    })
}

/// The same where it may be left out.
pub(super) fn optional_limit(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = limit(generator);
    schema.insert("nullable".to_owned(), true.into());
    schema
}

/// A length of time as Go writes it, not negative.
pub(super) fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$",
    })
}

/// `metav1.LabelSelector`.
pub(super) fn selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "nullable": true,
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": {
                "type": "object", "maxProperties": 64,
                "additionalProperties": {"type": "string", "maxLength": 63},
            },
            "matchExpressions": {
                "type": "array", "maxItems": 64,
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {"type": "string", "minLength": 1, "maxLength": 317},
                        "operator": {"type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
                        "values": {
                            "type": "array", "maxItems": 64,
                            "items": {"type": "string", "maxLength": 63},
                        },
                    },
                },
            },
        },
    })
}

/// Which versions of Secrets.
pub(super) fn revision(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 256,
        "items": {
            "type": "object",
            "required": ["namespace", "name", "uid", "resourceVersion"],
            "properties": {
                "namespace": {"type": "string", "maxLength": 253},
                "name": {"type": "string", "maxLength": 253},
                "uid": {"type": "string", "maxLength": 128},
                "resourceVersion": {"type": "string", "maxLength": 128},
            },
        },
    })
}

/// Which Secrets, one at least.
pub(super) fn sources(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = paced(generator);
    schema.insert("minItems".to_owned(), 1.into());
    schema
}

/// Which Secrets, if any.
pub(super) fn paced(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "items": {
            "type": "object",
            "required": ["namespace"],
            "properties": {
                "namespace": {
                    "type": "string", "minLength": 1, "maxLength": 63,
                    "description": "Namespace of the Secrets.",
                },
                "name": {
                    "type": "string", "minLength": 1, "maxLength": 253, "nullable": true,
                    "description": "Name of the only one; otherwise all that agents read from the namespace.",
                },
            },
        },
    })
}

/// Windows in which nodes may start.
pub(super) fn windows(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "items": {
            "type": "object",
            "required": ["start", "duration"],
            "properties": {
                "days": {
                    "type": "array", "maxItems": 7,
                    "items": {"type": "string", "enum": ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]},
                    "description": "The days on which it opens; none are all.",
                },
                "start": {
                    "type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$",
                    "description": "The local time at which it opens, such as 22:00.",
                },
                "duration": {
                    "type": "string", "pattern": "^([0-9]+h)?([0-9]+m)?([0-9]+s)?$", "minLength": 2, "maxLength": 16,
                    "description": "How long it is open, from 1m to 168h; past midnight too.",
                },
                "timeZone": {
                    "type": "string", "nullable": true, "maxLength": 64,
                    "description": "A name of the IANA time zone database, such as Europe/Berlin; otherwise UTC.",
                },
            },
        },
    })
}

/// `metav1.Condition`, one of each type.
pub(super) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": {"type": "string", "maxLength": 316},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                "reason": {"type": "string", "maxLength": 1024, "minLength": 1},
                "message": {"type": "string", "maxLength": 32768},
                "lastTransitionTime": {"type": "string", "format": "date-time"},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
            },
        },
    })
}

/// A point in time.
pub(super) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time", "nullable": true})
}

/// The coordinators' own book. Nothing of it is pruned, so that one that is newer is not taken for one that is known.
pub(super) fn ledger(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "nullable": true,
        "x-kubernetes-preserve-unknown-fields": true,
    })
}
