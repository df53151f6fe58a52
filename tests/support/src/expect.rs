//! What tests of bad input and faults expect of every object, and of the operator as a whole.

use base64::Engine as _;
use serde_json::Value;

use crate::environment::eventually;
use crate::operator::Operator;
use crate::tenant::Tenant;

/// Arguments of an operator that tries again sooner than by default, where a test has to wait for that.
pub const FAST_RETRY: [&str; 2] = ["--backoff-initial-interval=1s", "--backoff-max-interval=3s"];

/// Arguments of an operator that serves without a Lease.
pub const NO_ELECTION: [&str; 1] = ["--leader-elect=false"];

const KIND: &str = "vaultstaticsecret";

impl Tenant<'_> {
    /// Applies objects, those without a namespace in the tenant's.
    #[track_caller]
    pub fn apply_all(&self, objects: &[Value]) {
        objects.iter().for_each(|object| self.apply(object));
    }

    /// The spec of the VaultAuth that works, with these members instead.
    pub fn auth(&self, name: &str, members: Value) -> Value {
        let mut spec = self.auth_spec();
        for (key, value) in members.as_object().expect("an object") {
            spec[key] = value.clone();
        }
        self.object("VaultAuth", name, spec)
    }

    /// Waits until a condition has this status and a message with this text in it. Gives the condition.
    #[track_caller]
    pub fn wait_condition(&self, kind: &str, name: &str, type_: &str, status: &str, text: &str) -> Value {
        self.wait_condition_of(kind, name, (type_, status, None), &[text])
    }

    /// Waits until a condition has this status, a message with each of these texts, and this reason if one is given.
    /// What shows an outage first need not be
    /// what shows it best: a connection that breaks is followed by one that is refused.
    #[track_caller]
    pub fn wait_condition_of(
        &self,
        kind: &str,
        name: &str,
        (type_, status, reason): (&str, &str, Option<&str>),
        texts: &[&str],
    ) -> Value {
        eventually(&format!("{type_}={status} {} of {kind} {name} with {texts:?}", reason.unwrap_or_default()), || {
            let found = self.condition(kind, name, type_).map_err(|e| e.to_string())?;
            let message = found["message"].as_str().unwrap_or_default();
            let fits = found["status"] == status
                && reason.is_none_or(|reason| found["reason"] == reason)
                && texts.iter().all(|text| message.contains(text));
            if fits { Ok(found) } else { Err(found.to_string()) }
        })
    }

    /// Waits until a VaultStaticSecret is synced and says so.
    #[track_caller]
    pub fn wait_synced(&self, name: &str) {
        self.wait_condition(KIND, name, "SecretSynced", "True", "");
        self.wait_condition(KIND, name, "Ready", "True", "");
    }

    /// Waits until a VaultStaticSecret says in its conditions and in an event that it is not synced: with this reason,
    /// and each of these texts. Gives the message.
    #[track_caller]
    pub fn wait_failure(&self, name: &str, reason: &str, texts: &[&str]) -> String {
        let first = texts.first().copied().unwrap_or("");
        let condition = self.wait_condition_of(KIND, name, ("SecretSynced", "False", Some(reason)), texts);
        let message = condition["message"].as_str().unwrap_or_default().to_owned();
        self.wait_condition(KIND, name, "Ready", "False", "");
        self.wait_event(name, reason, first);
        message
    }

    /// Waits until an object of any kind is not ready, with this reason and each of these texts, in its condition and
    /// in an event.
    #[track_caller]
    pub fn wait_not_ready(&self, kind: &str, name: &str, reason: &str, texts: &[&str]) {
        let first = texts.first().copied().unwrap_or("");
        self.wait_condition_of(kind, name, ("Ready", "False", Some(reason)), texts);
        eventually(&format!("an event about {name} with {first:?}"), || {
            let events = self.list("events");
            let about = events.iter().filter(|e| e["involvedObject"]["name"] == name);
            let messages: Vec<&str> = about.filter_map(|e| e["message"].as_str()).collect();
            if messages.iter().any(|m| m.contains(first)) { Ok(()) } else { Err(messages.join("; ")) }
        });
    }

    /// The version of an object. Equal versions mean that it was not written in between.
    #[track_caller]
    pub fn version(&self, kind: &str, name: &str) -> String {
        let object = self.get(kind, name).expect("the object");
        object["metadata"]["resourceVersion"].as_str().expect("a version").to_owned()
    }

    /// That none of these values, and no token, is in the log, in an event, in a status or in a metric.
    #[track_caller]
    pub fn assert_nothing_leaked(&self, operator: &Operator, values: &[&str]) {
        let kinds = ["vaultstaticsecrets", "vaultauths", "vaultconnections", "secrettransformations"];
        let stores = ["externalsecrets", "pushsecrets", "secretstores"];
        let objects = kinds.iter().chain(&stores).flat_map(|kind| self.list(kind));
        let statuses = objects.map(|object| object["status"].to_string());
        let events = self.list("events").into_iter().map(|event| event.to_string());
        let places = [
            ("the log", operator.log()),
            ("a status", statuses.collect()),
            ("an event", events.collect()),
            ("the metrics", operator.metrics()),
        ];
        let base64 = values.iter().map(|v| base64::engine::general_purpose::STANDARD.encode(v));
        let forbidden: Vec<String> = values.iter().map(|v| (*v).to_owned()).chain(base64).collect();
        for (place, text) in &places {
            assert!(!text.is_empty(), "{place}: nothing to look at");
            for value in forbidden.iter().map(String::as_str).chain(["hvs.", "eyJhbGciOi"]) {
                assert!(!text.contains(value), "{value:?} is in {place}");
            }
            assert!(!has_openbao_token(text), "a token of OpenBao is in {place}");
        }
    }
}

/// Whether there is a token of OpenBao in a text: `s.` and 24 letters or digits, as a word.
fn has_openbao_token(text: &str) -> bool {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    let is_token = |word: &str| word.strip_prefix("s.").is_some_and(|id| id.len() >= 24 && !id.contains('.'));
    words.into_iter().any(is_token)
}
