//! The CustomResourceDefinitions in `crds/`, made from the types of [`crate::api`].
//!
//! What the derives produce is not what controller-gen produces: `nullable` on every optional member, enums as a choice
//! of single values, no `apiVersion`, `kind` and `metadata`, no list kind, a required `spec`. Users and tools see those
//! differences (an explicit `null` becomes valid, for one), so [`all`] takes them out.

mod external_secrets;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
    JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{
    CSISecrets, SecretTransformation, VaultAuth, VaultAuthGlobal, VaultConnection, VaultDynamicSecret, VaultPKISecret,
    VaultStaticSecret,
};

/// The generator version that VSO's definitions name; tools compare it.
const GENERATOR: (&str, &str) = ("controller-gen.kubebuilder.io/version", "v0.19.0");

pub use external_secrets::external_secrets;

/// Every definition of VSO's kinds, ordered by name.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        finish(CSISecrets::crd(), &[]),
        finish(SecretTransformation::crd(), &["Healthy", "Ready"]),
        finish(VaultAuthGlobal::crd(), &[]),
        finish(VaultAuth::crd(), &["Healthy", "Ready"]),
        finish(VaultConnection::crd(), &["Healthy", "Ready"]),
        finish(VaultDynamicSecret::crd(), &["Synced", "Healthy", "Ready"]),
        finish(VaultPKISecret::crd(), &["Synced", "Healthy", "Ready"]),
        finish(VaultStaticSecret::crd(), &["Synced", "Healthy", "Ready"]),
    ]
}

/// Name of the file that holds a definition: `<group>_<plural>.yaml`.
pub fn file_name(crd: &CustomResourceDefinition) -> String {
    format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural)
}

/// One YAML document, starting with `---`, keys sorted.
///
/// # Errors
/// Only if a definition cannot be expressed in YAML, which a test excludes.
pub fn yaml(crd: &CustomResourceDefinition) -> io::Result<String> {
    let value = serde_json::to_value(crd)?;
    let body = serde_saphyr::to_string(&Plain(&value)).map_err(io::Error::other)?;
    Ok(format!("---\n{}\n", body.trim_end()))
}

/// Writes each of the definitions to its file in `dir`, which is made if it is not there.
///
/// # Errors
/// Those of the file system.
pub fn write_dir(definitions: &[CustomResourceDefinition], dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for crd in definitions {
        std::fs::write(dir.join(file_name(crd)), yaml(crd)?)?;
    }
    Ok(())
}

/// Writes the definitions as one stream of YAML documents, ready for `kubectl apply -f -`.
///
/// # Errors
/// Those of `out`.
pub fn print(definitions: &[CustomResourceDefinition], out: &mut impl Write) -> io::Result<()> {
    for crd in definitions {
        out.write_all(yaml(crd)?.as_bytes())?;
    }
    out.flush()
}

fn finish(mut crd: CustomResourceDefinition, columns: &[&str]) -> CustomResourceDefinition {
    let annotation = (GENERATOR.0.to_owned(), GENERATOR.1.to_owned());
    crd.metadata.annotations = Some(BTreeMap::from([annotation]));
    crd.spec.names.list_kind = Some(format!("{}List", crd.spec.names.kind));
    for version in &mut crd.spec.versions {
        if !columns.is_empty() {
            version.additional_printer_columns = Some(printer_columns(columns));
        }
        if let Some(schema) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) {
            clean(schema);
            finish_root(schema);
        }
    }
    crd
}

/// `spec` may be missing and has no default; the members that every object has are described.
fn finish_root(schema: &mut JSONSchemaProps) {
    schema.required = None;
    let properties = schema.properties.get_or_insert_default();
    for (name, type_, description) in [
        ("apiVersion", "string", Some("Group and version of this object's schema.")),
        ("kind", "string", Some("Kind of this object, in CamelCase.")),
        ("metadata", "object", None),
    ] {
        let member = JSONSchemaProps {
            type_: Some(type_.to_owned()),
            description: description.map(str::to_owned),
            ..Default::default()
        };
        properties.insert(name.to_owned(), member);
    }
    if let Some(spec) = properties.get_mut("spec") {
        spec.default = None;
    }
}

/// Takes out what schemars and kube put in and a structural schema of controller-gen does not have, at every depth.
fn clean(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.title = None;
    // A doc comment breaks lines where the source does; the YAML breaks them where it likes.
    schema.description =
        schema.description.as_deref().map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    if let Some(choices) = choices(schema) {
        schema.any_of = None;
        schema.type_ = Some("string".to_owned());
        schema.enum_ = Some(choices);
    }
    if let Some(values) = &mut schema.enum_ {
        values.retain(|v| !v.0.is_null());
    }
    for property in schema.properties.iter_mut().flat_map(BTreeMap::values_mut) {
        clean(property);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => clean(item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(clean),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        clean(values);
    }
}

/// The values of a Rust enum, which arrives as a choice of one-value schemas, one per documented variant, and that
/// choice once more in a choice with `null` where the member is optional. `None` if this is something else.
fn choices(schema: &JSONSchemaProps) -> Option<Vec<JSON>> {
    let mut values = Vec::new();
    for choice in schema.any_of.as_ref()? {
        match &choice.enum_ {
            Some(of) => values.extend(of.iter().filter(|v| !v.0.is_null()).cloned()),
            None => values.extend(choices(choice)?),
        }
    }
    Some(values)
}

fn printer_columns(conditions: &[&str]) -> Vec<CustomResourceColumnDefinition> {
    let mut columns: Vec<_> = conditions
        .iter()
        .map(|name| {
            let (condition, description) = match *name {
                "Synced" => ("SecretSynced", "secret sync status"),
                "Healthy" => ("Healthy", "health status"),
                other => (other, "resource ready"),
            };
            CustomResourceColumnDefinition {
                name: (*name).to_owned(),
                type_: "string".to_owned(),
                description: Some(description.to_owned()),
                json_path: format!(r#".status.conditions[?(@.type == "{condition}")].status"#),
                ..Default::default()
            }
        })
        .collect();
    columns.push(CustomResourceColumnDefinition {
        name: "Age".to_owned(),
        type_: "date".to_owned(),
        description: Some("resource age".to_owned()),
        json_path: ".metadata.creationTimestamp".to_owned(),
        ..Default::default()
    });
    columns
}

/// JSON for a serializer that is not serde_json's: with arbitrary precision a number hands anyone else a private
/// structure. Bounds, which Kubernetes types as floats, come out as integers where they are.
struct Plain<'a>(&'a Value);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Number(n) => match (n.as_i64(), n.as_f64()) {
                (Some(i), _) => ser.serialize_i64(i),
                (None, Some(f)) if f.fract() == 0.0 && f.abs() < 9e15 => {
                    // Whole and far inside the range, so nothing is cut off.
                    ser.serialize_i64(f as i64)
                }
                (None, Some(f)) => ser.serialize_f64(f),
                (None, None) => ser.serialize_str(&n.to_string()),
            },
            Value::Array(items) => ser.collect_seq(items.iter().map(Plain)),
            Value::Object(members) => {
                let sorted: BTreeMap<_, _> = members.iter().map(|(k, v)| (k, Plain(v))).collect();
                ser.collect_map(sorted)
            }
            Value::Null => ser.serialize_unit(),
            Value::Bool(b) => ser.serialize_bool(*b),
            Value::String(s) => ser.serialize_str(s),
        }
    }
}

#[cfg(test)]
mod tests;
