//! The operator is killed at random moments of rotations: every object has one lease in the end, and Vault no other.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

use test_support::{NO_ELECTION, Tenant, eventually};

use super::Fixture;

const OBJECTS: usize = 6;
const CRASHES: usize = 20;
/// In one rotation, at most: fewer than the replaced leases that an object keeps an eye on.
const CRASHES_OF_ROTATION: usize = 4;
/// From a start on, the work of a rotation takes about this long.
const WORK: Duration = Duration::from_millis(900);
/// Sets the seed of another run.
const SEED: &str = "CRASH_SEED";

#[test]
fn crashes_at_random_moments_leave_one_lease_for_each_object() {
    let tenant = Tenant::new("leasecrashes");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    let seed = std::env::var(SEED).map_or_else(|_| rand::random(), |seed| seed.parse().expect("a number"));
    println!("{SEED}={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let roles = ["even", "odd"];
    roles.iter().for_each(|role| rig.database.role(role, 3600, 7200));
    let names: Vec<String> = (0..OBJECTS).map(|i| format!("db-{i}")).collect();
    let mut operator = tenant.operator(&NO_ELECTION);
    for name in &names {
        let mut deployment = tenant.workload("Deployment", name);
        deployment["spec"]["replicas"] = json!(0);
        tenant.apply(&deployment);
        let targets = json!([{ "kind": "Deployment", "name": name }]);
        let spec = json!({ "revokeReplacedLeases": true, "rolloutRestartTargets": targets });
        tenant.apply(&rig.object(name, &rig.database.creds("even"), spec));
    }
    let wait_rotated = |role: &str| {
        for name in &names {
            eventually(&format!("credentials of {role} for {name}"), || {
                let object = rig.get(name);
                let is_new = rig.lease_id(name).contains(&format!("/creds/{role}/"));
                let is_done = object["status"]["lastGeneration"] == object["metadata"]["generation"];
                if is_new && is_done && rig.works(name) { Ok(()) } else { Err(object["status"].to_string()) }
            });
        }
    };
    wait_rotated("even");

    let (mut crashes, mut rotations) = (0, 0);
    while crashes < CRASHES {
        rotations += 1;
        let role = roles[rotations % 2];
        for name in &names {
            let path = json!({ "spec": { "path": format!("creds/{role}") } });
            rig.restarts.patch("VaultDynamicSecret", name, path);
        }
        for _ in 0..random.random_range(1..=CRASHES_OF_ROTATION) {
            std::thread::sleep(WORK.mul_f64(random.random_range(0.0..1.0)));
            operator.kill();
            operator = tenant.operator(&NO_ELECTION);
            crashes += 1;
        }
        wait_rotated(role);
    }
    // The workloads run with the new credentials at once: there are no pods.
    eventually("one lease for each object", || {
        let alive = roles.iter().flat_map(|role| rig.database.lease_ids(role));
        let alive: BTreeSet<String> = alive.collect();
        let known: BTreeSet<String> = names.iter().map(|name| rig.lease_id(name)).collect();
        let orphans: Vec<_> = alive.difference(&known).collect();
        if alive == known && known.len() == OBJECTS { Ok(()) } else { Err(format!("{orphans:?}")) }
    });
    for name in &names {
        assert!(rig.works(name), "{name}, {SEED}={seed}");
        let restarts = usize::try_from(rig.restarts.restarts(name)).expect("a count");
        assert_eq!(restarts, rotations, "restarts of {name}, {SEED}={seed}");
    }
}
