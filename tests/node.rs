//! The mission, on real parts from end to end: `helm install` of the chart with an image of this very binary on a real
//! node, a Secret that follows Vault, a Deployment whose running pods are replaced.
//!
//! It is what `make demo` shows. Without root there is no node; then the same runs on the control plane alone, with the
//! operator as a process, and the output says so.

use testenv::demo::Demo;

#[test]
fn installed_with_helm_it_syncs_a_secret_and_restarts_running_pods() {
    let demo = Demo {
        name: format!("test-{}", std::process::id()),
        without_node: false,
        binary: Some(env!("CARGO_BIN_EXE_vault-secrets-operator").into()),
        keep: false,
    };
    demo.run().expect("the demonstration works");
}
