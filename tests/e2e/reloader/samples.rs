//! The files of `config/samples/reloader`, applied as they stand there.

use std::path::Path;

use serde_json::json;

use super::cron_jobs::wait_jobs;
use super::{SERVED, restarts, settle, wait_noted, wait_restarts};
use test_support::Tenant;
use test_support::kube_client::encoded;
use test_support::restarts::RestartFixture;

#[test]
fn the_samples_do_what_they_say() {
    let tenant = Tenant::new("reloadsamples");
    let rig = RestartFixture::new(&tenant);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples/reloader");
    tenant.kubectl(&["apply", "-f", directory.to_str().expect("UTF-8")]).expect("the samples are accepted");
    let _operator = tenant.operator(&SERVED);
    // Each with the Secret that restarts it.
    let rows = [("Deployment", "reloaded", "reloaded", "password"), ("StatefulSet", "listed", "listed-tls", "key")];
    let files = std::fs::read_dir(directory).expect("the samples").count();
    assert_eq!(files, rows.len() + 1, "a row for each file, and the CronJob");
    for (kind, name, secret, key) in rows {
        wait_noted(&rig, kind, name, &format!("Secret/{secret}"));
        rig.patch("Secret", secret, json!({ "data": encoded(&[(key, "changed")]) }));
        wait_restarts(&rig, kind, name, 1);
    }
    wait_noted(&rig, "CronJob", "scheduled", "Secret/scheduled");
    rig.patch("Secret", "scheduled", json!({ "data": encoded(&[("password", "changed")]) }));
    wait_jobs(&tenant, "scheduled", 1);
    rig.patch("Secret", "listed-noise", json!({ "data": encoded(&[("key", "changed")]) }));
    settle();
    assert_eq!(restarts(&rig, "StatefulSet", "listed"), 1, "it is excluded");
}
