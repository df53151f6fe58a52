//! A Deployment on a real node that logs in to PostgreSQL all the time with the credentials of its Secret: while they
//! are replaced, while the operator restarts, and while Vault restarts. No login fails. Without root there is no node,
//! and the test says that it is skipped.

use std::path::Path;
use std::time::Instant;

use base64::Engine as _;
use serde_json::{Value, json};
use test_support::engines::database::Database;
use test_support::engines::{RENEW_LEASES, REVOKE_LEASES, read_and_write};
use test_support::eventually;
use testenv::{Cluster, Options, Process, VaultStorage, image, node};

/// Name of the application, its namespace, its Secret and its roles.
const APP: &str = "app";
/// Namespace of the operator.
const OPERATOR: &str = "vso";
/// How users are called that Vault makes.
const USERS: &str = "v-";
/// Lifetime of the credentials, in seconds: it cannot be extended.
const LEASE_SECONDS: u64 = 60;
/// Percent of the lease after which the operator asks for more and learns that there is none. It then replaces the
/// credentials while there is time for a rollout, even on a machine that is busy.
const RENEWAL_PERCENT: u64 = 20;

#[test]
fn no_login_fails_while_credentials_operator_and_vault_are_replaced() {
    if let Some(skip) = node::unavailable() {
        eprintln!("skipped: {skip}");
        return;
    }
    let cluster = Cluster::start(Options { node: true, vault: VaultStorage::Raft, ..Options::default() })
        .expect("the environment comes up");
    let Some(database) = Database::mount(&cluster, "database") else { return };
    database.role(APP, LEASE_SECONDS, LEASE_SECONDS);
    cluster.import_image(&image::client().expect("the client's image")).expect("it is imported");
    test_support::install(&cluster, Path::new(env!("CARGO_BIN_EXE_vault-secrets-operator")), OPERATOR);
    apply(&cluster, &objects(&cluster));
    let mut users = Vec::new();
    await_rotation(&cluster, &mut users);
    apply(&cluster, &[deployment(&database)]);
    await_rollout(&cluster);
    let started = Instant::now();

    await_rotation(&cluster, &mut users);
    await_rollout(&cluster);

    let selector = "--selector=control-plane=controller-manager";
    cluster.kubectl(&["delete", "pods", "--namespace", OPERATOR, selector]).expect("the operator's pod ends");
    await_rotation(&cluster, &mut users);
    await_rollout(&cluster);

    cluster.stop(Process::Vault).expect("Vault ends");
    cluster.start_again(Process::Vault).expect("Vault starts");
    cluster.vault_unseal().expect("Vault serves");
    await_rotation(&cluster, &mut users);
    await_rollout(&cluster);

    // When the first credentials have ended, nothing uses them any more.
    let first = format!("SELECT rolname FROM pg_roles WHERE rolname = '{}'", users[0]);
    eventually("the end of the first credentials", || {
        let there = database.postgresql.sql(&first).expect("PostgreSQL answers");
        if there.is_empty() { Ok(()) } else { Err(there) }
    });
    let (accepted, refused) = database.postgresql.logins(USERS).expect("the log of PostgreSQL");
    // The next rotation may just have made a pod that has no log yet.
    let log = eventually("the pods' logs", || {
        let read = ["logs", "--namespace", APP, "--selector=app=app", "--tail=-1"];
        cluster.kubectl(&read).map_err(|error| error.to_string())
    });
    let (rotations, seconds) = (users.len() - 1, started.elapsed().as_secs());
    eprintln!("{accepted} logins in {seconds} s, {refused} failures; at least {rotations} rotations");
    assert_eq!(refused, 0);
    assert!(log.contains("logins ") && !log.contains("failure:"), "{log}");
    assert!(accepted > 100, "{accepted}");
}

/// What an application team writes, and the role in Vault that it uses.
fn objects(cluster: &Cluster) -> Vec<Value> {
    let policy = [&read_and_write("database"), RENEW_LEASES, REVOKE_LEASES].join("\n");
    cluster.vault_policy(APP, &policy).expect("a policy");
    cluster.vault_kubernetes_role(APP, &[APP], &[APP], &[APP], "1h").expect("a role");
    let own = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "secrets.hashicorp.com/v1beta1", "kind": kind,
            "metadata": { "name": APP, "namespace": APP }, "spec": spec,
        })
    };
    let login = json!({ "role": APP, "serviceAccount": APP, "audiences": ["vault"] });
    vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": APP } }),
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": APP, "namespace": APP } }),
        own("VaultConnection", json!({ "address": cluster.vault_addr() })),
        own(
            "VaultAuth",
            json!({ "vaultConnectionRef": APP, "method": "kubernetes", "mount": "kubernetes", "kubernetes": login }),
        ),
        own(
            "VaultDynamicSecret",
            json!({
                "vaultAuthRef": APP, "mount": "database", "path": format!("creds/{APP}"),
                "renewalPercent": RENEWAL_PERCENT,
                "destination": { "name": APP, "create": true },
                "rolloutRestartTargets": [{ "kind": "Deployment", "name": APP }],
            }),
        ),
    ]
}

/// What logs in, with the credentials as variables: only a restart brings new ones.
fn deployment(database: &Database<'_>) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": APP, "namespace": APP },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": APP } },
            "template": {
                "metadata": { "labels": { "app": APP } },
                "spec": { "containers": [{
                    "name": APP, "image": image::CLIENT,
                    "env": [{ "name": "ADDRESS", "value": database.postgresql.addr() }],
                    "envFrom": [{ "secretRef": { "name": APP } }],
                }] },
            },
        },
    })
}

fn apply(cluster: &Cluster, objects: &[Value]) {
    for object in objects {
        cluster.kubectl_apply(&object.to_string()).expect("the object is accepted");
    }
}

/// Waits until the Secret has a user that it has not had before.
#[track_caller]
fn await_rotation(cluster: &Cluster, users: &mut Vec<String>) {
    let user = eventually("other credentials", || {
        let read = ["get", "secret", APP, "--namespace", APP, "--output=jsonpath={.data.username}"];
        let encoded = cluster.kubectl(&read).map_err(|error| error.to_string())?;
        let user = base64::engine::general_purpose::STANDARD.decode(encoded).map_err(|error| error.to_string())?;
        let user = String::from_utf8(user).map_err(|error| error.to_string())?;
        if user.is_empty() || users.contains(&user) { Err(format!("{user:?}")) } else { Ok(user) }
    });
    users.push(user);
}

/// Waits until the pods that run have been made from the newest template.
#[track_caller]
fn await_rollout(cluster: &Cluster) {
    let deployment = format!("deployment/{APP}");
    cluster
        .kubectl(&["rollout", "status", &deployment, "--namespace", APP, "--timeout=120s"])
        .expect("the rollout ends");
}
