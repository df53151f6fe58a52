//! Tokens that Vault lets be used a limited number of times.

use serde_json::json;

use test_support::FAST_RETRY;
use test_support::Tenant;

const GOOD: &str = "uses-hunter2";

#[test]
fn each_use_of_a_token_with_limited_uses_is_counted() {
    let tenant = Tenant::new("uses");
    let role = format!("auth/kubernetes/role/{}", tenant.namespace);
    let names = ["a", "b", "c", "d", "e", "f"];
    for name in names {
        tenant.put(name, json!({ "password": GOOD }));
    }
    for uses in [1, 3] {
        tenant.cluster.vault("POST", &role, Some(json!({ "token_num_uses": uses }))).expect("a role");
        let operator = tenant.operator(&FAST_RETRY);
        for name in names {
            let mut object = tenant.static_secret(name, json!({ "refreshAfter": "2s" }));
            object["metadata"]["name"] = json!(format!("{name}-{uses}"));
            object["spec"]["destination"]["name"] = json!(format!("{name}-{uses}"));
            tenant.apply(&object);
        }
        for name in names {
            tenant.wait_value(&format!("{name}-{uses}"), "password", GOOD);
        }
        // They are refreshed without a denial, which would be a warning.
        for name in names {
            tenant.put(name, json!({ "password": format!("{GOOD}-{uses}") }));
        }
        for name in names {
            tenant.wait_value(&format!("{name}-{uses}"), "password", &format!("{GOOD}-{uses}"));
            tenant.wait_synced(&format!("{name}-{uses}"));
        }
        let warnings = tenant.list("events").into_iter().filter(|event| event["type"] == "Warning").count();
        assert_eq!(warnings, 0);
        drop(operator);
        for name in names {
            tenant.put(name, json!({ "password": GOOD }));
        }
    }
}
