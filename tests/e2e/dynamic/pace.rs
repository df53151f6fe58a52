//! Another client that deletes the Secret again and again: each time costs a lease, so it is answered ever less often.

use std::time::{Duration, Instant};

use serde_json::json;

use test_support::{NO_ELECTION, Tenant};

use super::Fixture;

#[test]
fn a_secret_that_is_deleted_again_and_again_costs_few_leases() {
    let tenant = Tenant::new("leasepace");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 3600, 7200);
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), json!({})));
    rig.wait_lease("db", "");
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        // There may be none.
        let _ = rig.restarts.api.delete("Secret", &tenant.namespace, "db");
        std::thread::sleep(Duration::from_millis(50));
    }
    // The first, the one after the first deletion, and then those after 1, 2, 4, 8 seconds.
    let leases = rig.database.lease_ids("app").len();
    assert!((2..=7).contains(&leases), "{leases} leases in 20 s");
    rig.wait_credentials("db", &json!({}));
    rig.wait_synced("db");
}
