//! What Vault makes when a generator asks for it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::ProviderError;
use crate::api::external_secrets::generator::ResultType;
use crate::external_secret::{Data, value};
use crate::resolve::{VaultMethod, VaultRequest};
use crate::vault::{Envelope, ErrorKind, Read, Session, SessionError, lease};

/// Sends the request of a generator. The data, and how long its lease lasts; zero without one.
///
/// # Errors
/// Vault did not answer, or with nothing.
pub async fn generated(session: &Arc<Session>, request: &VaultRequest) -> Result<(Data, Duration), ProviderError> {
    let VaultRequest { vault, path, method, .. } = request;
    let answer = match method {
        VaultMethod::Read => {
            let read = Read { namespace: vault.namespace.clone(), path: path.clone(), version: None };
            session.read(&read, None).await
        }
        VaultMethod::List => session.list(&vault.namespace, path).await,
        VaultMethod::Delete => session.delete(&vault.namespace, path).await,
        VaultMethod::Write(body) => session.write(&vault.namespace, path, body).await,
    };
    let envelope = match answer {
        Ok((envelope, _)) => envelope,
        Err(SessionError::Request(error)) if error.kind == ErrorKind::NotFound && error.message.is_empty() => {
            Envelope::default()
        }
        Err(error) => return Err(ProviderError::Vault(error)),
    };
    let data = data(&envelope, &request.result, request.may_be_empty);
    Ok((data.map_err(ProviderError::Unusable)?, lasts(&envelope)))
}

/// How long what was made lasts: a lease, or a token.
fn lasts(envelope: &Envelope) -> Duration {
    let of_token = envelope.auth_members.get("lease_duration").and_then(Value::as_u64).map_or(Duration::ZERO, lease);
    envelope.lease_duration.max(of_token)
}

/// The part of an answer that becomes the data: each member is a key.
fn data(envelope: &Envelope, result: &ResultType, may_be_empty: bool) -> Result<Data, String> {
    if envelope.data.is_null() && envelope.auth_members.is_null() && envelope.request_id.is_empty() {
        return if may_be_empty { Ok(Data::new()) } else { Err("empty response from Vault".to_owned()) };
    }
    let members = match result {
        ResultType::Auth => auth(&envelope.auth_members),
        ResultType::Raw => raw(envelope),
        ResultType::Data | ResultType::Unknown(_) => match &*envelope.data {
            Value::Object(members) => members.clone(),
            Value::Null => Map::new(),
            _ => return Err("the data of the answer is no JSON object".to_owned()),
        },
    };
    Ok(members.iter().map(|(name, member)| (name.clone(), value::of_member(member))).collect())
}

/// The members that Vault's client for Go knows of a token.
fn auth(sent: &Value) -> Map<String, Value> {
    let (none, zero, no) = (json!(""), json!(0), json!(false));
    let members = [
        ("client_token", &none),
        ("accessor", &none),
        ("policies", &Value::Null),
        ("token_policies", &Value::Null),
        ("identity_policies", &Value::Null),
        ("metadata", &Value::Null),
        ("orphan", &no),
        ("entity_id", &none),
        ("lease_duration", &zero),
        ("renewable", &no),
        ("mfa_requirement", &Value::Null),
    ];
    if sent.is_null() {
        return Map::new();
    }
    let of = |(name, default): (&str, &Value)| {
        let member = sent.get(name).filter(|member| !member.is_null()).unwrap_or(default);
        (name.to_owned(), member.clone())
    };
    members.into_iter().map(of).collect()
}

/// The members that Vault's client for Go knows of an answer.
fn raw(envelope: &Envelope) -> Map<String, Value> {
    let mut members = Map::new();
    let mut add = |name: &str, member: Value| members.insert(name.to_owned(), member);
    add("request_id", json!(envelope.request_id));
    add("lease_id", json!(envelope.lease_id));
    add("lease_duration", json!(envelope.lease_duration.as_secs()));
    add("renewable", json!(envelope.renewable));
    add("data", (*envelope.data).clone());
    add("warnings", json!(envelope.warnings));
    if !envelope.auth_members.is_null() {
        add("auth", Value::Object(auth(&envelope.auth_members)));
    }
    add("mount_type", json!(envelope.mount_type));
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(answer: &str, result: ResultType) -> Vec<(String, String)> {
        let envelope = Envelope::parse(answer.as_bytes()).unwrap();
        let text = |value: Vec<u8>| String::from_utf8(value).unwrap();
        data(&envelope, &result, false).unwrap().into_iter().map(|(key, value)| (key, text(value))).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn each_member_of_the_data_is_a_key() {
        let answer = r#"{"request_id":"r","lease_id":"l","lease_duration":60,"data":{"username":"u","n":1.50,"ok":true,"none":null,"deep":{"b":[1],"a":"<"}}}"#;
        let expected =
            [("deep", r#"{"a":"\u003c","b":[1]}"#), ("n", "1.50"), ("none", ""), ("ok", "true"), ("username", "u")];
        assert_eq!(made(answer, ResultType::Data), pairs(&expected));
    }

    #[test]
    fn a_token_has_the_members_that_the_client_for_go_knows() {
        let answer = r#"{"request_id":"r","auth":{"client_token":"t","accessor":"a","policies":["p","q"],"metadata":null,"lease_duration":3600,"renewable":true,"entity_id":"","token_type":"service","orphan":true}}"#;
        let expected = [
            ("accessor", "a"),
            ("client_token", "t"),
            ("entity_id", ""),
            ("identity_policies", ""),
            ("lease_duration", "3600"),
            ("metadata", ""),
            ("mfa_requirement", ""),
            ("orphan", "true"),
            ("policies", r#"["p","q"]"#),
            ("renewable", "true"),
            ("token_policies", ""),
        ];
        assert_eq!(made(answer, ResultType::Auth), pairs(&expected));
        assert_eq!(made(answer, ResultType::Data), []);
    }

    #[test]
    fn a_raw_answer_has_the_members_that_the_client_for_go_knows() {
        let answer = r#"{"request_id":"r","lease_id":"l","lease_duration":60,"renewable":true,"data":{"a":"b"},"warnings":["w"],"auth":null,"wrap_info":null,"mount_type":"database"}"#;
        let expected = [
            ("data", r#"{"a":"b"}"#),
            ("lease_duration", "60"),
            ("lease_id", "l"),
            ("mount_type", "database"),
            ("renewable", "true"),
            ("request_id", "r"),
            ("warnings", r#"["w"]"#),
        ];
        assert_eq!(made(answer, ResultType::Raw), pairs(&expected));
    }

    #[test]
    fn a_lease_or_a_token_says_how_long_it_lasts() {
        for (answer, expected) in [
            (r#"{"lease_duration":60}"#, 60),
            (r#"{"auth":{"client_token":"t","lease_duration":30}}"#, 30),
            (r#"{"data":{}}"#, 0),
        ] {
            assert_eq!(lasts(&Envelope::parse(answer.as_bytes()).unwrap()).as_secs(), expected, "{answer}");
        }
    }

    #[test]
    fn an_answer_without_content_is_an_error_unless_it_may_be_empty() {
        let empty = Envelope::default();
        assert_eq!(data(&empty, &ResultType::Data, false), Err("empty response from Vault".to_owned()));
        assert_eq!(data(&empty, &ResultType::Raw, true), Ok(Data::new()));
    }
}
