//! The definitions of the kinds of `external-secrets.io` and of its generators, for clusters that do not have those of
//! ESO.
//!
//! Where there are two versions, both are served, and have one schema. What is stored is `v1`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, SelectableField,
};
use kube::CustomResourceExt;

use super::finish;
use crate::api::external_secrets::generator::{Password, Uuid, VaultGenerator};
use crate::api::external_secrets::{
    ClusterExternalSecret, ClusterPushSecret, ClusterSecretStore, ExternalSecret, PushSecret, SecretStore,
};

/// The version that ESO has served before `v1`.
const FORMER_VERSION: &str = "v1beta1";
/// Label of ESO's definitions.
const LABEL: (&str, &str) = ("external-secrets.io/component", "controller");

/// Name, type and path of a printer column.
type Column = (&'static str, &'static str, &'static str);

const READY: Column = ("Ready", "string", r#".status.conditions[?(@.type=="Ready")].status"#);
const STATUS: Column = ("Status", "string", r#".status.conditions[?(@.type=="Ready")].reason"#);
const STORE: &[Column] = &[
    ("AGE", "date", ".metadata.creationTimestamp"),
    STATUS,
    ("Capabilities", "string", ".status.capabilities"),
    READY,
];
const PUSH: [Column; 3] =
    [("AGE", "date", ".metadata.creationTimestamp"), STATUS, ("Last Sync", "date", ".status.refreshTime")];

/// Every definition, ordered by name.
pub fn external_secrets() -> Vec<CustomResourceDefinition> {
    let external_secret = [
        ("StoreType", "string", ".spec.secretStoreRef.kind"),
        ("Store", "string", ".spec.secretStoreRef.name"),
        ("Refresh Interval", "string", ".spec.refreshInterval"),
        STATUS,
        READY,
        ("Last Sync", "date", ".status.refreshTime"),
    ];
    let selectable =
        [".spec.secretStoreRef.name", ".spec.secretStoreRef.kind", ".spec.target.name", ".spec.refreshInterval"];
    let cluster_external_secret = [
        ("Store", "string", ".spec.externalSecretSpec.secretStoreRef.name"),
        ("Refresh Interval", "string", ".spec.refreshTime"),
        READY,
    ];
    // The condition has no reason, so that ESO's column is empty: the last one is an addition.
    let cluster_push_secret = [("AGE", "date", ".metadata.creationTimestamp"), STATUS, READY];
    vec![
        both_versions(ClusterExternalSecret::crd(), &cluster_external_secret, &[]),
        one_version(ClusterPushSecret::crd(), &cluster_push_secret),
        both_versions(ClusterSecretStore::crd(), STORE, &[]),
        both_versions(ExternalSecret::crd(), &external_secret, &selectable),
        one_version(PushSecret::crd(), &PUSH),
        both_versions(SecretStore::crd(), STORE, &[]),
        generator(Password::crd()),
        generator(Uuid::crd()),
        generator(VaultGenerator::crd()),
    ]
}

/// Generators have one version, and no status.
fn generator(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let mut crd = one_version(crd, &[]);
    for version in &mut crd.spec.versions {
        version.additional_printer_columns = None;
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        if let Some(properties) = schema.and_then(|schema| schema.properties.as_mut()) {
            properties.remove("status");
        }
    }
    crd
}

fn both_versions(crd: CustomResourceDefinition, columns: &[Column], selectable: &[&str]) -> CustomResourceDefinition {
    let mut crd = one_version(crd, columns);
    if let Some(version) = crd.spec.versions.first_mut() {
        // Both versions have these: the API server refuses versions that differ in nothing else.
        if !selectable.is_empty() {
            let field = |path: &&str| SelectableField { json_path: (*path).to_owned() };
            version.selectable_fields = Some(selectable.iter().map(field).collect());
        }
        let mut former = version.clone();
        FORMER_VERSION.clone_into(&mut former.name);
        former.storage = false;
        crd.spec.versions.push(former);
    }
    crd
}

fn one_version(crd: CustomResourceDefinition, columns: &[Column]) -> CustomResourceDefinition {
    let mut crd = finish(crd, &[]);
    crd.metadata.labels = Some([(LABEL.0.to_owned(), LABEL.1.to_owned())].into());
    let columns = columns.iter().map(|(name, type_, path)| CustomResourceColumnDefinition {
        name: (*name).to_owned(),
        type_: (*type_).to_owned(),
        json_path: (*path).to_owned(),
        ..CustomResourceColumnDefinition::default()
    });
    if let Some(version) = crd.spec.versions.first_mut() {
        version.additional_printer_columns = Some(columns.collect());
    }
    crd
}
