//! VaultPKISecret: a certificate that Vault issues.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{
    DURATION_PATTERN, Destination, RolloutRestartTarget, conditions, conditions_schema, is_default, non_empty,
};
use super::condition::Condition;
use super::kind::{CustomObject, Kind, KindNames, drop_last_applied, drop_managed_fields};
use super::owner::{OwnerStatus, SecretOwner};

/// Durations as [`DURATION_PATTERN`] has them, and days, which only Vault reads.
const TTL_PATTERN: &str = r"^([0-9]+(\.[0-9]+)?(s|m|h|d))$";

/// The certificate to ask for, the destination in Kubernetes, and when to renew.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[kube(
    group = "secrets.hashicorp.com",
    version = "v1beta1",
    kind = "VaultPKISecret",
    doc = "Keeps a Secret filled with a certificate that Vault issues.",
    namespaced,
    status = "VaultPKISecretStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(true, serde(default))"
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultPKISecretSpec {
    /// VaultAuth to log in with, as `name` (in the namespace of this object) or `namespace/name`. The one named
    /// `default` in the operator's namespace when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub vault_auth_ref: Option<String>,
    /// Vault namespace of the PKI engine, that of the login when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Path of the PKI mount.
    pub mount: String,
    /// Role of the PKI engine that the certificate is issued for.
    pub role: String,
    /// Revoke the certificate when it is replaced and when this object is deleted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub revoke: bool,
    /// Empty the destination when this object is deleted. Only for one that this object did not create.
    #[serde(default, skip_serializing_if = "is_default")]
    pub clear: bool,
    /// How long before its end the certificate is replaced, such as `24h`. When unset, or 0, it is replaced when a
    /// third of its time is left. Up to a twentieth of its time is taken off, so that certificates are not replaced
    /// together, and ten minutes are left for clocks that differ.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION_PATTERN))]
    pub expiry_offset: Option<String>,
    /// Issuer that signs, that of the role when unset. `<issuer>/issue`, which older versions of VSO need, is the same.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<String>,
    /// Workloads in the namespace of this object to restart when the certificate is replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollout_restart_targets: Vec<RolloutRestartTarget>,
    /// The Secret to fill.
    pub destination: Destination,
    /// Common name of the subject.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub common_name: Option<String>,
    /// DNS names and mail addresses of the subject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alt_names: Vec<String>,
    /// IP addresses of the subject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_sans: Vec<String>,
    /// URIs of the subject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uri_sans: Vec<String>,
    /// Other names of the subject, as `oid;type:value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_sans: Vec<String>,
    /// User IDs of the subject.
    #[serde(rename = "userIDs", default, skip_serializing_if = "Vec::is_empty")]
    pub user_ids: Vec<String>,
    /// How long the certificate is valid, such as `90d`. The role says when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = TTL_PATTERN))]
    pub ttl: Option<String>,
    /// Format of the answer: pem, der or pem_bundle.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Format of the private key: der or pkcs8.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub private_key_format: Option<String>,
    /// End of the certificate as a point in time (RFC 3339), in place of `ttl`.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// Leave the common name out of the alternative names.
    #[serde(rename = "excludeCNFromSans", default, skip_serializing_if = "is_default")]
    pub exclude_cn_from_sans: bool,
    /// How often to look whether the issuer has another certificate, such as `1h`: `issuerRef`, or the mount's default.
    /// When it has, a certificate is issued anew. Never when unset. VSO does not have this.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION_PATTERN))]
    pub issuer_refresh_after: Option<String>,
    /// Keystores of Java to put into the Secret beside the certificate. VSO does not have them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keystores: Option<Keystores>,
}

/// Keystores of Java, with the certificate, its key and what signed it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct Keystores {
    /// PKCS#12: `keystore.p12` and `truststore.p12`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pkcs12: Option<Keystore>,
    /// The form before Java 9: `keystore.jks` and `truststore.jks`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jks: Option<Keystore>,
}

/// A keystore.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct Keystore {
    /// Where its password is, in the namespace of this object. Another password counts from the next certificate on.
    pub password_secret_ref: SecretKeyRef,
    /// Alias of the key, `certificate` when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
}

/// A key of a Secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    pub name: String,
    /// Key in its data.
    pub key: String,
}

/// The certificate that is in the Secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultPKISecretStatus {
    /// Its serial number.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// When it ends, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration: Option<i64>,
    /// From when on it is replaced, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal: Option<i64>,
    /// The metadata.generation that was last synced.
    pub last_generation: i64,
    /// When it was issued, in seconds since 1970.
    pub last_rotation: i64,
    /// Keyed digest (HMAC-SHA256, base64) of the data that workloads were last restarted for.
    #[serde(rename = "secretMAC", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub secret_mac: Option<String>,
    /// Whether the last sync worked.
    pub valid: bool,
    /// Why it did not.
    pub error: String,
    /// What more is known of the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issue: Option<PKIIssue>,
    /// A certificate that was issued and is being put into the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<PKIPendingCertificate>,
    /// Certificates that are not used any more, and are still to be revoked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced_certificates: Vec<PKIReplacedCertificate>,
    /// Conditions of the sync.
    #[serde(default, deserialize_with = "conditions", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// How a certificate was issued.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct PKIIssue {
    /// Keyed digest (HMAC-SHA256, base64) of the data of the Secret with this certificate.
    #[serde(rename = "secretMAC", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub secret_mac: Option<String>,
    /// Digest (SHA-256) of what was asked for, and of what becomes of it.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub request_digest: Option<String>,
    /// Seconds by which the clock of the operator was ahead of that of Vault.
    #[serde(default, skip_serializing_if = "is_default")]
    pub clock_difference: i64,
    /// Fingerprint (SHA-256) of the certificate of the issuer, where that is compared.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub issuer_fingerprint: Option<String>,
    /// Where it was issued.
    #[serde(flatten)]
    pub origin: PKIOrigin,
}

/// Where a certificate was issued. What is not recorded is where the spec leads to.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct PKIOrigin {
    /// The mount of the engine that has issued it.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// Vault namespace of that mount, `root` for the topmost one.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// A certificate that is to be revoked.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct PKIReplacedCertificate {
    /// Its serial number.
    pub serial_number: String,
    /// Where it was issued.
    #[serde(flatten)]
    pub origin: PKIOrigin,
}

/// A certificate that is not known to be in the Secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct PKIPendingCertificate {
    /// Its serial number.
    pub serial_number: String,
    /// When it ends, in seconds since 1970.
    pub expiration: i64,
    /// When it was issued, in seconds since 1970.
    pub last_rotation: i64,
    /// What more is known of it.
    pub issue: PKIIssue,
}

impl CustomObject for VaultPKISecret {
    const KIND: Kind = Kind::new(&KindNames {
        api_version: super::API_VERSION,
        kind: "VaultPKISecret",
        controller: "vaultpkisecret",
        component: "VaultPKISecret",
    });

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    fn prune(&mut self) {
        drop_managed_fields(self);
        let transformation = &self.spec.destination.transformation;
        // Templates may print any annotation of the object.
        if transformation.templates.is_empty() && transformation.transformation_refs.is_empty() {
            drop_last_applied(self);
        }
    }
}

impl SecretOwner for VaultPKISecret {
    fn kind(&self) -> Kind {
        Self::KIND
    }

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn vault_auth_ref(&self) -> Option<&str> {
        self.spec.vault_auth_ref.as_deref()
    }

    fn destination(&self) -> &Destination {
        &self.spec.destination
    }

    fn restart_targets(&self) -> &[RolloutRestartTarget] {
        &self.spec.rollout_restart_targets
    }

    fn wants_instant_updates(&self) -> bool {
        false
    }

    fn keeps_digest(&self) -> bool {
        true
    }

    fn recorded_mac(&self) -> Option<&str> {
        self.status.as_ref()?.secret_mac.as_deref()
    }

    fn applied_generation(&self) -> i64 {
        self.status.as_ref().map_or(0, |status| status.last_generation)
    }

    fn owner_conditions(&self) -> &[Condition] {
        self.conditions()
    }
}

impl OwnerStatus for VaultPKISecretStatus {
    fn set_conditions(&mut self, conditions: Vec<Condition>) {
        self.conditions = conditions;
    }

    fn set_generation(&mut self, generation: i64) {
        self.last_generation = generation;
    }

    fn set_recorded_mac(&mut self, mac: Option<String>) {
        self.secret_mac = mac;
    }
}
