//! The environment itself: everything in it is real, can be broken and mended, and leaves nothing behind.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use testenv::{Cluster, Environment, Options, Process, Server, Tool, Tools, VaultStorage};

#[test]
fn openbao_serves_and_keeps_what_vault_does() {
    if !Tools::default().has(Tool::OpenBao) {
        eprintln!("skipped: no OpenBao; `cargo testenv build --optional` gets it");
        return;
    }
    let options = Options { server: Server::OpenBao, vault: VaultStorage::Raft, ..Options::default() };
    let cluster = Cluster::start(options).unwrap();
    set_up_app(&cluster);
    let vault = cluster.vault_audit_marker().unwrap();
    let token = login(&cluster, "vault").unwrap();
    let (status, secret) = cluster.vault_raw("GET", "secret/data/app", None, &token).unwrap();
    assert_eq!((status, &secret["data"]["data"]["password"]), (200, &json!("hunter2")));
    let (entries, _) = cluster.vault_audit_since(vault).unwrap();
    assert!(entries.iter().any(|entry| entry.path == "secret/data/app"), "{entries:?}");

    cluster.vault_seal().unwrap();
    cluster.stop(Process::Vault).unwrap();
    cluster.start_again(Process::Vault).unwrap();
    cluster.vault_unseal().unwrap();
    cluster.vault("GET", "secret/data/app", None).unwrap();
    let shell = cluster.command("bao").args(["kv", "get", "-field=password", "secret/app"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&shell.stdout), "hunter2");
}

#[test]
fn of_three_nodes_one_can_be_lost() {
    if !Tools::default().has(Tool::OpenBao) {
        eprintln!("skipped: no OpenBao; `cargo testenv build --optional` gets it");
        return;
    }
    let options = Options { server: Server::OpenBao, vault: VaultStorage::RaftOfThree, ..Options::default() };
    let cluster = Cluster::start(options).unwrap();
    let raft = cluster.raft().unwrap();
    let first = raft.await_active(None).unwrap();
    cluster.vault_kv_put("secret/kept", json!({"a": 1})).unwrap();

    cluster.kill(Process::RaftNode(first)).unwrap();
    let second = raft.await_active(Some(first)).unwrap();
    cluster.vault("GET", "secret/data/kept", None).unwrap();
    cluster.start_again(Process::RaftNode(first)).unwrap();
    raft.unseal(first).unwrap();

    raft.cut_off(second);
    let third = raft.await_active(Some(second)).unwrap();
    cluster.vault_kv_put("secret/kept", json!({"a": 2})).unwrap();
    let of = |node: usize| raft.ask_with(node, "GET", "secret/data/kept", cluster.vault_token()).unwrap();
    assert_eq!(of(third).1["data"]["data"]["a"], 2);
    assert_ne!(of(second).1["data"]["data"]["a"], 2, "it is cut off");
    raft.heal();
    let begin = Instant::now();
    while of(second).1["data"]["data"]["a"] != 2 {
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not come back");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The secret `secret/app`, and a service account `app` that may log in and read it.
fn set_up_app(cluster: &Cluster) {
    cluster.kubectl(&["create", "serviceaccount", "app"]).unwrap();
    cluster.vault_policy("app", r#"path "secret/data/app" { capabilities = ["read"] }"#).unwrap();
    cluster.vault_kubernetes_role("app", &["app"], &["default"], &["app"], "1h").unwrap();
    assert_eq!(cluster.vault_kv_put("secret/app", json!({"password": "hunter2"})).unwrap(), 1);
}

/// Logs in with a token of the service account for this audience; the status where that is refused.
fn login(cluster: &Cluster, audience: &str) -> Result<String, u16> {
    let jwt = cluster.service_account_token("default", "app", &[audience]).unwrap();
    let body = json!({"role": "app", "jwt": jwt});
    match cluster.vault_raw("POST", "auth/kubernetes/login", Some(body), "").unwrap() {
        (200, answer) => Ok(answer["auth"]["client_token"].as_str().unwrap().to_owned()),
        (status, _) => Err(status),
    }
}

#[test]
fn a_login_goes_from_token_request_through_vault_to_token_review() {
    let cluster = Cluster::start(Options::default()).unwrap();
    set_up_app(&cluster);
    cluster.vault("POST", "kv1/app", Some(json!({"a": "1"}))).unwrap();

    let kube = cluster.kube_audit_marker().unwrap();
    let vault = cluster.vault_audit_marker().unwrap();
    let token = login(&cluster, "vault").unwrap();
    let (status, secret) = cluster.vault_raw("GET", "secret/data/app", None, &token).unwrap();
    assert_eq!((status, &secret["data"]["data"]["password"]), (200, &json!("hunter2")));
    let (status, _) = cluster.vault_raw("GET", "secret/data/other", None, &token).unwrap();
    assert_eq!(status, 403);

    // A token for another audience is refused.
    assert_eq!(login(&cluster, "other"), Err(403));

    let (entries, end) = cluster.vault_audit_since(vault).unwrap();
    assert!(end > vault);
    let reads: Vec<_> = entries.iter().filter(|e| e.kind == "response" && e.operation == "read").collect();
    assert_eq!(reads.len(), 2);
    assert_eq!(reads[0].path, "secret/data/app");
    assert_eq!(reads[0].display_name, "kubernetes-default-app");
    assert!(reads[1].error.contains("permission denied"), "{:?}", reads[1].error);

    std::thread::sleep(Duration::from_millis(200));
    let (events, _) = cluster.kube_audit_since(kube).unwrap();
    let review = events.iter().find(|event| event.resource == "tokenreviews").unwrap();
    assert_eq!(review.user, "system:serviceaccount:kube-system:vault-reviewer");
    assert_eq!((review.verb.as_str(), review.code), ("create", 201));
    assert!(!review.is_write());
    let request = events.iter().find(|event| event.subresource == "token").unwrap();
    assert_eq!((request.namespace.as_str(), request.name.as_str(), request.user.as_str()), ("default", "app", "admin"));

    // A service account's kubeconfig has that account's rights, not ours.
    let kubeconfig = cluster.service_account_kubeconfig("default", "app").unwrap();
    let kubeconfig = kubeconfig.to_str().unwrap();
    let refused = cluster.kubectl(&["--kubeconfig", kubeconfig, "get", "secrets"]).unwrap_err();
    assert!(refused.to_string().contains("system:serviceaccount:default:app"), "{refused}");
}

#[test]
fn processes_can_be_broken_and_mended() {
    let options = Options { vault: VaultStorage::Raft, ..Options::default() };
    let cluster = Cluster::start(options).unwrap();
    cluster.kubectl_apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: kept}}").unwrap();
    cluster.vault_kv_put("secret/kept", json!({"a": 1})).unwrap();
    let kept = || {
        cluster.kubectl(&["get", "configmap", "kept"]).unwrap();
        cluster.vault("GET", "secret/data/kept", None).unwrap();
    };

    cluster.kill(Process::ApiServer).unwrap();
    assert!(cluster.kubectl(&["get", "configmaps"]).is_err());
    assert!(!cluster.is_up());
    cluster.start_again(Process::ApiServer).unwrap();
    kept();

    cluster.stop(Process::Etcd).unwrap();
    cluster.start_again(Process::Etcd).unwrap();
    kept();

    cluster.vault_seal().unwrap();
    assert_eq!(cluster.vault_raw("GET", "secret/data/kept", None, cluster.vault_token()).unwrap().0, 503);
    cluster.vault_unseal().unwrap();
    kept();

    cluster.stop(Process::Vault).unwrap();
    assert!(cluster.vault_raw("GET", "sys/health", None, "").is_err());
    cluster.start_again(Process::Vault).unwrap();
    assert_eq!(cluster.vault_raw("GET", "sys/health", None, "").unwrap().0, 503);
    cluster.vault_unseal().unwrap();
    kept();

    cluster.pause(Process::Vault).unwrap();
    std::thread::scope(|scope| {
        let started = Instant::now();
        let answer = scope.spawn(kept);
        std::thread::sleep(Duration::from_secs(1));
        assert!(!answer.is_finished());
        cluster.resume(Process::Vault).unwrap();
        answer.join().unwrap();
        assert!(started.elapsed() >= Duration::from_secs(1));
    });
    cluster.stop(Process::ControllerManager).unwrap();
    cluster.start_again(Process::ControllerManager).unwrap();
    assert!(cluster.is_up());
}

#[test]
fn a_proxy_cuts_and_slows_connections() {
    let cluster = Cluster::start(Options::default()).unwrap();
    let proxy = cluster.proxy("api", cluster.api_server_url()).unwrap();
    let server = proxy.url("https");
    cluster.kubectl(&["create", "serviceaccount", "app"]).unwrap();
    let kubeconfig = cluster.service_account_kubeconfig_via("default", "app", &server).unwrap();
    let version_within = |limit: &str| {
        let started = Instant::now();
        let (kubeconfig, limit) = (kubeconfig.to_str().unwrap(), format!("--request-timeout={limit}"));
        let arguments = ["--kubeconfig", kubeconfig, "get", "--raw=/version", &limit];
        cluster.kubectl(&arguments).map(|_| started.elapsed())
    };
    let version = || version_within("60s");
    version().unwrap();
    proxy.cut().unwrap();
    assert!(version().is_err());
    proxy.restore().unwrap();
    version().unwrap();
    proxy.add_latency(500).unwrap();
    assert!(version().unwrap() >= Duration::from_millis(500));
    proxy.clear().unwrap();
    proxy.add_black_hole().unwrap();
    assert!(version_within("2s").is_err());
    proxy.clear().unwrap();
    version().unwrap();

    // A Vault in memory comes back as it was set up, without its data.
    cluster.kill(Process::Vault).unwrap();
    cluster.start_again(Process::Vault).unwrap();
    cluster.vault("GET", "auth/kubernetes/config", None).unwrap();
    cluster.vault("GET", "sys/mounts/kv1", None).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn postgresql_is_broken_and_mended_and_leaves_nothing_behind() {
    if !Tools::default().has(Tool::Postgresql) {
        eprintln!("skipped: no PostgreSQL; `cargo testenv build --optional` gets it");
        return;
    }
    let cluster = Cluster::start(Options::default()).unwrap();
    let started = Instant::now();
    let postgresql = cluster.postgresql().unwrap();
    eprintln!("PostgreSQL is up after {:.1} s", started.elapsed().as_secs_f32());
    postgresql.sql("CREATE ROLE app LOGIN PASSWORD 'hunter2'; CREATE TABLE kept (a int)").unwrap();
    postgresql.sql("INSERT INTO kept VALUES (1), (2)").unwrap();
    let kept = || {
        assert_eq!(postgresql.sql("SELECT a, a * 2 FROM kept").unwrap(), "1|2\n2|4");
        assert!(postgresql.accepts("app", "hunter2").unwrap());
        assert!(!postgresql.accepts("app", "hunter3").unwrap());
        assert!(!postgresql.accepts("nobody", "hunter2").unwrap());
    };
    kept();
    cluster.stop(Process::Postgresql).unwrap();
    postgresql.accepts("app", "hunter2").unwrap_err();
    // It was set up, so this does not start it.
    cluster.postgresql().unwrap();
    postgresql.accepts("app", "hunter2").unwrap_err();
    cluster.start_again(Process::Postgresql).unwrap();
    kept();
    for _ in 0..3 {
        cluster.kill(Process::Postgresql).unwrap();
        postgresql.accepts("app", "hunter2").unwrap_err();
        cluster.start_again(Process::Postgresql).unwrap();
        kept();
    }

    let data = cluster.dir().join("postgresql");
    let pid_file = std::fs::read_to_string(data.join("postmaster.pid")).unwrap();
    let memory = pid_file.lines().nth(6).unwrap().split_whitespace().nth(1).unwrap().to_owned();
    let is_there = || {
        let segments = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
        segments.lines().any(|line| line.split_whitespace().nth(1) == Some(&memory))
    };
    assert!(is_there());
    let processes = || {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        all.filter(|process| std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == data)).count()
    };
    assert!(processes() > 1);
    let dir = cluster.dir().to_owned();
    drop(cluster);
    let deadline = Instant::now() + Duration::from_secs(20);
    while dir.exists() {
        assert!(Instant::now() < deadline, "{} is still there", dir.display());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!is_there());
    assert_eq!(processes(), 0);
}

/// Runs as a child of the next test.
#[test]
#[ignore = "it waits to be killed"]
fn holder() {
    let name = std::env::var("TESTENV_HOLD").unwrap();
    let _cluster = Cluster::start(Options { name: Some(name), ..Options::default() }).unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
fn nothing_is_left_when_the_holder_is_killed() {
    let name = format!("hold-{}", std::process::id());
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holder", "--ignored"])
        .env("TESTENV_HOLD", &name)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(90);
    let environment = loop {
        match Environment::load(&name) {
            Ok(environment) => break environment,
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(100)),
            Err(error) => panic!("{error:#}"),
        }
    };
    let mut adopted = environment.adopt(Command::new("sleep").arg("600")).spawn().unwrap();
    assert!(environment.is_up());
    let services = environment.services();
    assert_eq!(services.len(), 4);

    holder.kill().unwrap();
    holder.wait().unwrap();
    adopted.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while environment.dir().exists() {
        assert!(Instant::now() < deadline, "{} is still there", environment.dir().display());
        std::thread::sleep(Duration::from_millis(50));
    }
    for (service, pid) in services {
        let path = format!("/proc/{}/environ", pid.unwrap());
        let variables = std::fs::read(path).unwrap_or_default();
        assert!(variables.is_empty(), "{service} still runs");
    }
}
