//! From a reference to a generator to what is to be generated.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Denied;
use super::store::{StoreLookup, VaultStore, is_foreign, vault_of_generator};
use crate::api::external_secrets::generator::{Password, PasswordSpec, ResultType, Uuid, VaultGenerator};
use crate::api::external_secrets::remote::GeneratorRef;
use crate::api::{CustomObject, ObjectRef};

/// Where generators are found.
pub trait GeneratorLookup: StoreLookup {
    /// The Password of that name, if it exists.
    fn password(&self, id: &ObjectRef) -> Option<Arc<Password>>;
    /// The UUID of that name, if it exists.
    fn uuid(&self, id: &ObjectRef) -> Option<Arc<Uuid>>;
    /// The VaultDynamicSecret of that name, if it exists.
    fn vault_generator(&self, id: &ObjectRef) -> Option<Arc<VaultGenerator>>;
}

/// A generator that is served.
#[derive(Clone, Debug)]
pub struct GeneratorPlan {
    /// Its kind, UID and generation, for a look whether something was made by the generator as it is.
    pub version: (String, String, i64),
    /// What is made.
    pub what: Generates,
}

/// What is made.
#[derive(Clone, Debug)]
pub enum Generates {
    /// Passwords.
    Passwords(PasswordSpec),
    /// A UUID.
    Uuid,
    /// What Vault answers.
    Vault(Box<VaultRequest>),
}

/// A request to Vault.
#[derive(Clone, Debug)]
pub struct VaultRequest {
    /// The server and the login.
    pub vault: VaultStore,
    /// API path without `/v1/`.
    pub path: String,
    /// What is done there.
    pub method: VaultMethod,
    /// Which part of the answer becomes the data.
    pub result: ResultType,
    /// An answer without content is no error.
    pub may_be_empty: bool,
}

/// What is done at a path of Vault.
#[derive(Clone, Debug, PartialEq)]
pub enum VaultMethod {
    /// `GET`.
    Read,
    /// `LIST`.
    List,
    /// `DELETE`.
    Delete,
    /// `PUT` of this body.
    Write(Value),
}

/// The kinds that ESO serves and this operator does not.
const NOT_SERVED: &str = "this operator serves Password, UUID and VaultDynamicSecret";

/// The generator that an object of `namespace` names. `None`: another operator serves it.
///
/// # Errors
/// Why it cannot be used.
pub fn generator(
    reference: &GeneratorRef,
    namespace: &str,
    lookup: &impl GeneratorLookup,
) -> Result<Option<GeneratorPlan>, Denied> {
    let GeneratorRef { kind, name, api_version } = reference;
    let group = api_version.as_deref().map_or(Password::KIND.api_version(), |of| of);
    if group != Password::KIND.api_version() {
        return Err(Denied::Invalid(format!("generators of {group:?} are not served: {NOT_SERVED}")));
    }
    let id = ObjectRef::new(namespace, name.as_str());
    let missing = || Denied::Missing(format!("generator {kind} {name:?} does not exist in namespace {namespace:?}"));
    let (version, what) = match kind.as_str() {
        "Password" => {
            let object = lookup.password(&id).ok_or_else(missing)?;
            (version_of(&*object), Generates::Passwords(object.spec.clone()))
        }
        "UUID" => (version_of(&*lookup.uuid(&id).ok_or_else(missing)?), Generates::Uuid),
        "VaultDynamicSecret" => {
            let object = lookup.vault_generator(&id).ok_or_else(missing)?;
            if is_foreign(object.spec.controller.as_deref(), lookup) {
                return Ok(None);
            }
            (version_of(&*object), Generates::Vault(Box::new(request(&object)?)))
        }
        other => return Err(Denied::Invalid(format!("generators of kind {other:?} are not served: {NOT_SERVED}"))),
    };
    Ok(Some(GeneratorPlan { version, what }))
}

fn version_of<K: CustomObject>(object: &K) -> (String, String, i64) {
    let meta = object.meta();
    (K::KIND.as_str().to_owned(), meta.uid.clone().unwrap_or_default(), meta.generation.unwrap_or(0))
}

fn request(object: &VaultGenerator) -> Result<VaultRequest, Denied> {
    let spec = &object.spec;
    let of = |why: String| {
        Denied::Invalid(format!(
            "generator VaultDynamicSecret {:?}: {why}",
            object.metadata.name.as_deref().unwrap_or("")
        ))
    };
    let path = spec.path.trim_start_matches('/');
    let is_wrong = |segment: &str| segment.is_empty() || segment == "." || segment == "..";
    if path.split('/').any(is_wrong) || path.contains(|c: char| c.is_control() || matches!(c, '?' | '#')) {
        return Err(of(format!(
            "spec.path {:?} is empty, or has an empty segment, one of dots, or a character that no path has",
            spec.path
        )));
    }
    let method = match spec.method.as_deref().unwrap_or("GET") {
        "GET" => VaultMethod::Read,
        "LIST" => VaultMethod::List,
        "DELETE" => VaultMethod::Delete,
        _ => VaultMethod::Write(match &spec.parameters {
            None | Some(Value::Null) => Value::Object(Map::new()),
            Some(Value::Object(members)) => Value::Object(members.clone()),
            Some(_) => return Err(of("spec.parameters is no JSON object".to_owned())),
        }),
    };
    let result = spec.result_type.clone().unwrap_or_default();
    if let ResultType::Unknown(other) = &result {
        return Err(of(format!("spec.resultType {other:?} is none of Data, Auth and Raw")));
    }
    let vault = vault_of_generator(object);
    // It has no member for the kind of provider.
    let vault = vault.map_err(|denied| of(denied.to_string().replace("spec.provider.vault", "spec.provider")))?;
    Ok(VaultRequest { vault, path: path.to_owned(), method, result, may_be_empty: spec.allow_empty_response })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(spec: Value) -> Result<VaultRequest, String> {
        let provider = json!({
            "server": "http://vault", "auth": { "tokenSecretRef": { "name": "token", "key": "token" } },
        });
        let mut full = json!({ "path": "/database/creds/app", "provider": provider });
        json_patch::merge(&mut full, &spec);
        let mut object = VaultGenerator::new("g", serde_json::from_value(full).unwrap());
        object.metadata.namespace = Some("ns".into());
        request(&object).map_err(|denied| denied.to_string())
    }

    #[test]
    fn a_request_is_what_the_generator_says() {
        let plain = checked(json!({})).unwrap();
        assert_eq!((plain.path.as_str(), &plain.method), ("database/creds/app", &VaultMethod::Read));
        assert_eq!((plain.result, plain.may_be_empty), (ResultType::Data, false));
        let method = |spec: Value| checked(spec).unwrap().method;
        assert_eq!(method(json!({ "method": "LIST", "parameters": { "a": 1 } })), VaultMethod::List);
        assert_eq!(method(json!({ "method": "DELETE", "parameters": { "a": 1 } })), VaultMethod::Delete);
        let body = json!({ "policies": ["a"], "ttl": "1h" });
        for name in ["POST", "PUT", "write"] {
            assert_eq!(method(json!({ "method": name, "parameters": body })), VaultMethod::Write(body.clone()));
        }
        assert_eq!(method(json!({ "method": "POST" })), VaultMethod::Write(json!({})));
    }

    #[test]
    fn what_cannot_work_is_told() {
        for (spec, text) in [
            (json!({ "path": "" }), "spec.path \"\" is empty"),
            (json!({ "path": "a/../b" }), "spec.path \"a/../b\" is empty, or has an empty segment, one of dots"),
            (json!({ "path": "a?b=c" }), "spec.path \"a?b=c\""),
            (json!({ "method": "POST", "parameters": [1] }), "spec.parameters is no JSON object"),
            (json!({ "resultType": "Other" }), "spec.resultType \"Other\" is none of Data, Auth and Raw"),
            (json!({ "provider": { "server": "vault:8200" } }), "spec.provider.server \"vault:8200\" is no URL"),
            (json!({ "provider": { "auth": { "tokenSecretRef": null } } }), "no valid auth method specified"),
        ] {
            let error = checked(spec.clone()).expect_err("it cannot work");
            assert!(error.contains(text) && error.contains("generator VaultDynamicSecret \"g\""), "{spec}: {error}");
        }
    }
}
