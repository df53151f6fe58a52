//! `metadata` of what is pushed to a cluster: labels and annotations of the Secret, and its namespace.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::external_secret::push::PushSource;

const API_VERSION: &str = "kubernetes.external-secrets.io/v1alpha1";
const KIND: &str = "PushSecretMetadata";

/// Labels or annotations.
pub(super) type Names = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Block {
    api_version: String,
    kind: String,
    #[serde(default)]
    spec: PushMetadata,
}

/// What an entry says of the Secret that it is pushed to. ESO's form.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct PushMetadata {
    source_merge_policy: SourcePolicy,
    target_merge_policy: TargetPolicy,
    labels: Names,
    annotations: Names,
    /// Another namespace than that of the store.
    pub remote_namespace: Option<String>,
}

/// What becomes of the labels and annotations of the source.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
enum SourcePolicy {
    /// They stay beside those of the entry, which win.
    #[default]
    #[serde(alias = "")]
    Merge,
    /// Those of the entry take their place.
    Replace,
}

/// What becomes of the labels and annotations of the target.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
enum TargetPolicy {
    /// They stay beside those that are pushed, which win.
    #[default]
    #[serde(alias = "")]
    Merge,
    /// Those that are pushed take their place.
    Replace,
    /// They stay, and none are pushed.
    Ignore,
}

impl PushMetadata {
    /// Reads `metadata` of an entry.
    ///
    /// # Errors
    /// What of it cannot be understood.
    pub fn of(metadata: Option<&Value>) -> Result<Self, String> {
        let Some(metadata) = metadata.filter(|metadata| !metadata.is_null()) else { return Ok(Self::default()) };
        let failed = |why: &str| format!("unable to parse metadata parameters: {why}");
        let block: Block = serde_json::from_value(metadata.clone()).map_err(|error| failed(&error.to_string()))?;
        if block.api_version != API_VERSION || block.kind != KIND {
            return Err(failed(&format!("it has to be of apiVersion {API_VERSION} and kind {KIND}")));
        }
        Ok(block.spec)
    }

    /// Labels and annotations that a Secret has after a push, of those that it had before.
    pub fn applied(&self, source: &PushSource, labels: &Names, annotations: &Names) -> (Names, Names) {
        let pushed = |of_source: &Names, own: &Names| {
            let mut names = match self.source_merge_policy {
                SourcePolicy::Merge => of_source.clone(),
                SourcePolicy::Replace => Names::new(),
            };
            names.extend(own.clone());
            names
        };
        let over = |known: &Names, pushed: Names| match self.target_merge_policy {
            TargetPolicy::Merge => known.clone().into_iter().chain(pushed).collect(),
            TargetPolicy::Replace => pushed,
            TargetPolicy::Ignore => known.clone(),
        };
        (
            over(labels, pushed(&source.labels, &self.labels)),
            over(annotations, pushed(&source.annotations, &self.annotations)),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(entries: &[(&str, &str)]) -> Names {
        entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn block(spec: Value) -> Value {
        json!({ "apiVersion": API_VERSION, "kind": KIND, "spec": spec })
    }

    #[test]
    fn labels_of_source_entry_and_target_are_put_over_each_other() {
        let labels = names(&[("a", "source"), ("b", "source")]);
        let source = PushSource { labels, ..PushSource::default() };
        let target = names(&[("b", "target"), ("c", "target")]);
        let own = json!({ "a": "own" });
        for (source_policy, target_policy, expected) in [
            ("Merge", "Merge", names(&[("a", "own"), ("b", "source"), ("c", "target")])),
            ("", "", names(&[("a", "own"), ("b", "source"), ("c", "target")])),
            ("Replace", "Merge", names(&[("a", "own"), ("b", "target"), ("c", "target")])),
            ("Merge", "Replace", names(&[("a", "own"), ("b", "source")])),
            ("Replace", "Replace", names(&[("a", "own")])),
            ("Merge", "Ignore", target.clone()),
        ] {
            let spec = json!({ "sourceMergePolicy": source_policy, "targetMergePolicy": target_policy, "labels": own });
            let metadata = PushMetadata::of(Some(&block(spec))).unwrap();
            assert_eq!(
                metadata.applied(&source, &target, &Names::new()).0,
                expected,
                "{source_policy} {target_policy}"
            );
        }
        let plain = PushMetadata::of(None).unwrap();
        assert_eq!(plain.applied(&source, &Names::new(), &Names::new()).0, source.labels);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (wrong, text) in [
            (block(json!({ "label": {} })), "unknown field `label`"),
            (block(json!({ "targetMergePolicy": "Drop" })), "unknown variant `Drop`"),
            (json!({ "apiVersion": "v1", "kind": KIND, "spec": {} }), API_VERSION),
            (json!({ "labels": {} }), "unknown field `labels`"),
            (json!("text"), "invalid type"),
        ] {
            let error = PushMetadata::of(Some(&wrong)).unwrap_err();
            assert!(error.starts_with("unable to parse metadata parameters: ") && error.contains(text), "{error}");
        }
    }
}
