//! Which namespaces a ClusterSecretStore admits.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::api::external_secrets::secret_store::StoreCondition;
use crate::gocompat::regexp::Pattern;
use crate::resolve::Denied;

/// Whether a condition of a ClusterSecretStore admits a namespace. No selector selects one of which nothing is known
/// yet, be it a selector that asks for the lack of a label.
///
/// # Errors
/// If a regular expression of the condition is none, or too large.
pub(super) fn admits(
    condition: &StoreCondition,
    namespace: &str,
    labels: Option<&BTreeMap<String, String>>,
) -> Result<bool, String> {
    let selector = condition.namespace_selector.as_ref().zip(labels);
    if selector.is_some_and(|(selector, labels)| selects(selector, labels))
        || condition.namespaces.iter().any(|allowed| allowed == namespace)
    {
        return Ok(true);
    }
    for pattern in &condition.namespace_regexes {
        if compiled(pattern)?.regex().is_match(namespace.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a selector selects an object with these labels. One that says nothing selects all. An operator that is not
/// known selects nothing.
pub fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(name, value)| labels.get(name) == Some(value));
    equal
        && selector.match_expressions.iter().flatten().all(|requirement| {
            let value = labels.get(&requirement.key);
            let values = requirement.values.as_deref().unwrap_or_default();
            match requirement.operator.as_str() {
                "In" => value.is_some_and(|value| values.contains(value)),
                "NotIn" => value.is_none_or(|value| !values.contains(value)),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// Whether the regular expressions of the conditions of a store can be used, whichever namespace they are matched with.
///
/// # Errors
/// The first that is none, or is too large.
pub fn check_conditions(conditions: &[StoreCondition]) -> Result<(), Denied> {
    let mut patterns = conditions.iter().flat_map(|condition| &condition.namespace_regexes);
    patterns.try_for_each(|pattern| compiled(pattern).map(drop)).map_err(Denied::Invalid)
}

fn compiled(pattern: &str) -> Result<Pattern, String> {
    Pattern::for_search(pattern).map_err(|why| format!("spec.conditions: namespaceRegexes {pattern:?}: {why}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_regular_expression_that_is_none_is_told_of_the_store() {
        let checked = |regexes: &[&str]| {
            let conditions = json!([{ "namespaces": ["team"] }, { "namespaceRegexes": regexes }]);
            check_conditions(&serde_json::from_value::<Vec<StoreCondition>>(conditions).unwrap())
        };
        assert_eq!(checked(&["^team-", "x$"]), Ok(()));
        let error = checked(&["^team-", "team-["]).unwrap_err().to_string();
        assert!(error.starts_with("spec.conditions: namespaceRegexes \"team-[\": "), "{error}");
    }

    #[test]
    fn a_namespace_that_is_not_known_is_admitted_by_name_only() {
        let admitted = |condition: serde_json::Value, labels: Option<&[(&str, &str)]>| {
            let labels = labels.map(|labels| labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
            admits(&serde_json::from_value(condition).unwrap(), "team", labels.as_ref()).unwrap()
        };
        let lacks = |operator: &str| {
            let values = if operator == "NotIn" { json!(["yes"]) } else { json!([]) };
            json!({ "namespaceSelector": { "matchExpressions": [
                { "key": "restricted", "operator": operator, "values": values },
            ] } })
        };
        for condition in [lacks("DoesNotExist"), lacks("NotIn"), json!({ "namespaceSelector": {} })] {
            assert!(admitted(condition.clone(), Some(&[])), "{condition}");
            assert!(!admitted(condition.clone(), None), "{condition}");
        }
        assert!(!admitted(lacks("DoesNotExist"), Some(&[("restricted", "yes")])));
        for condition in [json!({ "namespaces": ["team"] }), json!({ "namespaceRegexes": ["^te"] })] {
            assert!(admitted(condition.clone(), None), "{condition}");
        }
    }
}
