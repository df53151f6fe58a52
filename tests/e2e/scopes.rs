//! A namespace of `--watch-namespaces` that is missing is shown, and holds up no other.

use serde_json::json;

use test_support::api_proxy::ApiProxy;
use test_support::{Operator, Tenant, eventually, http_get, shared};

/// Waits until it is shown of a watched namespace whether its VaultStaticSecrets cannot be listed.
#[track_caller]
fn wait_shown(operator: &Operator, namespace: &str, missing: bool) {
    let mark = if missing { "!" } else { "+" };
    let line = format!("[{mark}] watch of vaultstaticsecrets in {namespace}");
    let metric = format!("vso_watches_missing{{watched_namespace=\"{namespace}\"}}");
    eventually(&format!("{line:?} is shown"), || {
        let text = http_get(operator.health_port(), "/readyz?verbose")?;
        let count = operator.metric(&metric);
        let shown = text.contains(&line) && count.is_some_and(|count| (count > 0.0) == missing);
        if shown { Ok(()) } else { Err(format!("{count:?} {text}")) }
    });
}

#[test]
fn a_namespace_that_is_missing_is_shown_until_it_is_there() {
    let proxy = ApiProxy::start(shared());
    let mut tenant = Tenant::at(shared(), "scopes", shared().vault_addr(), Some(&proxy.url()));
    let absent = format!("{}-absent", tenant.namespace);
    tenant.watch_without_rights(&absent);
    tenant.put("app", json!({ "password": "one" }));
    // It waits until the operator is ready.
    let operator = tenant.operator(&[]);
    tenant.apply(&tenant.static_secret("app", json!({})));
    tenant.wait_synced("app");
    wait_shown(&operator, &absent, true);
    wait_shown(&operator, &tenant.namespace, false);

    tenant.cluster.kubectl(&["create", "namespace", &absent]).expect("a namespace");
    tenant.grant_rights();
    wait_shown(&operator, &absent, false);

    // It is shown as well of a namespace that was there.
    tenant.cluster.kubectl(&["delete", "rolebinding", "--all", "--namespace", &absent]).expect("they are deleted");
    for kind in ["vaultstaticsecrets", "secrets"] {
        proxy.expire_watches(&format!("{absent}/{kind}"));
    }
    wait_shown(&operator, &absent, true);
    wait_shown(&operator, &tenant.namespace, false);
    tenant.put("app", json!({ "password": "two" }));
    tenant.wait_value("app", "password", "two");
}
