//! Label selectors, as the API server understands them.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

/// A `metav1.LabelSelector` that makes sense. All of its requirements must hold, so that an empty one selects everything;
/// that nothing is selected where there is none at all is for an `Option` to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Selector {
    labels: BTreeMap<String, String>,
    requirements: Vec<Requirement>,
}

/// Why a selector cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SelectorError {
    /// An operator that nobody has told us about.
    #[error("the operator {0:?} is none of In, NotIn, Exists and DoesNotExist")]
    Operator(String),
    /// `In` and `NotIn` compare with something.
    #[error("the operator {0} wants values for the key {1:?}")]
    NoValues(String, String),
    /// `Exists` and `DoesNotExist` compare with nothing.
    #[error("the operator {0} wants no values for the key {1:?}")]
    Values(String, String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    DoesNotExist(String),
}

/// As Kubernetes writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    match_labels: Option<BTreeMap<String, String>>,
    match_expressions: Option<Vec<Expression>>,
}

#[derive(Deserialize)]
struct Expression {
    key: String,
    operator: String,
    values: Option<Vec<String>>,
}

impl Selector {
    /// Whether something with these labels is selected.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let same = |(key, value): (&String, &String)| labels.get(key) == Some(value);
        self.labels.iter().all(same) && self.requirements.iter().all(|one| one.holds(labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let is_in =
            |key, values: &[String]| labels.get(key).is_some_and(|one| values.contains(one));
        match self {
            Self::In(key, values) => is_in(key, values),
            // Without the label it holds as well.
            Self::NotIn(key, values) => !is_in(key, values),
            Self::Exists(key) => labels.contains_key(key),
            Self::DoesNotExist(key) => !labels.contains_key(key),
        }
    }
}

impl TryFrom<Written> for Selector {
    type Error = SelectorError;

    fn try_from(written: Written) -> Result<Self, SelectorError> {
        let expressions = written.match_expressions.unwrap_or_default();
        let requirements = expressions.into_iter().map(Requirement::try_from);
        Ok(Self {
            labels: written.match_labels.unwrap_or_default(),
            requirements: requirements.collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<Expression> for Requirement {
    type Error = SelectorError;

    fn try_from(written: Expression) -> Result<Self, SelectorError> {
        let Expression {
            key,
            operator,
            values,
        } = written;
        let values = values.unwrap_or_default();
        match (&*operator, values.is_empty()) {
            ("In", false) => Ok(Self::In(key, values)),
            ("NotIn", false) => Ok(Self::NotIn(key, values)),
            ("Exists", true) => Ok(Self::Exists(key)),
            ("DoesNotExist", true) => Ok(Self::DoesNotExist(key)),
            ("In" | "NotIn", true) => Err(SelectorError::NoValues(operator, key)),
            ("Exists" | "DoesNotExist", false) => Err(SelectorError::Values(operator, key)),
            _ => Err(SelectorError::Operator(operator)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(written: Value) -> Result<Option<Selector>, String> {
        serde_json::from_value(written).map_err(|error| error.to_string())
    }

    fn selects(written: Value, labels: &[(&str, &str)]) -> bool {
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let selector = read(written).unwrap();
        selector.is_some_and(|selector| selector.selects(&labels.collect()))
    }

    #[test]
    fn none_selects_nothing_and_an_empty_one_everything() {
        assert!(!selects(Value::Null, &[("app", "web")]));
        for empty in [
            json!({}),
            json!({"matchLabels": null, "matchExpressions": null}),
            json!({"matchLabels": {}, "matchExpressions": []}),
        ] {
            assert!(selects(empty.clone(), &[]));
            assert!(selects(empty, &[("app", "web")]));
        }
    }

    #[test]
    fn every_requirement_must_hold() {
        let web = json!({"matchLabels": {"app": "web", "tier": "front"}});
        assert!(selects(
            web.clone(),
            &[("app", "web"), ("tier", "front"), ("x", "y")]
        ));
        assert!(!selects(web, &[("app", "web")]));
        let both = json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "old", "operator": "DoesNotExist"}],
        });
        assert!(selects(both.clone(), &[("app", "web")]));
        assert!(!selects(both, &[("app", "web"), ("old", "")]));
    }

    #[test]
    fn operators_mean_what_they_mean_to_the_api_server() {
        let of = |operator: &str, values: Value| json!({"matchExpressions": [{"key": "k", "operator": operator, "values": values}]});
        let (present, other, absent) = (&[("k", "a")][..], &[("k", "z")][..], &[][..]);
        for (selector, expected) in [
            (of("In", json!(["a", "b"])), [true, false, false]),
            (of("NotIn", json!(["a", "b"])), [false, true, true]),
            (of("Exists", json!([])), [true, true, false]),
            (of("Exists", json!(null)), [true, true, false]),
            (of("DoesNotExist", json!(null)), [false, false, true]),
        ] {
            let got = [present, other, absent].map(|labels| selects(selector.clone(), labels));
            assert_eq!(got, expected, "{selector}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_no_selector() {
        for (operator, values, part) in [
            ("Gt", json!(["1"]), "is none of"),
            ("in", json!(["1"]), "is none of"),
            ("In", json!([]), "wants values"),
            ("NotIn", json!(null), "wants values"),
            ("Exists", json!(["a"]), "wants no values"),
            ("DoesNotExist", json!(["a"]), "wants no values"),
        ] {
            let one = json!({"key": "k", "operator": operator, "values": values});
            let error = read(json!({"matchExpressions": [one]})).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        assert!(read(json!({"matchExpressions": [{"operator": "Exists"}]})).is_err());
        assert!(read(json!({"matchLabels": ["a"]})).is_err());
    }
}
