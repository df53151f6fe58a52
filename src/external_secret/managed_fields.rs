//! Which keys, labels and annotations of a Secret a field manager has set.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

/// What a field manager has set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManagedFields {
    /// Keys of the data.
    pub keys: BTreeSet<String>,
    /// Names of labels.
    pub labels: BTreeSet<String>,
    /// Names of annotations.
    pub annotations: BTreeSet<String>,
}

impl ManagedFields {
    /// What `manager` has set, by all operations.
    pub fn of(metadata: &ObjectMeta, manager: &str) -> Self {
        let mut found = Self::default();
        let entries = metadata.managed_fields.iter().flatten();
        for entry in entries.filter(|entry| entry.manager.as_deref() == Some(manager)) {
            let Some(fields) = entry.fields_v1.as_ref().map(|fields| &fields.0) else { continue };
            found.keys.extend(names(fields.get("f:data")));
            let metadata = fields.get("f:metadata");
            found.labels.extend(names(metadata.and_then(|fields| fields.get("f:labels"))));
            found.annotations.extend(names(metadata.and_then(|fields| fields.get("f:annotations"))));
        }
        found
    }
}

fn names(fields: Option<&Value>) -> impl Iterator<Item = String> {
    let members = fields.and_then(Value::as_object).into_iter().flatten();
    members.filter_map(|(name, _)| name.strip_prefix("f:")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_fields_of_the_manager_are_its_own() {
        let metadata: ObjectMeta = serde_json::from_value(json!({ "managedFields": [
            { "manager": "ours", "operation": "Update", "fieldsV1": {
                "f:data": { ".": {}, "f:a": {}, "f:f:b": {} },
                "f:metadata": { "f:labels": { ".": {}, "f:x/y": {} }, "f:annotations": { "f:n": {} } },
                "f:type": {},
            } },
            { "manager": "ours", "operation": "Apply", "fieldsV1": { "f:data": { "f:c": {} } } },
            { "manager": "ours", "operation": "Update" },
            { "manager": "kubectl", "operation": "Update", "fieldsV1": { "f:data": { "f:theirs": {} } } },
        ] }))
        .unwrap();
        let found = ManagedFields::of(&metadata, "ours");
        assert_eq!(found.keys, ["a", "c", "f:b"].map(str::to_owned).into());
        assert_eq!(found.labels, ["x/y"].map(str::to_owned).into());
        assert_eq!(found.annotations, ["n"].map(str::to_owned).into());
        assert_eq!(ManagedFields::of(&ObjectMeta::default(), "ours"), ManagedFields::default());
    }

    #[test]
    fn odd_fields_are_none() {
        let metadata: ObjectMeta = serde_json::from_value(json!({ "managedFields": [
            { "manager": "ours", "fieldsV1": { "f:data": ["f:a"], "f:metadata": null } },
            { "manager": "ours", "fieldsV1": "x" },
        ] }))
        .unwrap();
        assert_eq!(ManagedFields::of(&metadata, "ours"), ManagedFields::default());
    }
}
