use serde_json::json;

use super::*;
use crate::api::VaultStaticSecret;

fn object(status: serde_json::Value) -> VaultStaticSecret {
    serde_json::from_value(json!({
        "apiVersion": "secrets.hashicorp.com/v1beta1", "kind": "VaultStaticSecret",
        "metadata": { "namespace": "ns", "name": "app", "uid": "u", "generation": 3 },
        "spec": {}, "status": status,
    }))
    .unwrap()
}

fn with(conditions: &[Condition]) -> VaultStaticSecret {
    object(json!({ "conditions": conditions }))
}

/// Type, status and reason of each condition.
fn words(conditions: &[Condition]) -> Vec<(&str, &str, &str)> {
    conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str())).collect()
}

#[test]
fn a_sync_without_restarts_says_nothing_of_restarts() {
    let conditions = conditions_of_success(&object(json!(null)), RestartNews::None, None, &[]);
    assert_eq!(
        words(&conditions),
        [("SecretSynced", "True", "Synced"), ("Healthy", "True", "Healthy"), ("Ready", "True", "Ready")]
    );
    assert!(conditions.iter().all(|c| c.observed_generation == Some(3)));
    assert_eq!(
        conditions_of_success(&with(&conditions), RestartNews::None, None, &[]),
        conditions,
        "an equal result is an equal value"
    );
}

#[test]
fn keys_that_are_the_operators_and_secrets_of_a_former_name_are_named() {
    let message = |destination: serde_json::Value, orphans| {
        let mut object = object(json!(null));
        object.spec.destination = serde_json::from_value(destination).unwrap();
        conditions_of_success(&object, RestartNews::None, orphans, &[])[0].message.to_string()
    };
    let labels = json!({
        "app.kubernetes.io/name": "mine", "app.kubernetes.io/managed-by": "hashicorp-vso", "team": "blue",
    });
    let annotations = json!({ "vso.secrets.hashicorp.com/secret-mac": "x", "note": "y" });
    let own = json!({ "name": "s", "create": true, "labels": labels, "annotations": annotations });
    assert_eq!(
        message(own.clone(), None),
        "Secret synced; labels and annotations whose values are the operator's, not those of spec.destination: \
         app.kubernetes.io/name, vso.secrets.hashicorp.com/secret-mac"
    );
    let mut lent = own;
    lent["create"] = json!(false);
    assert_eq!(message(lent, None), "Secret synced", "none of them is set");
    let left = message(json!({ "name": "s", "create": true, "labels": { "team": "blue" } }), Some("delete Secret: no"));
    assert_eq!(left, "Secret synced; a Secret of a former name could not be deleted yet: delete Secret: no");
}

#[test]
fn restarts_are_shown_until_they_are_of_no_matter() {
    let restart = |conditions: &[Condition]| {
        let found = condition::find(conditions, ConditionType::RolloutRestart);
        found.map(|c| (c.status.as_str().to_owned(), c.reason.as_str().to_owned()))
    };
    let done = conditions_of_success(&object(json!(null)), RestartNews::Tried(&[]), None, &[]);
    assert_eq!(restart(&done), Some(("True".into(), "RolloutRestartTriggered".into())));
    let failed = conditions_of_success(&with(&done), RestartNews::Tried(&["Deployment app: gone".into()]), None, &[]);
    assert_eq!(restart(&failed), Some(("False".into(), "RolloutRestartTriggeredFailed".into())));
    let message = &*condition::find(&failed, ConditionType::RolloutRestart).unwrap().message;
    assert_eq!(message, "Rollout restart trigger failed, err=Deployment app: gone");
    let event = restart_failed("Deployment app: gone");
    let text = "Rollout restart failed for target Deployment app: gone";
    assert_eq!((event.reason, event.message.as_str()), (Reason::RolloutRestartFailed, text));
    assert_eq!(
        restart(&conditions_of_success(&with(&failed), RestartNews::None, None, &[])),
        None,
        "the targets were taken off the spec"
    );
    assert_eq!(
        restart(&conditions_of_success(&with(&done), RestartNews::None, None, &[])),
        restart(&done),
        "what was done stays shown"
    );
    for known in [&done, &failed] {
        let waiting = conditions_of_success(&with(known), RestartNews::Waiting, None, &[]);
        assert_eq!(restart(&waiting), restart(known), "restarts that are to come change nothing yet");
    }
}

#[test]
fn a_failure_keeps_what_it_says_nothing_of() {
    let synced = conditions_of_success(&object(json!(null)), RestartNews::Tried(&[]), None, &[]);
    let failure = Failure::new(Reason::VaultClientError, "Failed to read Vault secret: sealed");
    let failed = conditions_of_failure(&with(&synced), &failure);
    assert_eq!(
        words(&failed),
        [
            ("SecretSynced", "False", "VaultClientError"),
            ("RolloutRestart", "True", "RolloutRestartTriggered"),
            ("Healthy", "False", "Unhealthy"),
            ("Ready", "False", "VaultClientError"),
        ]
    );
    assert_eq!(*failed[0].message, *failure.message);
    assert_eq!(&*failed[3].message, "VaultStaticSecretNotReady");
    let recovered = conditions_of_success(&with(&failed), RestartNews::None, None, &[]);
    assert_eq!(condition::find(&recovered, ConditionType::SecretSynced).unwrap().status.as_str(), "True");
}
