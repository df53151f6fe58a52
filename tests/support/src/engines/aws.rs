//! The `aws` engine with the AWS of the tests.

use serde_json::{Value, json};
use testenv::{Cluster, Server};

use super::lease::Lease;
use crate::clouds::aws::Aws;

/// The key with which Vault asks AWS.
const KEY_ID: &str = "AKIAVAULT";
const KEY: &str = "vault-hunter2";
/// What users may do.
const POLICY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";

/// A mount of the `aws` engine.
#[derive(Clone)]
pub struct AwsEngine<'a> {
    /// Where it is mounted.
    pub mount: String,
    /// What it asks.
    pub aws: Aws,
    cluster: &'a Cluster,
}

impl<'a> AwsEngine<'a> {
    /// Mounts the engine. OpenBao has none: then it says so and gives nothing.
    pub fn mount(cluster: &'a Cluster, mount: &str) -> Option<Self> {
        if cluster.server() == Server::OpenBao {
            eprintln!("skipped: OpenBao has no aws engine");
            return None;
        }
        let aws = Aws::start(cluster);
        aws.user("vault", KEY_ID, KEY, None);
        let endpoint = aws.url();
        let engine = Self { mount: mount.to_owned(), aws, cluster };
        engine.write(&format!("sys/mounts/{mount}"), json!({ "type": "aws" }));
        engine.write(
            &format!("{mount}/config/root"),
            json!({
                "access_key": KEY_ID, "secret_key": KEY, "region": "us-east-1",
                "iam_endpoint": endpoint, "sts_endpoint": endpoint, "sts_region": "us-east-1",
            }),
        );
        Some(engine)
    }

    /// Makes a role whose leases are users of IAM. The TTLs, in seconds, are those of all such roles of this mount.
    pub fn user_role(&self, name: &str, default_ttl: u64, max_ttl: u64) {
        let ttl = json!({ "lease": format!("{default_ttl}s"), "lease_max": format!("{max_ttl}s") });
        self.write(&format!("{}/config/lease", self.mount), ttl);
        self.role(name, json!({ "credential_type": "iam_user", "policy_arns": [POLICY] }));
    }

    /// Makes a role whose leases, which cannot be renewed, are sessions of a role of IAM. See
    /// [`Aws::shorten_sessions`].
    pub fn session_role(&self, name: &str) {
        let arn = self.aws.role_of_account(name);
        self.role(name, json!({ "credential_type": "assumed_role", "role_arns": [arn], "default_sts_ttl": "900s" }));
    }

    /// Makes a role whose leases, which cannot be renewed, are tokens of Vault's own user. See
    /// [`Aws::shorten_sessions`].
    pub fn federation_role(&self, name: &str) {
        let ttl = json!("900s");
        self.role(
            name,
            json!({ "credential_type": "federation_token", "policy_arns": [POLICY], "default_sts_ttl": ttl }),
        );
    }

    /// Path of a role's credentials.
    pub fn creds(&self, role: &str) -> String {
        format!("{}/creds/{role}", self.mount)
    }

    /// Credentials of a role, as an administrator.
    pub fn issue(&self, role: &str) -> Lease {
        Lease::read(self.cluster, &self.creds(role)).expect("credentials")
    }

    /// Whether AWS takes these credentials now.
    pub fn accepts(&self, credentials: &Value) -> bool {
        let text = |member: &str| credentials[member].as_str();
        let (id, key) = (text("access_key").expect("access_key"), text("secret_key").expect("secret_key"));
        self.aws.accepts(id, key, text("session_token"))
    }

    fn role(&self, name: &str, role: Value) {
        self.write(&format!("{}/roles/{name}", self.mount), role);
    }

    fn write(&self, path: &str, body: Value) {
        self.cluster.vault("POST", path, Some(body)).expect("Vault takes it");
    }
}
