//! CronJobs: a Job at once for each content, and nothing else.

use serde_json::{Value, json};

use super::{AUTO, SERVED, secret, settle, wait_noted};
use crate::refusal::Refusal;
use test_support::kube_client::encoded;
use test_support::restarts::RestartFixture;
use test_support::{Tenant, eventually};

/// A CronJob whose Jobs read Secrets, and whose time is new year.
fn cron_job(name: &str, annotations: Value, secrets: &[&str]) -> Value {
    let env: Vec<Value> = secrets.iter().map(|name| json!({ "secretRef": { "name": name } })).collect();
    let container = json!({ "name": "app", "image": "localhost/none:1", "envFrom": env });
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": { "name": name, "annotations": annotations },
        "spec": {
            "schedule": "0 0 1 1 *",
            "jobTemplate": {
                "metadata": { "labels": { "team": "a" }, "annotations": { "note": "b" } },
                "spec": { "template": { "spec": { "restartPolicy": "Never", "containers": [container] } } },
            },
        },
    })
}

/// The Jobs of a CronJob.
fn jobs(tenant: &Tenant<'_>, cron_job: &str) -> Vec<Value> {
    let of = |job: &Value| job["metadata"]["ownerReferences"][0]["name"] == cron_job;
    tenant.list("jobs").into_iter().filter(of).collect()
}

#[track_caller]
pub(super) fn wait_jobs(tenant: &Tenant<'_>, cron_job: &str, expected: usize) {
    eventually(&format!("{expected} Jobs of {cron_job}"), || match jobs(tenant, cron_job).len() {
        found if found == expected => Ok(()),
        found => Err(format!("{found}")),
    });
}

fn change(rig: &RestartFixture<'_>, secret: &str, password: &str) {
    rig.patch("Secret", secret, json!({ "data": encoded(&[("password", password)]) }));
}

#[test]
fn new_content_makes_a_job_at_once_and_nothing_else_does() {
    let tenant = Tenant::new("cronjob");
    let rig = RestartFixture::new(&tenant);
    let auto = || json!({ AUTO: "true" });
    ["db", "other"].iter().for_each(|name| tenant.apply(&secret(name, "one")));
    tenant.apply(&cron_job("report", auto(), &["db", "other"]));
    tenant.apply(&cron_job("plain", json!({}), &["db"]));
    let mut suspended = cron_job("suspended", auto(), &["db"]);
    suspended["spec"]["suspend"] = json!(true);
    tenant.apply(&suspended);
    let _operator = tenant.operator(&[SERVED[0], SERVED[1], "--rollout-window=5s"]);
    for name in ["report", "suspended"] {
        wait_noted(&rig, "CronJob", name, "Secret/db");
    }
    let count = |name: &str| jobs(&tenant, name).len();
    rig.patch("Secret", "db", json!({ "metadata": { "labels": { "team": "a" } } }));
    settle();
    settle();
    assert_eq!(tenant.list("jobs").len(), 0, "first sight, and labels");

    // A content that comes back is another one than the last.
    for (done, password) in (1..).zip(["two", "one", "two"]) {
        ["db", "other"].iter().for_each(|secret| change(&rig, secret, password));
        wait_jobs(&tenant, "report", done);
        settle();
        settle();
        assert_eq!(count("report"), done, "one for both Secrets");
    }
    for job in jobs(&tenant, "report") {
        let meta = &job["metadata"];
        assert_eq!((&meta["labels"]["team"], &meta["annotations"]["note"]), (&json!("a"), &json!("b")));
        assert_eq!(meta["annotations"]["cronjob.kubernetes.io/instantiate"], "manual");
        let owner = &meta["ownerReferences"][0];
        assert_eq!((&owner["kind"], &owner["controller"]), (&json!("CronJob"), &json!(true)));
        assert_eq!(owner["uid"], rig.get("CronJob", "report")["metadata"]["uid"]);
        assert_eq!(job["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]["secretRef"]["name"], "db");
    }
    tenant.wait_event("report", "RolloutRestartTriggered", "a change of Secret/db, Secret/other");

    assert_eq!((count("suspended"), count("plain")), (0, 0));
    rig.patch("CronJob", "suspended", json!({ "spec": { "suspend": false } }));
    settle();
    settle();
    assert_eq!(count("suspended"), 0, "what changed while it was suspended");
    change(&rig, "db", "three");
    wait_jobs(&tenant, "suspended", 1);
}

#[test]
fn a_crash_between_job_and_marks_neither_loses_nor_doubles_the_job() {
    let tenant = Tenant::new("cronjobcrash");
    let rig = RestartFixture::new(&tenant);
    tenant.apply(&secret("db", "0"));
    tenant.apply(&cron_job("report", json!({ "secret.reloader.stakater.com/reload": "db" }), &[]));
    let args = [SERVED[0], SERVED[1], "--rollout-window=300ms", "--backoff-max-interval=2s"];
    let mut operator = tenant.operator(&args);
    wait_noted(&rig, "CronJob", "report", "Secret/db");
    let refusal = Refusal::of_cron_job(&tenant, "report");
    change(&rig, "db", "1");
    wait_jobs(&tenant, "report", 1);
    tenant.wait_event("report", "RolloutRestartFailed", "not now");
    operator.kill();
    operator = tenant.operator(&args);
    settle();
    drop(refusal);
    eventually("the marks name the Job", || {
        let meta = rig.get("CronJob", "report")["metadata"].clone();
        let marks = meta["annotations"][super::MARKS].as_str().unwrap_or_default().to_owned();
        let job = jobs(&tenant, "report")[0]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if marks.contains(&job) { Ok(()) } else { Err(marks) }
    });
    tenant.wait_event("report", "RolloutRestartTriggered", "a change of Secret/db");
    settle();
    assert_eq!(jobs(&tenant, "report").len(), 1);

    for (done, millis) in (2..).zip([0, 100, 290, 310, 330, 350, 400]) {
        change(&rig, "db", &done.to_string());
        std::thread::sleep(std::time::Duration::from_millis(millis));
        operator.kill();
        operator = tenant.operator(&args);
        wait_jobs(&tenant, "report", done);
    }
    settle();
    assert_eq!(jobs(&tenant, "report").len(), 8);
}
