//! The reason and the beginning of the message of each failure. Alert rules that were written for VSO match on both.

use serde_json::{Value, json};

use super::super::read_failed;
use super::*;
use crate::resolve::static_secret;
use crate::resolve::tests::{World, secret, world};
use crate::vault::{ErrorKind, VaultError};

const NO_LOGIN: &str = "Failed to get Vault auth login: ";

/// The failure of an object with these settings.
fn failure(spec: Value, world: &World) -> Failure {
    let error = static_secret(&secret(spec), world).expect_err("there is no plan");
    Failure::unplanned(&error, Reason::VaultStaticSecretError)
}

#[track_caller]
fn assert_failure(found: &Failure, reason: Reason, start: &str, text: &str) {
    assert_eq!(found.reason, reason, "{found:?}");
    assert!(found.message.starts_with(start) && found.message.contains(text), "{found:?}");
}

#[test]
fn whatever_denies_a_login_is_an_error_of_the_login() {
    let auth = |spec: Value| world().auth("app", "a", spec);
    let connection =
        |spec: Value| world().auth("app", "a", json!({ "vaultConnectionRef": "c" })).connection("app", "c", spec);
    let global = |name: &str, spec: Value| {
        world().auth("app", "a", json!({ "vaultAuthGlobalRef": { "name": name } })).global("app", "g", spec)
    };
    let foreign = world().auth("team", "a", json!({ "allowedNamespaces": ["other"] }));
    let closed = world().auth("app", "a", json!({ "vaultConnectionRef": "op/c" })).connection(
        "op",
        "c",
        json!({ "allowedNamespaces": ["other"] }),
    );
    let closed_global = world()
        .auth("app", "a", json!({ "vaultAuthGlobalRef": { "namespace": "team", "name": "g" } }))
        .global("team", "g", json!({}));
    for (reference, world, text) in [
        ("team/a", foreign, "is not allowed by kind=VaultAuth obj=team/a"),
        ("a", closed, "is not allowed by kind=VaultConnection obj=op/c"),
        ("a", closed_global, "is not allowed by kind=VaultAuthGlobal obj=team/g"),
        ("elsewhere/a", world(), "does not watch"),
        ("gone", world(), "VaultAuth app/gone"),
        ("a", auth(json!({ "vaultConnectionRef": "gone" })), "VaultConnection app/gone"),
        ("a", global("gone", json!({})), "VaultAuthGlobal app/gone"),
        ("a/b/c", world(), "invalid name: a/b/c"),
        ("a", auth(json!({ "vaultConnectionRef": "a/b/c" })), "invalid name: a/b/c"),
        ("a", auth(json!({ "vaultAuthGlobalRef": {} })), "invalid objectKey, empty name"),
        ("a", auth(json!({ "method": null })), "spec.method"),
        ("a", auth(json!({ "method": "aws" })), "spec.aws"),
        ("a", auth(json!({ "kubernetes": { "serviceAccount": "s" } })), "empty role"),
        ("a", auth(json!({ "mount": null })), "spec.mount"),
        ("a", auth(json!({ "headers": { "X-Vault-Token": "t" } })), "X-Vault-Token cannot be set"),
        (
            "a",
            global("g", json!({ "aws": {} })).auth(
                "app",
                "a",
                json!({ "method": "jwt", "vaultAuthGlobalRef": { "name": "g" } }),
            ),
            "invalid merge: ",
        ),
        ("a", connection(json!({ "caCertSecretRef": "ca", "caCertPath": "/ca.pem" })), "mutually exclusive"),
        ("a", connection(json!({ "caCertPath": "/a/../b" })), "traversal"),
        ("a", connection(json!({ "timeout": "long" })), "spec.timeout"),
    ] {
        let found = failure(json!({ "vaultAuthRef": reference }), &world);
        assert_failure(&found, Reason::VaultClientConfigError, NO_LOGIN, text);
        assert_eq!(found.retry, Retry::WhenChanged);
    }
}

#[test]
fn settings_of_the_object_itself_are_told_apart() {
    let refs = json!({ "name": "d", "transformation": { "transformationRefs": [{ "name": "gone" }] } });
    for (spec, reason, start) in [
        (json!({ "refreshAfter": "long" }), Reason::VaultStaticSecretError, "Field validation failed, err="),
        (json!({ "type": "kv-v3" }), Reason::VaultStaticSecretError, "unsupported secret type \"kv-v3\""),
        (json!({ "destination": refs }), Reason::TransformationError, "Failed setting up SecretTransformationOption: "),
        (
            json!({ "destination": { "name": "" } }),
            Reason::SecretSyncError,
            "Failed to update k8s secret: invalid Destination, err=invalid objectKey, empty name",
        ),
    ] {
        assert_failure(&failure(spec, &world()), reason, start, "");
    }
}

#[test]
fn a_login_that_cannot_be_named_has_the_event_of_the_client_factory_too() {
    let reasons = |failure: Failure| failure.into_events().iter().map(|event| event.reason).collect::<Vec<_>>();
    let denied = failure(json!({ "vaultAuthRef": "gone" }), &world());
    let events = denied.clone().into_events();
    assert!(events[0].message.starts_with("Failed to get cacheKey from obj, err=VaultAuth app/gone"), "{events:?}");
    assert_eq!(events[1].message, denied.message);
    assert_eq!(reasons(denied), [Reason::Unrecoverable, Reason::VaultClientConfigError]);
    assert_eq!(reasons(Failure::login("permission denied")), [Reason::VaultClientConfigError]);
}

#[test]
fn data_that_cannot_be_made_is_told_from_a_secret_that_cannot_be_written() {
    const DATA: (Reason, &str) = (Reason::SecretDataBuilderError, "Failed to build K8s secret data: ");
    const SECRET: (Reason, &str) = (Reason::SecretSyncError, "Failed to update k8s secret: ");
    for (error, (reason, start)) in [
        (RenderError::Template("parse error: x".into()), DATA),
        (RenderError::Pattern { pattern: "(".into(), why: "x".into() }, DATA),
        (RenderError::RawKey, DATA),
        (RenderError::Key { key: "pass/word".into(), rule: "x" }, SECRET),
        (RenderError::TooLarge(1 << 21), SECRET),
    ] {
        assert_failure(&Failure::data(&error), reason, start, &error.to_string());
    }
}

#[test]
fn requests_to_vault_that_fail_are_errors_of_the_read_or_of_the_login() {
    let error = VaultError::new(ErrorKind::PermissionDenied, "secret/data/p", "1 error");
    let read = read_failed(&error);
    assert_failure(&read, Reason::VaultClientError, "Failed to read Vault secret: permission denied", "secret/data/p");
    assert_failure(&Failure::login(&error), Reason::VaultClientConfigError, NO_LOGIN, "secret/data/p");
}
