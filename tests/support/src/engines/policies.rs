//! What a role needs for leases.

use serde_json::json;

use crate::tenant::Tenant;

/// Lets a role renew leases. Vault's policy `default` has this as well: see [`Tenant::drop_default_policy`].
pub const RENEW_LEASES: &str = r#"path "sys/leases/renew" { capabilities = ["update"] }"#;

/// Lets a role revoke leases.
pub const REVOKE_LEASES: &str = r#"path "sys/leases/revoke" { capabilities = ["update"] }"#;

/// Lets a role do everything below a mount that gives credentials.
pub fn read_and_write(mount: &str) -> String {
    format!(r#"path "{mount}/*" {{ capabilities = ["read", "create", "update"] }}"#)
}

/// What the policy `default` lets a token do with itself.
const OWN_TOKEN: [&str; 3] = [
    r#"path "auth/token/lookup-self" { capabilities = ["read"] }"#,
    r#"path "auth/token/renew-self" { capabilities = ["update"] }"#,
    r#"path "auth/token/revoke-self" { capabilities = ["update"] }"#,
];

impl Tenant<'_> {
    /// Takes the policy `default` away from tokens of later logins. What they may do with themselves stays.
    pub fn drop_default_policy(&self) {
        let own_token = format!("{}-own-token", self.namespace);
        self.cluster.vault_policy(&own_token, &OWN_TOKEN.join("\n")).expect("a policy");
        let role = json!({
            "token_no_default_policy": true,
            "token_policies": [self.namespace, engines_policy(&self.namespace), own_token],
        });
        let path = format!("auth/kubernetes/role/{}", self.namespace);
        self.cluster.vault("POST", &path, Some(role)).expect("a role");
    }

    /// Gives the role of this tenant these lines of a policy as well, instead of those of an earlier call. Tokens that
    /// exist have these rights at once.
    pub fn allow(&self, lines: &[&str]) {
        self.cluster.vault_policy(&engines_policy(&self.namespace), &lines.join("\n")).expect("a policy");
    }

    /// Lets the role of this tenant read and write below these mounts, and renew and revoke leases.
    pub fn allow_leases(&self, mounts: &[&str]) {
        let mut lines: Vec<String> = mounts.iter().map(|mount| read_and_write(mount)).collect();
        lines.extend([RENEW_LEASES, REVOKE_LEASES].map(str::to_owned));
        self.allow(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// Name of the policy that [`Tenant::allow`] writes. The role of a tenant has it from the start, and without it nothing
/// more may be done.
pub fn engines_policy(namespace: &str) -> String {
    format!("{namespace}-engines")
}
