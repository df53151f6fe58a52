//! The `database` engine with PostgreSQL.

use serde_json::{Value, json};
use testenv::{Cluster, Postgresql, Tool, Tools};

use super::lease::{Lease, lease_ids};

/// Name of the connection.
const CONNECTION: &str = "postgresql";

/// When a static role's password is rotated.
#[derive(Clone, Copy, Debug)]
pub enum Rotation<'a> {
    /// Every so many seconds, 5 at the least.
    Period(u64),
    /// By minutes, hours, days, as for cron.
    Schedule(&'a str),
}

/// A mount of the `database` engine.
#[derive(Clone, Debug)]
pub struct Database<'a> {
    /// Where it is mounted.
    pub mount: String,
    /// The database.
    pub postgresql: &'a Postgresql,
    cluster: &'a Cluster,
}

impl<'a> Database<'a> {
    /// Mounts the engine and gives it a connection. Without PostgreSQL here, says so and gives nothing.
    pub fn mount(cluster: &'a Cluster, mount: &str) -> Option<Self> {
        Self::mount_in("", cluster, mount)
    }

    /// Mounts it in a namespace of the server, which ends with a slash and begins all paths then.
    pub fn mount_in(namespace: &str, cluster: &'a Cluster, mount: &str) -> Option<Self> {
        if !Tools::default().has(Tool::Postgresql) {
            eprintln!("skipped: no PostgreSQL; `cargo testenv build --optional` gets it");
            return None;
        }
        let postgresql = cluster.postgresql().expect("PostgreSQL comes up");
        let database = Self { mount: format!("{namespace}{mount}"), postgresql, cluster };
        database.write(&format!("{namespace}sys/mounts/{mount}"), json!({ "type": "database" }));
        database.connect();
        Some(database)
    }

    /// Gives the engine its connection.
    pub fn connect(&self) {
        let (addr, database) = (self.postgresql.addr(), Postgresql::DATABASE);
        let url = format!("postgresql://{{{{username}}}}:{{{{password}}}}@{addr}/{database}?sslmode=disable");
        self.write(
            &format!("{}/config/{CONNECTION}", self.mount),
            json!({
                "plugin_name": "postgresql-database-plugin",
                "allowed_roles": "*",
                "connection_url": url,
                "username": Postgresql::SUPERUSER,
                "password": self.postgresql.password(),
            }),
        );
    }

    /// Makes a role whose leases have this TTL, and are renewed up to the other. Both are in seconds.
    pub fn role(&self, name: &str, default_ttl: u64, max_ttl: u64) {
        self.role_that_takes(0, name, default_ttl, max_ttl);
    }

    /// Makes a role whose users take PostgreSQL so many seconds.
    pub fn role_that_takes(&self, seconds: u64, name: &str, default_ttl: u64, max_ttl: u64) {
        let create = r#"CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"#;
        self.write(
            &format!("{}/roles/{name}", self.mount),
            json!({
                "db_name": CONNECTION,
                "creation_statements": format!("{create}; SELECT pg_sleep({seconds})"),
                "revocation_statements": r#"DROP ROLE IF EXISTS "{{name}}""#,
                "default_ttl": format!("{default_ttl}s"),
                "max_ttl": format!("{max_ttl}s"),
            }),
        );
    }

    /// Has PostgreSQL refuse to delete the users of a role from now on, until the role is written again.
    pub fn break_revocation(&self, name: &str) {
        let broken = json!({ "db_name": CONNECTION, "revocation_statements": "NONSENSE" });
        self.write(&format!("{}/roles/{name}", self.mount), broken);
    }

    /// Makes a user of PostgreSQL, and a static role that rotates its password, at once and then as told.
    pub fn static_role(&self, name: &str, rotation: Rotation<'_>) {
        let user = self.static_user(name);
        self.postgresql.sql(&format!(r#"CREATE ROLE "{user}" LOGIN PASSWORD 'initial'"#)).expect("a user");
        let mut role = json!({ "db_name": CONNECTION, "username": user });
        match rotation {
            Rotation::Period(seconds) => role["rotation_period"] = json!(format!("{seconds}s")),
            Rotation::Schedule(schedule) => role["rotation_schedule"] = json!(schedule),
        }
        self.write(&format!("{}/static-roles/{name}", self.mount), role);
    }

    /// The user of PostgreSQL that a static role has.
    pub fn static_user(&self, name: &str) -> String {
        format!("{}-{name}", self.mount)
    }

    /// Rotates the password of a static role now.
    pub fn rotate(&self, name: &str) {
        self.write(&format!("{}/rotate-role/{name}", self.mount), json!({}));
    }

    /// Path of a role's credentials.
    pub fn creds(&self, role: &str) -> String {
        format!("{}/creds/{role}", self.mount)
    }

    /// Path of a static role's credentials.
    pub fn static_creds(&self, role: &str) -> String {
        format!("{}/static-creds/{role}", self.mount)
    }

    /// IDs of the leases that a role has.
    pub fn lease_ids(&self, role: &str) -> Vec<String> {
        lease_ids(self.cluster, &self.creds(role)).expect("a list of leases")
    }

    /// Whether PostgreSQL takes these credentials now.
    pub fn accepts(&self, credentials: &Value) -> bool {
        let text = |member: &str| credentials[member].as_str().unwrap_or_else(|| panic!("no {member}"));
        self.postgresql.accepts(text("username"), text("password")).expect("PostgreSQL answers")
    }

    /// Credentials of a role, as an administrator.
    pub fn issue(&self, role: &str) -> Lease {
        Lease::read(self.cluster, &self.creds(role)).expect("credentials")
    }

    fn write(&self, path: &str, body: Value) {
        self.cluster.vault("POST", path, Some(body)).expect("Vault takes it");
    }
}
