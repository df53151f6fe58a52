//! What an ExternalSecret must not say. Most of it is in the schema too; definitions of ESO have none of it there.

use std::collections::BTreeSet;

use crate::api::external_secrets::remote::DataFrom;
use crate::api::external_secrets::target::{Target, Template};
use crate::api::external_secrets::{CreationPolicy, DeletionPolicy, ExternalSecretSpec};
use crate::gocompat::template::strconv::quote_text;

/// Type of a Secret into which Kubernetes puts the token of a service account.
pub const SERVICE_ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";
/// Annotation with the name of the service account.
pub const SERVICE_ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
/// Type of a Secret that lets a node join the cluster.
pub const BOOTSTRAP_TOKEN: &str = "bootstrap.kubernetes.io/token";

/// Whether the operator may work with an ExternalSecret.
///
/// # Errors
/// The first thing that is wrong, in ESO's words.
pub fn spec(spec: &ExternalSecretSpec) -> Result<(), String> {
    policies(&spec.target)?;
    if let Some(template) = &spec.target.template {
        privileged(template)?;
        if spec.target.manifest.is_none() {
            targets(template)?;
        }
    }
    if spec.data.is_empty() && spec.data_from.is_empty() {
        return Err("either data or dataFrom should be specified".to_owned());
    }
    spec.data_from.iter().try_for_each(entry)?;
    for (index, row) in spec.data.iter().enumerate() {
        if row.source_ref.as_ref().is_some_and(|source| source.store_ref.is_none() && source.generator_ref.is_none()) {
            return Err(format!("storeRef must be set when using sourceRef in data[{index}]"));
        }
    }
    if retains(&spec.target) {
        let mut seen = BTreeSet::new();
        if let Some(row) = spec.data.iter().find(|row| !seen.insert(&row.secret_key)) {
            return Err(format!("duplicate secretKey found: {}", row.secret_key));
        }
    }
    Ok(())
}

/// What is valid, and not served.
///
/// # Errors
/// The first such thing.
pub fn served(spec: &ExternalSecretSpec) -> Result<(), String> {
    if spec.target.manifest.is_some() {
        return Err("spec.target.manifest is not supported: only Secrets are filled".to_owned());
    }
    let engine = spec.target.template.as_ref().and_then(|template| template.engine_version.as_deref());
    if let Some(engine) = engine.filter(|engine| *engine != "v2") {
        return Err(format!("spec.target.template.engineVersion {engine} is not supported: it has to be v2"));
    }
    let mut generators =
        spec.data.iter().map(|row| row.source_ref.as_ref().is_some_and(|source| source.generator_ref.is_some()));
    if let Some(index) = generators.position(|is_one| is_one) {
        let text = "a generator makes several keys, use dataFrom";
        return Err(format!("spec.data[{index}].sourceRef.generatorRef is not supported: {text}"));
    }
    Ok(())
}

fn retains(target: &Target) -> bool {
    match &target.deletion_policy {
        None | Some(DeletionPolicy::Retain) => true,
        Some(DeletionPolicy::Unknown(name)) => name.is_empty(),
        Some(DeletionPolicy::Delete | DeletionPolicy::Merge) => false,
    }
}

fn policies(target: &Target) -> Result<(), String> {
    match (&target.deletion_policy, &target.creation_policy) {
        (Some(DeletionPolicy::Unknown(name)), _) if !name.is_empty() => {
            Err(format!("deletionPolicy={name} is not supported"))
        }
        (_, Some(CreationPolicy::Unknown(name))) if !name.is_empty() => {
            Err(format!("creationPolicy={name} is not supported"))
        }
        (
            Some(DeletionPolicy::Delete),
            Some(CreationPolicy::Merge | CreationPolicy::None | CreationPolicy::CreateOrMerge),
        ) => Err("deletionPolicy=Delete must not be used when the controller doesn't own the secret. Please set \
                  creationPolicy=Owner"
            .to_owned()),
        (Some(DeletionPolicy::Merge), Some(CreationPolicy::None)) => {
            Err("deletionPolicy=Merge must not be used with creationPolicy=None. There is no Secret to merge with"
                .to_owned())
        }
        _ => Ok(()),
    }
}

fn entry(entry: &DataFrom) -> Result<(), String> {
    let source = entry.source_ref.as_ref();
    let is_generator = source.is_some_and(|source| source.generator_ref.is_some());
    let forms = [entry.find.is_some(), entry.extract.is_some(), is_generator];
    if forms.iter().filter(|form| **form).count() > 1 {
        return Err("extract, find, or generatorRef cannot be set at the same time".to_owned());
    }
    if entry.find.is_none() && entry.extract.is_none() && source.is_none() {
        return Err("either extract, find, or sourceRef must be set to dataFrom".to_owned());
    }
    if source.is_some_and(|source| source.generator_ref.is_none() && source.store_ref.is_none()) {
        return Err("generatorRef or storeRef must be set when using sourceRef in dataFrom".to_owned());
    }
    Ok(())
}

/// Kubernetes makes credentials of Secrets of two types, which the author of an ExternalSecret need not have.
fn privileged(template: &Template) -> Result<(), String> {
    let type_ = template.type_.as_deref().unwrap_or("");
    if type_ == BOOTSTRAP_TOKEN {
        return Err(format!("template.type={} is not allowed", quote_text(BOOTSTRAP_TOKEN)));
    }
    if type_ != SERVICE_ACCOUNT_TOKEN {
        return Ok(());
    }
    if template.metadata.annotations.contains_key(SERVICE_ACCOUNT_NAME) {
        return Err(format!(
            "template.type={} with annotation {} is not allowed",
            quote_text(SERVICE_ACCOUNT_TOKEN),
            quote_text(SERVICE_ACCOUNT_NAME)
        ));
    }
    let mut targets = template.template_from.iter().filter_map(|from| from.target.as_deref());
    if targets.any(|target| target.eq_ignore_ascii_case("Annotations")) {
        return Err(format!(
            "template.type={} with templateFrom target=\"Annotations\" is not allowed",
            quote_text(SERVICE_ACCOUNT_TOKEN)
        ));
    }
    Ok(())
}

fn targets(template: &Template) -> Result<(), String> {
    let allowed =
        |target: &&str| !["Data", "Annotations", "Labels"].iter().any(|name| name.eq_ignore_ascii_case(target));
    match template.template_from.iter().filter_map(|from| from.target.as_deref()).find(allowed) {
        None => Ok(()),
        Some(target) => Err(format!(
            "templateFrom target={} is not allowed when targeting a Secret, must be one of \"Data\", \"Annotations\" or \
             \"Labels\"",
            quote_text(target)
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(value: Value) -> Option<String> {
        spec(&serde_json::from_value(value).unwrap()).err()
    }

    fn with_target(target: Value) -> Value {
        json!({ "target": target, "data": [{ "secretKey": "k" }] })
    }

    /// ESO's texts.
    #[test]
    fn what_an_external_secret_must_not_say_is_told_in_esos_words() {
        let row = json!({ "secretKey": "k" });
        let entry = |entry: Value| json!({ "dataFrom": [entry] });
        let template = |template: Value| with_target(json!({ "template": template }));
        let owner = "deletionPolicy=Delete must not be used when the controller doesn't own the secret. Please set \
                     creationPolicy=Owner";
        let one_form = "extract, find, or generatorRef cannot be set at the same time";
        let token = "kubernetes.io/service-account-token";
        let annotations = json!({ "kubernetes.io/service-account.name": "admin" });
        for (given, expected) in [
            (json!({}), "either data or dataFrom should be specified"),
            (with_target(json!({ "deletionPolicy": "Delete", "creationPolicy": "Merge" })), owner),
            (with_target(json!({ "deletionPolicy": "Delete", "creationPolicy": "None" })), owner),
            (with_target(json!({ "deletionPolicy": "Delete", "creationPolicy": "CreateOrMerge" })), owner),
            (
                with_target(json!({ "deletionPolicy": "Merge", "creationPolicy": "None" })),
                "deletionPolicy=Merge must not be used with creationPolicy=None. There is no Secret to merge with",
            ),
            (with_target(json!({ "deletionPolicy": "Burn" })), "deletionPolicy=Burn is not supported"),
            (with_target(json!({ "creationPolicy": "Borrow" })), "creationPolicy=Borrow is not supported"),
            (entry(json!({ "find": {}, "extract": {} })), one_form),
            (entry(json!({ "find": {}, "sourceRef": { "generatorRef": {} } })), one_form),
            (entry(json!({ "extract": {}, "sourceRef": { "generatorRef": {} } })), one_form),
            (entry(json!({})), "either extract, find, or sourceRef must be set to dataFrom"),
            (
                entry(json!({ "extract": {}, "sourceRef": {} })),
                "generatorRef or storeRef must be set when using sourceRef in dataFrom",
            ),
            (
                json!({ "data": [row, { "secretKey": "x", "sourceRef": {} }] }),
                "storeRef must be set when using sourceRef in data[1]",
            ),
            (json!({ "data": [row, row] }), "duplicate secretKey found: k"),
            (
                template(json!({ "type": token, "metadata": { "annotations": annotations } })),
                "template.type=\"kubernetes.io/service-account-token\" with annotation \
                 \"kubernetes.io/service-account.name\" is not allowed",
            ),
            (
                template(json!({ "type": token, "templateFrom": [{ "target": "aNNotations" }] })),
                "template.type=\"kubernetes.io/service-account-token\" with templateFrom target=\"Annotations\" is not allowed",
            ),
            (
                template(json!({ "type": "bootstrap.kubernetes.io/token" })),
                "template.type=\"bootstrap.kubernetes.io/token\" is not allowed",
            ),
            (
                template(json!({ "templateFrom": [{ "target": "Data" }, { "target": "spec.x" }] })),
                "templateFrom target=\"spec.x\" is not allowed when targeting a Secret, must be one of \"Data\", \
                 \"Annotations\" or \"Labels\"",
            ),
        ] {
            assert_eq!(check(given.clone()).as_deref(), Some(expected), "{given}");
        }
    }

    #[test]
    fn what_it_may_say_is_accepted() {
        let row = json!({ "secretKey": "k" });
        for given in [
            json!({ "data": [row] }),
            json!({ "dataFrom": [{ "extract": {} }, { "find": {} }, { "sourceRef": { "generatorRef": {} } }] }),
            json!({ "data": [row, row], "target": { "deletionPolicy": "Merge" } }),
            with_target(json!({ "deletionPolicy": "Delete", "creationPolicy": "Orphan" })),
            with_target(json!({ "deletionPolicy": "", "creationPolicy": "" })),
            with_target(json!({ "template": { "templateFrom": [{}, { "target": "LABELS" }] } })),
            with_target(json!({ "template": { "type": "kubernetes.io/service-account-token" } })),
            with_target(json!({ "manifest": { "kind": "X" }, "template": { "templateFrom": [{ "target": "spec" }] } })),
        ] {
            assert_eq!(check(given.clone()), None, "{given}");
        }
    }

    #[test]
    fn what_is_not_served_is_told() {
        let served = |value: Value| served(&serde_json::from_value(value).unwrap()).err();
        let generator = json!({ "sourceRef": { "generatorRef": { "kind": "Password", "name": "p" } } });
        for (given, expected) in [
            (
                json!({ "data": [generator] }),
                "spec.data[0].sourceRef.generatorRef is not supported: a generator makes several keys, use dataFrom",
            ),
            (
                with_target(json!({ "manifest": { "kind": "X" } })),
                "spec.target.manifest is not supported: only Secrets are filled",
            ),
            (
                with_target(json!({ "template": { "engineVersion": "v1" } })),
                "spec.target.template.engineVersion v1 is not supported: it has to be v2",
            ),
        ] {
            assert_eq!(served(given).as_deref(), Some(expected));
        }
        assert_eq!(served(with_target(json!({ "template": { "engineVersion": "v2" } }))), None);
        assert_eq!(served(json!({ "dataFrom": [generator] })), None);
    }
}
