//! Which namespaces a ClusterSecretStore admits.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::gocompat::regexp::Pattern;

/// Whether a selector selects an object with these labels. One that says nothing selects all. An operator that is not known
/// selects nothing.
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

/// Whether a regular expression is found somewhere in a name.
///
/// # Errors
/// If it is no regular expression, or one that is too large.
pub(super) fn matches(pattern: &str, name: &str) -> Result<bool, String> {
    let compiled = Pattern::for_search(pattern);
    let compiled = compiled.map_err(|why| format!("spec.conditions: namespaceRegexes {pattern:?}: {why}"))?;
    Ok(compiled.regex().is_match(name.as_bytes()))
}
