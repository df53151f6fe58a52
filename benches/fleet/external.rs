//! What ExternalSecrets cost: each with five rows of one path of its own, by one SecretStore.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::{Usage, show};
use crate::{INTERVAL, WINDOW, name, spread};
use test_support::audit::Count;
use test_support::kube_client::KubeClient;
use test_support::{Operator, Tenant};

const ROWS: usize = 5;
const ARGUMENTS: [&str; 1] = ["--external-secrets"];
/// From the last sync to the first look.
const WARM: Duration = Duration::from_secs(30);

pub struct Bench<'a> {
    pub tenant: &'a Tenant<'a>,
    pub api: KubeClient,
    pub objects: usize,
}

impl Bench<'_> {
    pub fn run(&self) {
        println!("{} ExternalSecrets with {ROWS} rows of one path each, refreshInterval {INTERVAL}", self.objects);
        self.idle();
        self.create();
        let started = Instant::now();
        let mut operator = self.tenant.operator(&ARGUMENTS);
        self.wait_synced();
        show("start until all are synced", format!("{:.1} s", started.elapsed().as_secs_f64()));
        show("CPU for it", format!("{:.2} s", Usage::of(operator.pid()).cpu));
        std::thread::sleep(WARM);
        show("memory after half a minute of refreshes", Usage::of(operator.pid()).memory());
        self.steady(&operator);
        operator.terminate();
        self.restart();
    }

    fn idle(&self) {
        for (what, arguments) in [("off", &[][..]), ("on", &ARGUMENTS[..])] {
            let mut operator = self.tenant.operator(arguments);
            std::thread::sleep(Duration::from_secs(20));
            show(&format!("memory, idle, front end {what}"), Usage::of(operator.pid()).memory());
            operator.terminate();
        }
    }

    fn create(&self) {
        std::thread::scope(|scope| {
            for part in 0..4 {
                let all = (part..self.objects).step_by(4);
                let secret = |i: usize| (0..ROWS).map(|row| (format!("k{row}"), json!(format!("{i}-{row}")))).collect();
                scope.spawn(move || all.for_each(|i| self.tenant.put(&name(i), Value::Object(secret(i)))));
            }
        });
        let account = json!({ "name": "app", "audiences": ["vault"] });
        let vault = json!({
            "server": self.tenant.cluster.vault_addr(), "path": "secret",
            "auth": { "kubernetes": { "role": self.tenant.namespace, "serviceAccountRef": account } },
        });
        self.tenant.apply(&self.object("SecretStore", "vault", json!({ "provider": { "vault": vault } })));
        let objects = (0..self.objects).map(|i| {
            let row = |row: usize| {
                let remote = json!({ "key": self.tenant.path(&name(i)), "property": format!("k{row}") });
                json!({ "secretKey": format!("k{row}"), "remoteRef": remote })
            };
            let data: Vec<Value> = (0..ROWS).map(row).collect();
            let spec = json!({ "secretStoreRef": { "name": "vault" }, "refreshInterval": INTERVAL, "data": data });
            self.object("ExternalSecret", &name(i), spec)
        });
        self.api.create_all(objects.collect());
    }

    fn object(&self, kind: &str, name: &str, spec: Value) -> Value {
        json!({
            "apiVersion": "external-secrets.io/v1", "kind": kind,
            "metadata": { "name": name, "namespace": self.tenant.namespace }, "spec": spec,
        })
    }

    fn wait_synced(&self) {
        let synced = || {
            let all = self.api.list("ExternalSecret", &self.tenant.namespace).expect("a list");
            all.iter().filter(|object| object["status"]["conditions"][0]["status"] == "True").count()
        };
        while synced() < self.objects {
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn steady(&self, operator: &Operator) {
        let count = Count::start(self.tenant);
        let before = Usage::of(operator.pid());
        std::thread::sleep(WINDOW);
        let after = Usage::of(operator.pid());
        let (reads, requests, logins) = (count.reads(), count.requests(), count.logins());
        let total: usize = reads.values().map(Vec::len).sum();
        let pauses = reads.values().flat_map(|times| times.windows(2).map(|pair| crate::since(pair[0], pair[1])));
        show("Kubernetes requests, logins in that window", format!("{}, {logins}", requests.len()));
        let seconds = WINDOW.as_secs_f64();
        let paths = format!("{total} of {} paths in {seconds} s", reads.len());
        show("Vault reads in that window", paths);
        show("seconds between two reads of a path", spread(pauses.collect()));
        let cpu = (after.cpu - before.cpu) / total as f64 * 1000.0;
        show("CPU per 1,000 unchanged refreshes", format!("{cpu:.3} s"));
        println!("  ESO's way with a refresh: {ROWS} reads, a login, a look-up, a revocation, an update of the status");
    }

    fn restart(&self) {
        let count = Count::start(self.tenant);
        let operator = self.tenant.operator(&ARGUMENTS);
        std::thread::sleep(WARM);
        let requests = count.requests();
        let writes = requests.iter().filter(|request| request.is_write()).count();
        show("restart: writes, other requests to Kubernetes", format!("{writes}, {}", requests.len() - writes));
        show("restart: memory", Usage::of(operator.pid()).memory());
    }
}
