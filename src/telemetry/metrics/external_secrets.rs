//! ESO's own metrics, of which its dashboards are made. They are there where the kinds of `external-secrets.io` are
//! served.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{Error, IntCounterVec, IntGaugeVec};

use super::register::Register;
use crate::api::external_secrets::{
    ClusterExternalSecret, ClusterPushSecret, ClusterSecretStore, ExternalSecret, PushSecret, SecretStore,
};
use crate::api::{CustomObject as _, Key, Kind, ObjectRef};

const KINDS: [Kind; 6] = [
    ExternalSecret::KIND,
    SecretStore::KIND,
    ClusterSecretStore::KIND,
    PushSecret::KIND,
    ClusterExternalSecret::KIND,
    ClusterPushSecret::KIND,
];

/// A condition of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectCondition {
    /// The kind of the object.
    pub kind: Kind,
    /// The object.
    pub id: ObjectRef,
    /// Type of the condition.
    pub type_: String,
    /// Its status.
    pub status: String,
}

/// The metrics of the objects of `external-secrets.io`, and of the providers that they are read from.
pub struct ExternalSecretMetrics {
    kinds: Vec<KindMetrics>,
    sync_calls: IntCounterVec,
    sync_errors: IntCounterVec,
    provider_calls: ProviderCalls,
    runs: Mutex<HashMap<Key, Runs>>,
}

/// The metrics of the objects of one kind.
struct KindMetrics {
    condition: IntGaugeVec,
    duration: IntGaugeVec,
}

/// The runs of an object.
#[derive(Clone, Copy, Default)]
struct Runs {
    last: Duration,
    all: u64,
    failed: u64,
}

/// Counts requests to providers. Cheap to clone.
#[derive(Clone)]
pub struct ProviderCalls(IntCounterVec);

/// ESO's name of Vault, for [`ProviderCalls`].
pub(super) const VAULT: &str = "HashiCorp/Vault";
/// ESO's name of Kubernetes, for [`ProviderCalls`].
pub const KUBERNETES: &str = "Kubernetes";

impl ProviderCalls {
    /// Counts a request, by ESO's names of the provider and of what is asked of it.
    pub fn count(&self, provider: &str, call: &str, succeeded: bool) {
        let status = if succeeded { "success" } else { "error" };
        self.0.with_label_values(&[provider, call, status]).inc();
    }
}

impl ExternalSecretMetrics {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, Error> {
        const OBJECT: &[&str] = &["name", "namespace"];
        const CONDITION: &[&str] = &["name", "namespace", "condition", "status"];
        let of_kind = |kind: Kind| {
            let kind = kind.controller();
            Ok::<_, Error>(KindMetrics {
                condition: register.gauges(
                    &format!("{kind}_status_condition"),
                    "1 for the status that a condition of an object has, 0 for the opposite.",
                    CONDITION,
                )?,
                duration: register.gauges(
                    &format!("{kind}_reconcile_duration"),
                    "Time of the last reconcile of an object, in nanoseconds.",
                    OBJECT,
                )?,
            })
        };
        let provider_calls = register.counters(
            "externalsecret_provider_api_calls_count",
            "Requests to providers, by what is asked and how that ended.",
            &["provider", "call", "status"],
        )?;
        Ok(Self {
            kinds: KINDS.into_iter().map(of_kind).collect::<Result<_, _>>()?,
            sync_calls: register.counters(
                "externalsecret_sync_calls_total",
                "Reconciles of an ExternalSecret.",
                OBJECT,
            )?,
            sync_errors: register.counters(
                "externalsecret_sync_calls_error",
                "Reconciles of an ExternalSecret that failed.",
                OBJECT,
            )?,
            provider_calls: ProviderCalls(provider_calls),
            runs: Mutex::default(),
        })
    }

    /// What requests to providers are counted with.
    pub fn provider_calls(&self) -> ProviderCalls {
        self.provider_calls.clone()
    }

    /// A run of an object, of whatever kind, has ended.
    pub fn ended(&self, key: &Key, failed: bool, took: Duration) {
        if !KINDS.contains(&key.kind) {
            return;
        }
        let mut runs = self.runs.lock();
        let runs = runs.entry(key.clone()).or_default();
        (runs.last, runs.all, runs.failed) = (took, runs.all + 1, runs.failed + u64::from(failed));
    }

    /// Shows how the objects are now. Those without a condition are gone, or were never looked at.
    pub(super) fn set(&self, conditions: &[ObjectCondition]) {
        for KindMetrics { condition, duration } in &self.kinds {
            condition.reset();
            duration.reset();
        }
        self.sync_calls.reset();
        self.sync_errors.reset();
        let mut runs = self.runs.lock();
        let mut known = HashMap::new();
        for ObjectCondition { kind, id, type_, status } in conditions {
            let Some(of) = KINDS.iter().position(|known| known == kind) else { continue };
            let of = &self.kinds[of];
            for shown in ["True", "False"] {
                let labels = [&*id.name, &*id.namespace, type_.as_str(), shown];
                of.condition.with_label_values(&labels).set((status == shown).into());
            }
            let key = Key { kind: *kind, id: id.clone() };
            if let Some(found) = runs.remove(&key) {
                let object = [&*id.name, &*id.namespace];
                of.duration.with_label_values(&object).set(i64::try_from(found.last.as_nanos()).unwrap_or(i64::MAX));
                if *kind == ExternalSecret::KIND {
                    self.sync_calls.with_label_values(&object).inc_by(found.all);
                    self.sync_errors.with_label_values(&object).inc_by(found.failed);
                }
                known.insert(key, found);
            }
        }
        *runs = known;
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, key: &Key) {
        self.runs.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Metrics, Snapshot};
    use super::*;
    use crate::settings::Settings;

    fn condition(kind: Kind, name: &str, status: &str) -> ObjectCondition {
        let is_namespaced = [ExternalSecret::KIND, SecretStore::KIND, PushSecret::KIND].contains(&kind);
        let id = ObjectRef::new(if is_namespaced { "ns" } else { "" }, name);
        ObjectCondition { kind, id, type_: "Ready".into(), status: status.into() }
    }

    #[test]
    fn objects_are_shown_while_they_are_there() {
        let settings = Settings { external_secrets: true, ..Settings::default() };
        let metrics = Metrics::new(&settings).unwrap();
        let own = metrics.external_secrets.as_ref().unwrap();
        let key = |kind: Kind, name: &str| Key { kind, id: condition(kind, name, "").id };
        own.ended(&key(ExternalSecret::KIND, "a"), false, Duration::from_nanos(7));
        own.ended(&key(ExternalSecret::KIND, "a"), true, Duration::from_nanos(9));
        own.ended(&key(ClusterSecretStore::KIND, "c"), false, Duration::from_nanos(5));
        own.ended(&key(PushSecret::KIND, "p"), true, Duration::from_nanos(4));
        own.ended(&key(ExternalSecret::KIND, "gone"), false, Duration::from_nanos(5));
        own.provider_calls().count(VAULT, "Login", true);
        let conditions = vec![
            condition(ExternalSecret::KIND, "a", "False"),
            condition(SecretStore::KIND, "s", "True"),
            condition(ClusterSecretStore::KIND, "c", "True"),
            condition(PushSecret::KIND, "p", "False"),
            condition(ClusterExternalSecret::KIND, "e", "False"),
            condition(ClusterPushSecret::KIND, "q", "True"),
        ];
        let snapshot = Snapshot { conditions, ..Snapshot::default() };
        for _ in 0..2 {
            let text = metrics.render(&snapshot);
            for line in [
                r#"externalsecret_status_condition{condition="Ready",name="a",namespace="ns",status="False"} 1"#,
                r#"externalsecret_status_condition{condition="Ready",name="a",namespace="ns",status="True"} 0"#,
                r#"secretstore_status_condition{condition="Ready",name="s",namespace="ns",status="True"} 1"#,
                r#"clustersecretstore_status_condition{condition="Ready",name="c",namespace="",status="True"} 1"#,
                r#"pushsecret_status_condition{condition="Ready",name="p",namespace="ns",status="False"} 1"#,
                r#"clusterexternalsecret_status_condition{condition="Ready",name="e",namespace="",status="False"} 1"#,
                r#"clusterpushsecret_status_condition{condition="Ready",name="q",namespace="",status="True"} 1"#,
                r#"pushsecret_reconcile_duration{name="p",namespace="ns"} 4"#,
                r#"externalsecret_reconcile_duration{name="a",namespace="ns"} 9"#,
                r#"clustersecretstore_reconcile_duration{name="c",namespace=""} 5"#,
                r#"externalsecret_sync_calls_total{name="a",namespace="ns"} 2"#,
                r#"externalsecret_sync_calls_error{name="a",namespace="ns"} 1"#,
                r#"externalsecret_provider_api_calls_count{call="Login",provider="HashiCorp/Vault",status="success"} 1"#,
            ] {
                assert!(text.contains(line), "{line} is not in {text}");
            }
            assert!(!text.contains("gone"));
        }
        assert_eq!(own.runs.lock().len(), 3, "what is gone takes no memory");
        assert!(!metrics.render(&Snapshot::default()).contains("name=\"a\""));
    }

    #[test]
    fn without_the_front_end_there_is_none_of_them() {
        let metrics = Metrics::new(&Settings::default()).unwrap();
        assert!(metrics.external_secrets.is_none());
        assert!(!metrics.render(&Snapshot::default()).contains("externalsecret_"));
    }
}
