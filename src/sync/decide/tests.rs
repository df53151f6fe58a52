use serde_json::{Value, json};

use super::*;
use crate::api::VaultStaticSecret;

/// A Secret that is to hold `{"a": "new"}`, and how it is to be decided.
struct Case {
    object: VaultStaticSecret,
    data: SecretData,
    key: MacKey,
    mac: String,
    recorded: Option<String>,
    restarts: bool,
    generation_changed: bool,
}

impl Case {
    fn new(destination: Value) -> Self {
        let object = serde_json::from_value(json!({
            "apiVersion": "secrets.hashicorp.com/v1beta1", "kind": "VaultStaticSecret",
            "metadata": { "namespace": "ns", "name": "app", "uid": "u-1" },
            "spec": { "destination": destination },
        }))
        .unwrap();
        let key = MacKey::new(b"0123456789abcdef").unwrap();
        let data: SecretData = [("a".to_owned(), b"new".to_vec())].into_iter().collect();
        let mac = key.mac(data.as_map());
        Self { object, data, key, mac, recorded: None, restarts: false, generation_changed: false }
    }

    fn created() -> Self {
        Self::new(json!({ "name": "secret", "create": true, "labels": { "own": "label" } }))
    }

    fn mac_of(&self, value: &str) -> String {
        self.key.mac(&[("a".to_owned(), value.as_bytes().to_vec())].into_iter().collect())
    }

    fn desired(&self) -> DesiredSecret<'_> {
        DesiredSecret {
            owner: &self.object,
            data: &self.data,
            mac: &self.mac,
            rendered: None,
            key: &self.key,
            restarts: self.restarts,
            recorded: self.recorded.as_deref(),
            generation_changed: self.generation_changed,
        }
    }

    /// The Secret as this operator has written it with another value.
    fn written(&self, value: &str) -> Secret {
        let metadata = owned_metadata(&self.object, &self.mac_of(value), None);
        secret(value, &metadata)
    }

    fn decide(&self, current: Option<&Secret>) -> Result<(Write, Previous), DestinationError> {
        let desired = self.desired();
        decide(&desired, desired_metadata(&desired).as_ref(), current)
    }

    /// The name of the decision.
    fn word(&self, current: Option<&Secret>) -> &'static str {
        match self.decide(current) {
            Ok((Write::Nothing(_), _)) => "nothing",
            Ok((Write::Create, _)) => "create",
            Ok((Write::Replace(_), _)) => "replace",
            Ok((Write::Recreate(_), _)) => "recreate",
            Err(DestinationError::Refused(_)) => "refused",
            Err(DestinationError::Missing(_)) => "missing",
            Err(DestinationError::Immutable(_)) => "immutable",
            Err(DestinationError::Unsettled(_)) => "unsettled",
            Err(DestinationError::Kubernetes(_)) => "cluster",
        }
    }
}

fn secret(value: &str, metadata: &OwnedMetadata) -> Secret {
    let mut secret: Secret = serde_json::from_value(json!({
        "metadata": {
            "namespace": "ns", "name": "secret", "uid": "s-1", "resourceVersion": "7",
            "labels": metadata.labels, "annotations": metadata.annotations, "ownerReferences": [metadata.owner],
        },
        "type": "Opaque",
    }))
    .unwrap();
    secret.data = Some([("a".to_owned(), k8s_openapi::ByteString(value.as_bytes().to_vec()))].into());
    secret
}

fn foreign(value: &str) -> Secret {
    let mut secret = Case::created().written(value);
    secret.metadata.labels = None;
    secret.metadata.annotations = None;
    secret.metadata.owner_references = None;
    secret
}

#[test]
fn a_secret_of_the_object_is_written_only_if_it_differs() {
    let case = Case::created();
    assert_eq!(case.word(None), "create");
    assert_eq!(case.word(Some(&case.written("new"))), "nothing");
    assert_eq!(case.word(Some(&case.written("old"))), "replace");
    let mut more = case.written("new");
    more.data.as_mut().unwrap().insert("b".into(), k8s_openapi::ByteString(vec![]));
    assert_eq!(case.word(Some(&more)), "replace", "a key that another client has added");
    let mut typed = case.written("new");
    typed.type_ = Some("kubernetes.io/tls".into());
    assert_eq!(case.word(Some(&typed)), "recreate");
}

#[test]
fn labels_count_only_after_a_change_of_the_object() {
    let mut case = Case::created();
    let mut unlabelled = case.written("new");
    unlabelled.metadata.labels.as_mut().unwrap().remove("own");
    assert_eq!(case.word(Some(&unlabelled)), "nothing");
    case.generation_changed = true;
    assert_eq!(case.word(Some(&unlabelled)), "replace");
    let mut other_mac = case.written("new");
    other_mac.metadata.annotations.as_mut().unwrap().insert(MAC_ANNOTATION.into(), "of another key".into());
    assert_eq!(case.word(Some(&other_mac)), "nothing", "a MAC alone is not worth a write");
}

#[test]
fn a_secret_of_another_origin_is_left_alone_unless_it_may_be_overwritten() {
    let case = Case::created();
    assert_eq!(case.word(Some(&foreign("new"))), "refused");
    let overwrite = Case::new(json!({ "name": "secret", "create": true, "overwrite": true }));
    assert_eq!(overwrite.word(Some(&foreign("old"))), "replace");
    assert_eq!(overwrite.word(Some(&foreign("new"))), "replace", "labels and owner have to be put on");
    let mut of_another = Case::created();
    of_another.object.metadata.uid = Some("u-2".into());
    let theirs = of_another.written("old");
    assert_eq!(overwrite.word(Some(&theirs)), "refused", "another object of ours has created it");
    let why = |case: &Case, secret: &Secret| match case.decide(Some(secret)) {
        Err(DestinationError::Refused(why)) if why.contains("not the owner") => why,
        other => panic!("not refused: {}", other.is_ok()),
    };
    let advice = why(&case, &foreign("new"));
    assert!(advice.ends_with("set spec.destination.overwrite to take it over, or choose another name"), "{advice}");
    let advice = why(&case, &theirs);
    assert!(advice.ends_with("overwrite does not change: choose another name"), "{advice}");
}

#[test]
fn an_owned_secret_is_known_by_its_owner_reference_or_its_labels_and_gets_both_back() {
    let case = Case::created();
    let without = |change: fn(&mut Secret)| {
        let mut secret = case.written("new");
        change(&mut secret);
        case.word(Some(&secret))
    };
    assert_eq!(without(|s| s.metadata.labels = None), "replace", "labels");
    assert_eq!(without(|s| s.metadata.owner_references = None), "replace", "owner reference");
    assert_eq!(
        without(|s| (s.metadata.labels, s.metadata.owner_references) = (None, None)),
        "refused",
        "nothing is left that tells whose it is"
    );
    let claimed = |s: &mut Secret| {
        s.metadata.owner_references = serde_json::from_value(json!([
            { "apiVersion": "v1", "kind": "ConfigMap", "name": "theirs", "uid": "c-1" }
        ]))
        .unwrap();
    };
    assert_eq!(without(claimed), "refused", "it has another owner");

    // A label that another tool has set makes the Secret of another object no free one.
    let mut overwrite = Case::new(json!({ "name": "secret", "create": true, "overwrite": true }));
    overwrite.object.metadata.uid = Some("u-2".into());
    let mut theirs = case.written("old");
    theirs.metadata.labels = Some([("app.kubernetes.io/managed-by".to_owned(), "Helm".to_owned())].into());
    assert_eq!(overwrite.word(Some(&theirs)), "refused");
}

#[test]
fn an_immutable_secret_gets_no_other_data() {
    for (create, remedy) in [(true, "delete it to have it created again"), (false, "without `immutable`")] {
        let case = Case::new(json!({ "name": "secret", "create": create }));
        let frozen = |value: &str| Secret { immutable: Some(true), ..case.written(value) };
        assert_eq!(case.word(Some(&frozen("new"))), "nothing");
        assert_eq!(case.word(Some(&frozen("old"))), "immutable");
        let Err(DestinationError::Immutable(text)) = case.decide(Some(&frozen("old"))) else { panic!("decided") };
        assert!(text.contains("ns/secret is immutable") && text.contains(remedy), "{text}");
    }
}

#[test]
fn the_annotation_of_another_object_is_believed_in_no_secret_that_is_not_created() {
    let mut case = Case::new(json!({ "name": "secret", "create": false }));
    case.restarts = true;
    case.recorded = Some(case.mac.clone());
    let theirs = Case::created().written("between");
    assert_eq!(case.word(Some(&theirs)), "replace");
}

#[test]
fn a_secret_that_is_not_to_be_created_keeps_its_labels() {
    let case = Case::new(json!({ "name": "secret", "create": false }));
    assert_eq!(case.word(None), "missing");
    assert_eq!(case.word(Some(&foreign("new"))), "nothing");
    assert_eq!(case.word(Some(&foreign("old"))), "replace");
    let mut typed = foreign("new");
    typed.type_ = Some("kubernetes.io/tls".into());
    assert_eq!(case.word(Some(&typed)), "nothing", "its type is not this operator's to change");
}

#[test]
fn content_whose_restarts_may_be_owed_is_recorded_before_it_is_replaced() {
    let mut case = Case::created();
    case.restarts = true;
    let between = case.written("between");
    for (recorded, word) in [
        (None, "unsettled"),
        (Some(case.mac.clone()), "unsettled"),
        (Some(case.mac_of("between")), "replace"),
        (Some(case.mac_of("older")), "replace"),
    ] {
        case.recorded = recorded;
        assert_eq!(case.word(Some(&between)), word, "{:?}", case.recorded);
    }
    case.recorded = None;
    let mut drifted = between.clone();
    drifted.data = foreign("by another client").data;
    assert_eq!(case.word(Some(&drifted)), "replace", "what another client wrote is owed to no workload");
    case.restarts = false;
    assert_eq!(case.word(Some(&between)), "replace");
}

#[test]
fn what_the_secret_held_is_told() {
    let case = Case::created();
    let previous = |current: &Secret| case.decide(Some(current)).unwrap().1;
    assert_eq!(previous(&case.written("old")), Previous::Other);
    let equal = Previous::Equal { annotation: Some(case.mac.clone()), changed: None };
    assert_eq!(previous(&case.written("new")), equal);
}
