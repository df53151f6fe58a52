//! Leases as an administrator sees them: issued, renewed and revoked behind the operator's back.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testenv::Environment;

/// What an engine has answered with.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Its ID; empty if the answer has none.
    pub id: String,
    /// Seconds that it has left.
    pub seconds: u64,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// The credentials.
    pub data: Value,
    /// What Vault remarks, such as a TTL that is cut.
    pub warnings: Value,
}

impl Lease {
    /// Reads credentials.
    pub fn read(environment: &Environment, path: &str) -> Result<Self> {
        Self::of(environment.vault("GET", path, None)?)
    }

    /// Writes parameters, and takes the credentials that are answered.
    pub fn write(environment: &Environment, path: &str, parameters: Value) -> Result<Self> {
        Self::of(environment.vault("PUT", path, Some(parameters))?)
    }

    /// Renews it for so many seconds more, if its engine allows them.
    pub fn renew(&self, environment: &Environment, seconds: u64) -> Result<Self> {
        let body = json!({ "lease_id": self.id, "increment": seconds });
        Self::of(environment.vault("PUT", "sys/leases/renew", Some(body))?)
    }

    /// Revokes it, and waits until that is done.
    pub fn revoke(&self, environment: &Environment) -> Result<()> {
        revoke(environment, &self.id)
    }

    /// A member of the credentials that is a text.
    pub fn text(&self, member: &str) -> &str {
        self.data[member].as_str().unwrap_or_else(|| panic!("the credentials have no {member}"))
    }

    fn of(answer: Value) -> Result<Self> {
        Ok(Self {
            id: answer["lease_id"].as_str().context("no lease_id")?.to_owned(),
            seconds: answer["lease_duration"].as_u64().context("no lease_duration")?,
            renewable: answer["renewable"].as_bool().context("no renewable")?,
            data: answer["data"].clone(),
            warnings: answer["warnings"].clone(),
        })
    }
}

/// Revokes the lease with this ID, and waits until that is done.
pub fn revoke(environment: &Environment, id: &str) -> Result<()> {
    let body = json!({ "lease_id": id, "sync": true });
    environment.vault("PUT", "sys/leases/revoke", Some(body))?;
    Ok(())
}

/// IDs of the leases that credentials of this path have, such as `database/creds/app`.
pub fn lease_ids(environment: &Environment, path: &str) -> Result<Vec<String>> {
    let list = format!("sys/leases/lookup/{path}");
    match environment.vault_raw("LIST", &list, None, environment.vault_token())? {
        (404, _) => Ok(Vec::new()),
        (200, answer) => {
            let keys = answer["data"]["keys"].as_array().context("no keys")?;
            Ok(keys.iter().filter_map(Value::as_str).map(|key| format!("{path}/{key}")).collect())
        }
        (status, answer) => anyhow::bail!("{list}: {status} {answer}"),
    }
}

/// Revokes all leases of a path, and waits until that is done.
pub fn revoke_all(environment: &Environment, path: &str) -> Result<()> {
    environment.vault("PUT", &format!("sys/leases/revoke-prefix/{path}"), Some(json!({ "sync": true })))?;
    Ok(())
}
