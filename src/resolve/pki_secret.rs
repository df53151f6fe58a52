//! From a VaultPKISecret to the request for its certificate.

use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::plan::{auth_of, check_destination, recorded_namespace, vault_namespace};
use super::{Lookup, ObjectRef, Plan, PlanError, ResolvedTransformation, transformation};
use crate::api::{Keystore, PKIOrigin, SecretKeyRef, VaultPKISecret, VaultPKISecretSpec};
use crate::gocompat::GoDuration;

/// The type of Secrets with `tls.crt` and `tls.key`.
const TLS_TYPE: &str = "kubernetes.io/tls";
/// The keys that Kubernetes asks for in such a Secret.
const TLS_KEYS: [&str; 2] = ["tls.crt", "tls.key"];

/// The request for a certificate, and what becomes of the answer.
#[derive(Clone, Debug)]
pub struct PkiRequest {
    /// The body of the request.
    pub body: Value,
    /// Where certificates are issued, as a status has it.
    pub origin: PKIOrigin,
    /// Replaced certificates are revoked.
    pub revoke: bool,
    /// The format of the answer, pem when unset.
    pub format: Option<String>,
    /// How many seconds before its end the certificate is replaced; 0: at a part of its time.
    pub expiry_offset: i64,
    /// The Secret gets `tls.crt` and `tls.key`.
    pub tls: bool,
    /// Keystores for the Secret.
    pub keystores: Vec<KeystoreRequest>,
    /// Where and how often to look for another certificate of the issuer.
    pub issuer: Option<IssuerCheck>,
    /// Of everything that decides what the Secret holds: where it changes, another certificate is needed. It outlives
    /// the process.
    pub digest: String,
}

/// A keystore for the Secret.
#[derive(Clone, Debug)]
pub struct KeystoreRequest {
    /// JKS instead of PKCS#12.
    pub jks: bool,
    /// Alias of the key; the usual one when unset.
    pub alias: Option<String>,
    /// Where its password is.
    pub password: SecretKeyRef,
}

/// Looks for another certificate of the issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerCheck {
    /// API path of the issuer.
    pub path: String,
    /// Between two looks.
    pub interval: Duration,
}

/// Resolves a VaultPKISecret.
///
/// # Errors
/// What of its spec, or of the objects that it names, cannot work.
pub fn pki_secret(object: &VaultPKISecret, lookup: &impl Lookup) -> Result<Plan<PkiRequest>, PlanError> {
    let spec = &object.spec;
    let id = ObjectRef::of(&object.metadata);
    let auth = auth_of(spec.vault_auth_ref.as_deref(), &id, lookup)?;
    let transformation = transformation(&spec.destination.transformation, &id, lookup)?;
    let mount = spec.mount.trim_matches('/');
    if mount.is_empty() {
        return Err(PlanError::Invalid("spec.mount must be set".into()));
    }
    let role = segment("spec.role", &spec.role)?;
    let issuer = spec.issuer_ref.as_deref().map(issuer_name).transpose()?;
    let path = match issuer {
        Some(issuer) => format!("{mount}/issuer/{issuer}/issue/{role}"),
        None => format!("{mount}/issue/{role}"),
    };
    let expiry_offset = duration("expiryOffset", spec.expiry_offset.as_deref())?.unwrap_or_default();
    let issuer = duration("issuerRefreshAfter", spec.issuer_refresh_after.as_deref())?
        .filter(|interval| !interval.is_zero())
        .map(|interval| IssuerCheck {
            path: format!("{mount}/issuer/{}/json", issuer.unwrap_or("default")),
            interval: interval.max(lookup.min_refresh_after()),
        });
    check_destination(&spec.destination)?;
    let tls = wants_tls(spec, &transformation)?;
    let vault_namespace = vault_namespace(spec.namespace.as_deref(), &auth);
    let body = body(spec);
    let digest = digest(spec, &vault_namespace, &path, &body, &transformation);
    let source = PkiRequest {
        body,
        origin: PKIOrigin { mount: Some(mount.to_owned()), namespace: Some(recorded_namespace(&vault_namespace)) },
        revoke: spec.revoke,
        format: spec.format.clone(),
        expiry_offset: expiry_offset.as_secs().try_into().unwrap_or(i64::MAX),
        tls,
        keystores: keystores(spec)?,
        issuer,
        digest,
    };
    Ok(Plan { auth, vault_namespace, path, transformation, source })
}

/// What Vault is asked for. What is not set is left out: Vault takes an empty text for none, OpenBao refuses it.
fn body(spec: &VaultPKISecretSpec) -> Value {
    let mut body = Map::new();
    let texts = [
        ("common_name", &spec.common_name),
        ("ttl", &spec.ttl),
        ("not_after", &spec.not_after),
        ("format", &spec.format),
        ("private_key_format", &spec.private_key_format),
    ];
    for (name, text) in texts {
        body.extend(text.as_ref().map(|text| (name.to_owned(), json!(text))));
    }
    let lists = [
        ("alt_names", &spec.alt_names),
        ("ip_sans", &spec.ip_sans),
        ("uri_sans", &spec.uri_sans),
        ("other_sans", &spec.other_sans),
        ("user_ids", &spec.user_ids),
    ];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        body.insert(name.to_owned(), json!(list.join(",")));
    }
    body.insert("exclude_cn_from_sans".to_owned(), json!(spec.exclude_cn_from_sans));
    body.insert("remove_roots_from_chain".to_owned(), json!(true));
    Value::Object(body)
}

/// A name that is one part of a path.
fn segment<'a>(field: &str, text: &'a str) -> Result<&'a str, PlanError> {
    let text = text.trim_matches('/');
    let is_name = |c: char| c.is_alphanumeric() || "-_. @".contains(c);
    if text.is_empty() {
        Err(PlanError::Invalid(format!("{field} must be set")))
    } else if !text.chars().all(is_name) || text.starts_with('.') {
        Err(PlanError::Invalid(format!("{field} must be a name, not a path")))
    } else {
        Ok(text)
    }
}

/// The issuer: before VSO 1.6, `issue` had to be written behind its name.
fn issuer_name(text: &str) -> Result<&str, PlanError> {
    let text = text.trim_matches('/');
    segment("spec.issuerRef", text.strip_suffix("/issue").unwrap_or(text))
}

fn duration(field: &str, text: Option<&str>) -> Result<Option<Duration>, PlanError> {
    let Some(text) = text else { return Ok(None) };
    let invalid = |why: String| {
        PlanError::Invalid(format!("Field validation failed, err=invalid value {text:?} for .spec.{field}, {why}"))
    };
    let parsed = GoDuration::parse(text).map_err(|error| invalid(error.to_string()))?;
    if parsed.0 < 0 { Err(invalid("it must not be negative".into())) } else { Ok(Some(parsed.as_std())) }
}

/// Whether the Secret gets `tls.crt` and `tls.key`: with templates, these have to make them.
fn wants_tls(spec: &VaultPKISecretSpec, transformation: &ResolvedTransformation) -> Result<bool, PlanError> {
    let keys: Vec<&str> = transformation.templates.iter().filter_map(|template| template.key.as_deref()).collect();
    let is_tls = spec.destination.type_.as_deref() == Some(TLS_TYPE);
    if !is_tls || keys.is_empty() {
        return Ok(is_tls);
    }
    let missing: Vec<&str> = TLS_KEYS.into_iter().filter(|key| !keys.contains(key)).collect();
    if missing.is_empty() {
        return Ok(false);
    }
    let text = format!(
        "spec.destination.type is {TLS_TYPE}, and no template makes {}: with templates, there is no other source for them",
        missing.join(" and ")
    );
    Err(PlanError::Destination(text))
}

fn keystores(spec: &VaultPKISecretSpec) -> Result<Vec<KeystoreRequest>, PlanError> {
    let keystores = spec.keystores.iter().flat_map(|all| [("pkcs12", &all.pkcs12), ("jks", &all.jks)]);
    let request = |(name, keystore): (&str, &Keystore)| {
        let password = keystore.password_secret_ref.clone();
        if password.name.is_empty() || password.key.is_empty() {
            let text = format!("spec.keystores.{name}.passwordSecretRef needs a name and a key");
            return Err(PlanError::Invalid(text));
        }
        Ok(KeystoreRequest { jks: name == "jks", alias: keystore.alias.clone(), password })
    };
    keystores.filter_map(|(name, keystore)| keystore.as_ref().map(|found| (name, found))).map(request).collect()
}

fn digest(
    spec: &VaultPKISecretSpec,
    vault_namespace: &str,
    path: &str,
    body: &Value,
    transformation: &ResolvedTransformation,
) -> String {
    let templates = transformation.templates.iter();
    let templates = templates.map(|template| json!([template.key, template.name, template.text]));
    let text = json!([
        vault_namespace,
        path,
        body,
        [spec.destination.name, spec.destination.type_],
        templates.collect::<Vec<_>>(),
        [transformation.includes, transformation.excludes],
        spec.destination.transformation.exclude_raw,
        spec.keystores,
    ]);
    hex::encode(Sha256::digest(text.to_string()))
}

#[cfg(test)]
mod tests;
