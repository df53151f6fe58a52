//! A restart of the operator, a crash at any point, another leader: every credential is kept as long as its token
//! lives.

use std::time::Duration;

use serde_json::json;

use test_support::audit::{Count, describe};
use test_support::{NO_ELECTION, Tenant, eventually};

use super::Fixture;

#[test]
fn with_a_stored_client_a_restart_changes_nothing() {
    let tenant = Tenant::new("leasestored");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 3600, 7200);
    let stored = [NO_ELECTION[0], "--client-cache-persistence-model=direct-unencrypted"];
    let mut operator = tenant.operator(&stored);
    for name in ["one", "two"] {
        tenant.apply(&rig.object(name, &rig.database.creds("app"), json!({})));
    }
    let before: Vec<_> = ["one", "two"].map(|name| (rig.wait_lease(name, ""), rig.get(name)["status"].clone())).into();
    eventually("a stored client", || {
        let secrets = tenant.cluster.kubectl(&["get", "secrets", "-n", &tenant.operator_namespace, "-o", "name"]);
        let secrets = secrets.expect("a list");
        if secrets.contains("vso-cc-kubernetes") { Ok(()) } else { Err(secrets) }
    });
    operator.kill();
    let count = Count::start(&tenant);
    let _operator = tenant.operator(&stored);
    std::thread::sleep(Duration::from_secs(4));
    let after: Vec<_> = ["one", "two"].map(|name| (rig.lease_id(name), rig.get(name)["status"].clone())).into();
    assert_eq!(before, after);
    let writes: Vec<_> =
        count.requests().into_iter().filter(|event| !["get", "list", "watch"].contains(&event.verb.as_str())).collect();
    assert_eq!(describe(&writes), "", "nothing is written");
    assert_eq!(rig.database.lease_ids("app").len(), 2);
}

#[test]
fn without_one_credentials_are_replaced_once_each_while_their_token_lives() {
    let tenant = Tenant::new("leasespread");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 3600, 7200);
    let role = format!("auth/kubernetes/role/{}", tenant.namespace);
    tenant.cluster.vault("POST", &role, Some(json!({ "token_ttl": "60s", "token_max_ttl": "1h" }))).expect("a role");
    let mut operator = tenant.operator(&NO_ELECTION);
    let names: Vec<String> = (0..8).map(|n| format!("db-{n}")).collect();
    for name in &names {
        tenant.apply(&rig.object(name, &rig.database.creds("app"), json!({})));
    }
    let first: Vec<_> = names.iter().map(|name| rig.wait_lease(name, "")).collect();
    operator.kill();
    let _operator = tenant.operator(&NO_ELECTION);
    let kept = names.iter().zip(&first).filter(|(name, id)| rig.lease_id(name) == **id).count();
    assert!(kept >= 4, "{} of 8 were replaced at the start", 8 - kept);
    let mut seen: Vec<std::collections::BTreeSet<String>> = first.iter().map(|id| [id.clone()].into()).collect();
    eventually("all are replaced", || {
        for (name, seen) in names.iter().zip(&mut seen) {
            assert!(rig.database.accepts(&rig.credentials(name)), "{name}: a credential that is no good");
            seen.insert(rig.lease_id(name));
        }
        let replaced = seen.iter().filter(|ids| ids.len() > 1).count();
        if replaced == 8 { Ok(()) } else { Err(format!("{replaced} of 8")) }
    });
    std::thread::sleep(Duration::from_secs(5));
    for (name, seen) in names.iter().zip(&mut seen) {
        seen.insert(rig.lease_id(name));
        assert_eq!(seen.len(), 2, "{name}: replaced once");
    }
}
