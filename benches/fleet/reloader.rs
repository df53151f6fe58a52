//! What Reloader's annotations cost: Secrets of other clients, of 10 KiB each, and Deployments that ask for restarts.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::name;
use crate::process::{Usage, show};
use test_support::audit::Count;
use test_support::kube_client::{KubeClient, encoded};
use test_support::{Operator, Tenant};

const SECRET_BYTES: usize = 10 << 10;
/// One Deployment for so many Secrets.
const SECRETS_PER_DEPLOYMENT: usize = 10;
const ARGUMENTS: [&str; 1] = ["--reloader"];
const MARKS: &str = "vso.secrets.hashicorp.com/reloaded-contents";
/// From a start to the look at the memory.
const WARM: Duration = Duration::from_secs(30);

pub struct Bench<'a> {
    pub tenant: &'a Tenant<'a>,
    pub api: KubeClient,
    pub objects: usize,
}

impl Bench<'_> {
    pub fn run(&self) {
        println!("{} foreign Secrets of {SECRET_BYTES} bytes", self.objects);
        let without = self.idle("no Secrets, off", &[]);
        let empty = self.idle("no Secrets, on", &ARGUMENTS);
        self.create();
        self.idle("with Secrets, off", &[]);
        let started = Instant::now();
        let mut operator = self.tenant.operator(&ARGUMENTS);
        self.wait_noted();
        show("start until each Deployment is noted", format!("{:.1} s", started.elapsed().as_secs_f64()));
        show("CPU for it", format!("{:.2} s", Usage::of(operator.pid()).cpu));
        operator.terminate();

        let count = Count::start(self.tenant);
        let mut operator = self.tenant.operator(&ARGUMENTS);
        std::thread::sleep(WARM);
        let requests = count.requests();
        let writes = requests.iter().filter(|request| request.is_write()).count();
        show("next start: writes, other requests", format!("{writes}, {}", requests.len() - writes));
        let usage = Usage::of(operator.pid());
        show("memory with Secrets, on", usage.memory());
        let each = |base: f64| (usage.anonymous_bytes() - base) / self.objects as f64;
        show("anonymous bytes for each Secret, beside on, off", format!("{:.0}, {:.0}", each(empty), each(without)));
        self.change(&operator);
        operator.terminate();
        self.idle("with Secrets, on for all workloads", &["--reloader", "--reloader-auto-reload-all"]);
    }

    fn idle(&self, what: &str, arguments: &[&str]) -> f64 {
        let mut operator = self.tenant.operator(arguments);
        std::thread::sleep(WARM);
        let usage = Usage::of(operator.pid());
        show(&format!("memory, {what}"), usage.memory());
        operator.terminate();
        usage.anonymous_bytes()
    }

    fn deployments(&self) -> usize {
        self.objects.div_ceil(SECRETS_PER_DEPLOYMENT)
    }

    fn create(&self) {
        let secret = |i: usize| {
            let value = format!("{i:08}").repeat(SECRET_BYTES / 8);
            json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": { "name": name(i), "namespace": self.tenant.namespace },
                "data": encoded(&[("value", &value)]),
            })
        };
        self.api.create_all((0..self.objects).map(secret).collect());
        let deployment = |i: usize| {
            let mut object = self.tenant.workload("Deployment", &name(i));
            object["metadata"]["annotations"] = json!({ "reloader.stakater.com/auto": "true" });
            object["spec"]["replicas"] = json!(0);
            let first = i * SECRETS_PER_DEPLOYMENT;
            let used = first..(first + SECRETS_PER_DEPLOYMENT).min(self.objects);
            let env: Vec<Value> = used.map(|i| json!({ "secretRef": { "name": name(i) } })).collect();
            object["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!(env);
            object
        };
        self.api.create_all((0..self.deployments()).map(deployment).collect());
    }

    fn wait_noted(&self) {
        let noted = || {
            let all = self.api.list("Deployment", &self.tenant.namespace).expect("a list");
            all.iter().filter(|object| object["metadata"]["annotations"][MARKS].is_string()).count()
        };
        while noted() < self.deployments() {
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// One Secret changes.
    fn change(&self, operator: &Operator) {
        let before = Usage::of(operator.pid()).cpu;
        let generation = || {
            let object = self.api.get("Deployment", &self.tenant.namespace, &name(0)).expect("a Deployment");
            object["metadata"]["generation"].as_i64().unwrap_or_default()
        };
        let known = generation();
        let patch = json!({ "data": encoded(&[("value", "changed")]) });
        let started = Instant::now();
        self.api.patch("Secret", &self.tenant.namespace, &name(0), &patch).expect("patched");
        while generation() == known {
            std::thread::sleep(Duration::from_millis(5));
        }
        let cpu = Usage::of(operator.pid()).cpu - before;
        show("a change until the restart, CPU", format!("{:.2} s, {cpu:.2} s", started.elapsed().as_secs_f64()));
    }
}
