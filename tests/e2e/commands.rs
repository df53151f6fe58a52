//! `upgrade-crds` and `uninstall`, which the chart's hooks run.

use std::process::{Command, Output};

use serde_json::{Value, json};
use testenv::{Cluster, Options};

use test_support::{Tenant, eventually, own};

const NAMESPACE: &str = "vso";

/// Runs a command with the rights that the chart gives to its hook.
fn run(cluster: &Cluster, account: &str, args: &[&str]) -> Output {
    let account = format!("op-vault-secrets-operator-{account}");
    let kubeconfig = cluster.service_account_kubeconfig(NAMESPACE, &account).expect("a kubeconfig");
    let mut command = Command::new(env!("CARGO_BIN_EXE_vault-secrets-operator"));
    command.env_clear().env("KUBECONFIG", kubeconfig).args(args);
    command.output().expect("it runs")
}

/// The chart's objects, and those that only its hooks make.
fn install(cluster: &Cluster) {
    cluster.kubectl(&["create", "namespace", NAMESPACE]).expect("a namespace");
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/vault-secrets-operator");
    let set = ["--set", "controller.replicas=0"];
    let args = [&["template", "op", chart, "--namespace", NAMESPACE][..], &set].concat();
    cluster.kubectl_apply(&cluster.helm(&args).expect("the chart renders")).expect("its objects are accepted");
}

fn said(output: &Output) -> String {
    [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat()
}

/// A kind that ended: upstream's older chart has left its definition, and objects.
fn ended() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": "hcpvaultsecretsapps.secrets.hashicorp.com" },
        "spec": {
            "group": "secrets.hashicorp.com",
            "names": { "kind": "HCPVaultSecretsApp", "plural": "hcpvaultsecretsapps", "singular": "hcpvaultsecretsapp" },
            "scope": "Namespaced",
            "versions": [{
                "name": "v1beta1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
            }],
        },
    })
}

fn object(kind: &str, namespace: &str, finalizers: &[&str], spec: Value) -> Value {
    json!({
        "apiVersion": "secrets.hashicorp.com/v1beta1",
        "kind": kind,
        "metadata": { "name": "x", "namespace": namespace, "finalizers": finalizers },
        "spec": spec,
    })
}

fn apply(cluster: &Cluster, object: &Value) {
    cluster.kubectl_apply(&object.to_string()).expect("the object is accepted");
}

fn finalizers(cluster: &Cluster, kind: &str, namespace: &str) -> String {
    let resource = format!("{kind}.secrets.hashicorp.com");
    cluster
        .kubectl(&["get", &resource, "x", "-n", namespace, "-o", "jsonpath={.metadata.finalizers}"])
        .expect("the object")
}

const FOREIGN: &str = "example.com/keep";

#[test]
fn definitions_are_upgraded_and_finalizers_released() {
    let cluster = own(Options::default());
    install(&cluster);
    // An installation that is older: a definition lacks a column and carries a label of its owner.
    let crd = "vaultstaticsecrets.secrets.hashicorp.com";
    let patch = r#"[{"op":"remove","path":"/spec/versions/0/additionalPrinterColumns"}]"#;
    cluster.kubectl(&["patch", "crd", crd, "--type=json", "-p", patch]).unwrap();
    cluster.kubectl(&["label", "crd", crd, "owner=platform"]).unwrap();
    cluster.kubectl(&["delete", "crd", "secrettransformations.secrets.hashicorp.com"]).unwrap();
    apply(&cluster, &ended());
    cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"]).unwrap();
    let left = object(
        "HCPVaultSecretsApp",
        "default",
        &["hcpvaultsecretsapp.secrets.hashicorp.com/finalizer", FOREIGN],
        json!({ "anything": 1 }),
    );
    apply(&cluster, &left);

    let output = run(&cluster, "upgrade-crds", &["upgrade-crds"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("hcpvaultsecretsapps: finalizers taken off 1 objects, 0 left"), "{}", said(&output));
    let columns = ["get", "crd", crd, "-o", "jsonpath={.spec.versions[0].additionalPrinterColumns[*].name}"];
    assert!(cluster.kubectl(&columns).unwrap().contains("Synced"));
    let owner = ["get", "crd", crd, "-o", "jsonpath={.metadata.labels.owner}"];
    assert_eq!(cluster.kubectl(&owner).unwrap(), "platform", "what others have set stays");
    assert!(cluster.kubectl(&["get", "secrettransformations", "-A"]).is_ok(), "what was missing is there");
    assert_eq!(finalizers(&cluster, "hcpvaultsecretsapps", "default"), format!("[\"{FOREIGN}\"]"));
    assert!(run(&cluster, "upgrade-crds", &["upgrade-crds"]).status.success(), "a second time is no trouble");
    apply(&cluster, &left);

    // As the chart's pre-delete hook calls it, with objects as upstream leaves them, in several namespaces.
    let kinds = [
        ("VaultConnection", "vaultconnection", json!({ "address": "http://vault" })),
        ("VaultAuth", "vaultauth", json!({ "method": "kubernetes", "mount": "kubernetes" })),
        (
            "VaultStaticSecret",
            "vaultstaticsecret",
            json!({ "type": "kv-v2", "mount": "m", "path": "p", "destination": { "name": "d" } }),
        ),
        (
            "VaultDynamicSecret",
            "vaultdynamicsecret",
            json!({ "mount": "m", "path": "p", "destination": { "name": "d" } }),
        ),
        // The plural is upstream's.
        ("VaultPKISecret", "vaultpkisecrets", json!({ "mount": "m", "role": "r", "destination": { "name": "d" } })),
    ];
    for namespace in ["default", "a", "b", "c", "d"] {
        let _ = cluster.kubectl(&["create", "namespace", namespace]);
        for (kind, name, spec) in &kinds {
            let own = format!("{name}.secrets.hashicorp.com/finalizer");
            apply(&cluster, &object(kind, namespace, &[&own, FOREIGN], spec.clone()));
        }
    }
    let output = run(&cluster, "controller-manager", &["--uninstall", "--pre-delete-hook-timeout-seconds=60"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(finalizers(&cluster, "hcpvaultsecretsapps", "default"), format!("[\"{FOREIGN}\"]"));
    for namespace in ["default", "a", "b", "c", "d"] {
        for (kind, ..) in &kinds {
            assert_eq!(finalizers(&cluster, kind, namespace), format!("[\"{FOREIGN}\"]"), "{kind} in {namespace}");
        }
    }

    // What cannot be released is describe, and is a failure.
    apply(&cluster, &object("VaultAuth", "a", &["vaultauth.secrets.hashicorp.com/finalizer"], kinds[1].2.clone()));
    let refuse = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": "keep" },
        "spec": {
            "matchConstraints": { "resourceRules": [{
                "apiGroups": ["secrets.hashicorp.com"], "apiVersions": ["*"], "operations": ["UPDATE"],
                "resources": ["vaultauths"],
            }] },
            "validations": [{ "expression": "false", "message": "not now" }],
        },
    });
    apply(&cluster, &refuse);
    let bind = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": "keep" },
        "spec": { "policyName": "keep", "validationActions": ["Deny"] },
    });
    apply(&cluster, &bind);
    let label = ["label", "vaultauth", "x", "-n", "a", "try=1", "--dry-run=server"];
    eventually("the policy works", || match cluster.kubectl(&label) {
        Ok(_) => Err("it does not yet"),
        Err(_) => Ok(()),
    });
    let output = run(&cluster, "controller-manager", &["uninstall", "--pre-delete-hook-timeout-seconds=2"]);
    assert!(!output.status.success());
    let last = said(&output);
    assert!(last.contains("1 vaultauths") && last.contains("not now"), "{last}");
}

#[test]
fn a_namespace_that_is_gone_does_not_hold_up_an_uninstall() {
    let tenant = Tenant::new("uninstall");
    let mut object = tenant.static_secret("db", json!({}));
    object["metadata"]["finalizers"] = json!(["vaultstaticsecret.secrets.hashicorp.com/finalizer"]);
    tenant.apply(&object);
    let account = "op-vault-secrets-operator-controller-manager";
    let kubeconfig =
        tenant.cluster.service_account_kubeconfig(&tenant.operator_namespace, account).expect("a kubeconfig");
    // The roles of a namespace go with it.
    let namespaces = format!("{0}-gone,{0}", tenant.namespace);
    let uninstall = |namespaces: &str| {
        Command::new(env!("CARGO_BIN_EXE_vault-secrets-operator"))
            .env_clear()
            .envs([("OPERATOR_NAMESPACE", tenant.operator_namespace.as_str())])
            .env("KUBECONFIG", &kubeconfig)
            .args(["uninstall", "--pre-delete-hook-timeout-seconds=20", "--watch-namespaces", namespaces])
            .output()
            .expect("it runs")
    };
    let output = uninstall(&namespaces);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains(&format!("in {}-gone: ", tenant.namespace)), "{}", said(&output));
    assert!(tenant.get("vaultstaticsecret", "db").expect("the object")["metadata"]["finalizers"].is_null());
}
