//! Five hundred objects: all sync with one login, and a crash in the middle of it all loses nothing and repeats
//! nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use test_support::Tenant;
use test_support::audit::Count;
use test_support::kube_client::{KubeClient, decoded};

const OBJECTS: usize = 500;
/// Every so many objects have a Deployment to restart.
const WITH_DEPLOYMENT: usize = 10;
/// A crowd that gets no further for so long will not get there. How fast it gets there is not tested here.
const STALLED: Duration = Duration::from_secs(60);

/// Between two looks, at least.
const PAUSE: Duration = Duration::from_millis(200);

struct Crowd<'a> {
    tenant: &'a Tenant<'a>,
    api: KubeClient,
}

fn name(i: usize) -> String {
    format!("s{i:04}")
}

fn has_deployment(i: usize) -> bool {
    i.is_multiple_of(WITH_DEPLOYMENT)
}

impl Crowd<'_> {
    /// Writes a value to all paths, from several threads.
    fn put(&self, value: &str) {
        std::thread::scope(|scope| {
            for part in 0..4 {
                let all = (part..OBJECTS).step_by(4);
                scope.spawn(move || all.for_each(|i| self.tenant.put(&name(i), json!({ "password": value }))));
            }
        });
    }

    fn create(&self) {
        let mut deployment = self.tenant.workload("Deployment", "");
        deployment["spec"]["replicas"] = json!(0);
        let deployments = (0..OBJECTS).filter(|i| has_deployment(*i)).map(|i| {
            deployment["metadata"]["name"] = json!(name(i));
            deployment.clone()
        });
        self.api.create_all(deployments.collect());
        let objects = (0..OBJECTS).map(|i| {
            let targets =
                if has_deployment(i) { json!([{ "kind": "Deployment", "name": name(i) }]) } else { json!([]) };
            self.tenant.static_secret(&name(i), json!({ "refreshAfter": "10s", "rolloutRestartTargets": targets }))
        });
        self.api.create_all(objects.collect());
    }

    fn by_name(&self, kind: &str) -> BTreeMap<String, Value> {
        let all = self.api.list(kind, &self.tenant.namespace).expect("a list").into_iter();
        all.map(|object| (object["metadata"]["name"].as_str().unwrap_or_default().to_owned(), object)).collect()
    }

    /// How many Secrets hold this value.
    fn holding(&self, value: &str) -> usize {
        self.by_name("Secret").values().filter(|s| decoded(s, "password").as_deref() == Some(value)).count()
    }

    /// How many objects say that their Secret is synced, that being the one with this value.
    fn synced(&self, value: &str) -> usize {
        let secrets = self.by_name("Secret");
        let objects = self.by_name("VaultStaticSecret");
        let synced = objects.iter().filter(|(name, object)| {
            let Some(secret) = secrets.get(*name).filter(|s| decoded(s, "password").as_deref() == Some(value)) else {
                return false;
            };
            let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
            let ready = conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
            let mac = &secret["metadata"]["annotations"]["vso.secrets.hashicorp.com/secret-mac"];
            ready && mac.is_string() && object["status"]["secretMAC"] == *mac
        });
        synced.count()
    }

    /// Restarts of each Deployment.
    fn restarts(&self) -> BTreeMap<String, i64> {
        let all = self.by_name("Deployment").into_iter();
        all.map(|(name, d)| (name, d["metadata"]["generation"].as_i64().unwrap_or(0) - 1)).collect()
    }
}

/// Waits until a number reaches `goal`, as long as it grows.
#[track_caller]
fn wait_for(what: &str, goal: usize, number: impl Fn() -> usize) {
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let looked = Instant::now();
        let now = number();
        if now >= goal {
            return;
        }
        if now > last {
            (last, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < STALLED, "{what}: {now} of {goal}, and no more");
        // A look costs much more than an object.
        std::thread::sleep(PAUSE.max(2 * looked.elapsed()));
    }
}

#[test]
fn five_hundred_objects_sync_with_one_login_and_a_crash_in_the_middle_loses_and_repeats_nothing() {
    let tenant = Tenant::new("scale");
    let crowd = Crowd { tenant: &tenant, api: KubeClient::of(tenant.cluster) };
    let alone = ["--leader-elect=false"];
    crowd.put("one");

    let count = Count::start(&tenant);
    let mut operator = tenant.operator(&alone);
    std::thread::scope(|scope| {
        scope.spawn(|| crowd.create());
        wait_for("Secrets before the first crash", OBJECTS / 3, || crowd.holding("one"));
        operator.kill();
    });
    assert!(crowd.synced("one") < OBJECTS, "the crash came too late to show anything");
    assert_eq!((count.tokens(), count.logins()), (1, 1), "one login for all of them");
    operator = tenant.operator(&alone);
    wait_for("objects synced", OBJECTS, || crowd.synced("one"));
    assert_eq!((count.tokens(), count.logins()), (2, 2), "and one more after the crash");
    assert!(crowd.restarts().values().all(|n| *n == 0), "no restarts on a first sync: {:?}", crowd.restarts());

    // One of them all.
    let chosen = name(250);
    tenant.put(&chosen, json!({ "password": "two" }));
    wait_for("the changed one", 1, || crowd.synced("two"));
    let mut expected = crowd.restarts();
    assert_eq!(expected.values().sum::<i64>(), 1);
    assert_eq!(expected[&chosen], 1);

    // All of them, with a crash in the middle.
    std::thread::scope(|scope| {
        scope.spawn(|| crowd.put("three"));
        wait_for("Secrets before the second crash", OBJECTS / 3, || crowd.holding("three"));
        operator.kill();
    });
    assert!(crowd.synced("three") < OBJECTS, "the crash came too late to show anything");
    let _operator = tenant.operator(&alone);
    wait_for("objects synced again", OBJECTS, || crowd.synced("three"));
    expected.values_mut().for_each(|n| *n += 1);
    assert_eq!(crowd.restarts(), expected, "each Deployment once for each content");
    // A round of refreshes later.
    std::thread::sleep(Duration::from_secs(12));
    assert_eq!(crowd.restarts(), expected);
    assert_eq!((count.tokens(), count.logins()), (3, 3));
}
