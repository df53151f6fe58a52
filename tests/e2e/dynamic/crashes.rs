//! The operator is killed at random moments of rotations: every object has one lease in the end, and Vault no other
//! that the operator knew of. A lease whose ID has reached the operator at most, and no status, ends by itself.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use test_support::{NO_ELECTION, Tenant, eventually};

use super::Fixture;

/// A rotation may follow within the window of the one before.
const EACH_RESTART: [&str; 2] = [NO_ELECTION[0], "--rollout-window=0"];
const OBJECTS: usize = 6;
const CRASHES: usize = 20;
/// In one rotation, at most.
const CRASHES_OF_ROTATION: usize = 4;
/// Leases of an object that wait for their revocation when a rotation begins: far from as many as an object may have.
const MAX_OLD_LEASES: usize = 2;
/// From a start on, the work of a rotation takes about this long.
const WORK: Duration = Duration::from_millis(900);
/// Sets the seed of another run.
const SEED: &str = "CRASH_SEED";

/// IDs of all leases in a status.
fn leases_of(object: &Value) -> Vec<String> {
    let status = &object["status"];
    let replaced = status["replacedLeases"].as_array().into_iter().flatten();
    let leases = [&status["secretLease"], &status["pendingLease"]].into_iter().chain(replaced);
    leases.filter_map(|lease| lease["id"].as_str().map(str::to_owned)).collect()
}

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
    let mut operator = tenant.operator(&EACH_RESTART);
    for name in &names {
        let mut deployment = tenant.workload("Deployment", name);
        deployment["spec"]["replicas"] = json!(0);
        tenant.apply(&deployment);
        let targets = json!([{ "kind": "Deployment", "name": name }]);
        let spec = json!({ "revokeReplacedLeases": true, "rolloutRestartTargets": targets });
        tenant.apply(&rig.object(name, &rig.database.creds("even"), spec));
    }
    let is_rotated = |name: &str, role: &str| rig.lease_id(name).contains(&format!("/creds/{role}/"));
    let wait_rotated = |role: &str| {
        for name in &names {
            eventually(&format!("credentials of {role} for {name}"), || {
                let object = rig.get(name);
                let is_done = object["status"]["lastGeneration"] == object["metadata"]["generation"];
                if is_rotated(name, role) && is_done && rig.works(name) {
                    Ok(())
                } else {
                    Err(object["status"].to_string())
                }
            });
        }
    };
    wait_rotated("even");
    let versions = rig.restarts.api.watch("VaultDynamicSecret", &tenant.namespace);
    let mut recorded = BTreeSet::new();

    let (mut crashes, mut rotations, mut in_the_middle) = (0, 0, 0);
    while crashes < CRASHES {
        rotations += 1;
        let role = roles[rotations % 2];
        for name in &names {
            let path = json!({ "spec": { "path": format!("creds/{role}") } });
            rig.restarts.patch("VaultDynamicSecret", name, path);
        }
        for _ in 0..random.random_range(1..=CRASHES_OF_ROTATION) {
            // Most of them early: most of the work is done then.
            std::thread::sleep(WORK.mul_f64(random.random_range(0.0f64..1.0).powi(2)));
            operator.kill();
            in_the_middle += usize::from(names.iter().any(|name| !is_rotated(name, role)));
            operator = tenant.operator(&EACH_RESTART);
            crashes += 1;
        }
        wait_rotated(role);
        eventually("few old leases", || {
            let old = names.iter().map(|name| rig.get(name)["status"]["replacedLeases"].as_array().map_or(0, Vec::len));
            match old.max() {
                Some(most) if most > MAX_OLD_LEASES => Err(format!("{most}")),
                _ => Ok(()),
            }
        });
    }
    let mut unrecorded = 0;
    eventually("one lease for each object", || {
        let alive: BTreeSet<String> = roles.iter().flat_map(|role| rig.database.lease_ids(role)).collect();
        let known: BTreeSet<String> = names.iter().map(|name| rig.lease_id(name)).collect();
        recorded.extend(versions.try_iter().flat_map(|object| leases_of(&object)));
        let (orphans, lost): (Vec<_>, Vec<_>) = alive.difference(&known).partition(|id| recorded.contains(id.as_str()));
        unrecorded = lost.len();
        let one_each = known.len() == OBJECTS && known.is_subset(&alive);
        if one_each && orphans.is_empty() { Ok(()) } else { Err(format!("left: {orphans:?}, {SEED}={seed}")) }
    });
    assert!(in_the_middle > 0, "no crash came in the middle of a rotation");
    println!("{crashes} crashes, {in_the_middle} of them in the middle of one of {rotations} rotations");
    println!("{unrecorded} leases reached no status");
    assert!(unrecorded <= crashes, "{unrecorded} of {crashes} crashes, {SEED}={seed}");
    for name in &names {
        assert!(rig.works(name), "{name}, {SEED}={seed}");
        let restarts = usize::try_from(rig.restarts.restarts(name)).expect("a count");
        assert_eq!(restarts, rotations, "restarts of {name}, {SEED}={seed}");
    }
}
