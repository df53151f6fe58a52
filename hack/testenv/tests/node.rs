//! A real node: pods run and roll, several nodes live side by side, and nothing is left of them.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testenv::{Cluster, Environment, Options, Process, Skip, Tool, Tools, image};

const DEPLOYMENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: app
        image: localhost/demo-app:1
        securityContext:
          readOnlyRootFilesystem: true
          allowPrivilegeEscalation: false
          capabilities: {drop: [ALL]}
"#;

/// Says why there is no node here; a failure of any other kind is one.
fn start(options: Options) -> Option<Cluster> {
    match Cluster::start(options) {
        Ok(cluster) => Some(cluster),
        Err(error) if error.downcast_ref::<Skip>().is_some() => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error:#}"),
    }
}

fn options(name: Option<&str>) -> Options {
    Options { node: true, name: name.map(str::to_owned), ..Options::default() }
}

#[test]
fn pods_run_and_roll_on_two_nodes_at_once() {
    let run = || {
        let Some(cluster) = start(options(None)) else {
            return;
        };
        cluster.import_image(&image::workload().unwrap()).unwrap();
        cluster.kubectl_apply(DEPLOYMENT).unwrap();
        let wait = ["rollout", "status", "deployment/app", "--timeout=60s"];
        let names = ["get", "pods", "--field-selector=status.phase=Running", "-o=name"];
        cluster.kubectl(&wait).unwrap();
        let before = cluster.kubectl(&names).unwrap();
        assert_eq!(cluster.kubectl(&["logs", "deployment/app"]).unwrap(), "waiting\n");

        cluster.pause(Process::Kubelet).unwrap();
        cluster.kubectl(&["rollout", "restart", "deployment/app"]).unwrap();
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(cluster.kubectl(&names).unwrap(), before);
        cluster.resume(Process::Kubelet).unwrap();
        cluster.kubectl(&wait).unwrap();
        assert_ne!(cluster.kubectl(&names).unwrap(), before);

        cluster.kill(Process::ApiServer).unwrap();
        assert!(cluster.kubectl(&["get", "pods"]).is_err());
        cluster.start_again(Process::ApiServer).unwrap();
        cluster.stop(Process::Vault).unwrap();
        cluster.start_again(Process::Vault).unwrap();
        cluster.vault("GET", "auth/kubernetes/config", None).unwrap();
        let proxy = cluster.proxy("vault", cluster.vault_addr()).unwrap();
        proxy.cut().unwrap();
        assert!(cluster.is_up());
    };
    std::thread::scope(|scope| {
        scope.spawn(run);
        scope.spawn(run);
    });
}

#[test]
fn pods_log_in_to_postgresql_and_failures_are_counted() {
    if !Tools::default().has(Tool::Postgresql) {
        eprintln!("skipped: no PostgreSQL; `cargo testenv build --optional` gets it");
        return;
    }
    let Some(cluster) = start(options(None)) else {
        return;
    };
    let postgresql = cluster.postgresql().unwrap();
    postgresql.sql("CREATE ROLE app LOGIN PASSWORD 'hunter2'").unwrap();
    assert!(postgresql.accepts("app", "hunter2").unwrap());
    cluster.import_image(&image::client().unwrap()).unwrap();
    let secret = ["create", "secret", "generic", "app", "--from-literal=username=app"];
    cluster.kubectl(&[&secret[..], &["--from-literal=password=hunter2"]].concat()).unwrap();
    let deployment = DEPLOYMENT.replace(
        "        image: localhost/demo-app:1\n",
        &format!(
            "        image: {}\n        env: [{{name: ADDRESS, value: '{}'}}]\n        envFrom: [{{secretRef: {{name: app}}}}]\n",
            image::CLIENT,
            postgresql.addr()
        ),
    );
    cluster.kubectl_apply(&deployment).unwrap();
    let wait_for = |what: &str, is_there: &dyn Fn(&str) -> bool| {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let log = cluster.kubectl(&["logs", "deployment/app"]).unwrap_or_default();
            if is_there(&log) {
                return;
            }
            assert!(Instant::now() < deadline, "no {what}: {log}");
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    wait_for("logins", &|log| log.lines().any(|line| line.starts_with("logins ") && line.ends_with(", failures 0")));
    let (accepted, refused) = postgresql.logins("app").unwrap();
    assert!(accepted > 20 && refused == 0, "{accepted} {refused}");

    postgresql.sql("ALTER ROLE app PASSWORD 'hunter3'").unwrap();
    wait_for("refusal", &|log| log.contains("failure: password authentication failed for user \"app\""));
    assert!(postgresql.logins("app").unwrap().1 > 0);
    cluster.stop(Process::Postgresql).unwrap();
    wait_for("outage", &|log| log.contains("failure: no connection"));
    cluster.start_again(Process::Postgresql).unwrap();
    assert!(postgresql.accepts("app", "hunter3").unwrap());
}

/// Runs as a child of the next test.
#[test]
#[ignore = "it waits to be killed"]
fn holder() {
    let name = std::env::var("TESTENV_HOLD").unwrap();
    let _cluster = start(options(Some(&name)));
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
fn nothing_is_left_of_a_node_when_its_holder_is_killed() {
    if let Some(skip) = testenv::node::unavailable() {
        eprintln!("skipped: {skip}");
        return;
    }
    let name = format!("node-{}", std::process::id());
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holder", "--ignored"])
        .env("TESTENV_HOLD", &name)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    let environment = loop {
        match Environment::load(&name) {
            Ok(environment) => break environment,
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(100)),
            Err(error) => panic!("{error:#}"),
        }
    };
    environment.import_image(&image::workload().unwrap()).unwrap();
    environment.kubectl_apply(DEPLOYMENT).unwrap();
    let wait = ["rollout", "status", "deployment/app", "--timeout=60s"];
    environment.kubectl(&wait).unwrap();
    assert!(!control_groups(&environment).is_empty());

    holder.kill().unwrap();
    holder.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while environment.dir().exists() || !control_groups(&environment).is_empty() {
        assert!(Instant::now() < deadline, "{} is still there", environment.dir().display());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!environment.is_up());
    // Shims and containers do not carry the mark, but their arguments or their control groups name the directory.
    let mark = environment.dir().file_name().unwrap().to_str().unwrap();
    for process in std::fs::read_dir("/proc").unwrap() {
        for file in ["cmdline", "cgroup"] {
            let path = process.as_ref().unwrap().path().join(file);
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
            assert!(!text.contains(mark), "{}: {text}", path.display());
        }
    }
}

fn control_groups(environment: &Environment) -> Vec<PathBuf> {
    let id = environment.dir().file_name().unwrap();
    let mut roots = vec![PathBuf::from("/sys/fs/cgroup")];
    roots.extend(std::fs::read_dir("/sys/fs/cgroup").unwrap().map(|entry| entry.unwrap().path()));
    roots.into_iter().map(|root| root.join(id)).filter(|path| path.exists()).collect()
}
