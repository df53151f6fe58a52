//! The API server refuses some requests: what comes after them does not happen, as after a crash at that point.

use serde_json::{Value, json};

use crate::dynamic::RESOURCE;
use test_support::{Tenant, eventually};

/// A ValidatingAdmissionPolicy in force. It ends when this is dropped.
pub struct Refusal<'a> {
    tenant: &'a Tenant<'a>,
    name: String,
}

impl<'a> Refusal<'a> {
    /// No write of the Secret `name`.
    pub fn of_secret(tenant: &'a Tenant<'a>, name: &str) -> Self {
        let rule = json!({
            "apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
            "resources": ["secrets"], "resourceNames": [name],
        });
        let probe = format!(
            r#"{{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"{name}","annotations":{{"probe":"1"}}}}}}"#
        );
        Self::of(tenant, rule, "false", || try_apply_dry(tenant, &probe))
    }

    /// No deletion of the Secret `name`.
    pub fn of_deletion(tenant: &'a Tenant<'a>, name: &str) -> Self {
        let rule = json!({
            "apiGroups": [""], "apiVersions": ["*"], "operations": ["DELETE"],
            "resources": ["secrets"], "resourceNames": [name],
        });
        Self::of(tenant, rule, "false", || tenant.kubectl(&["delete", "secret", name, "--dry-run=server"]).map(drop))
    }

    /// No status of the VaultDynamicSecret `name` with another lease than before. New credentials are announced there.
    pub fn of_lease(tenant: &'a Tenant<'a>, name: &str) -> Self {
        let rule = json!({
            "apiGroups": ["secrets.hashicorp.com"], "apiVersions": ["*"], "operations": ["UPDATE"],
            "resources": ["vaultdynamicsecrets/status"], "resourceNames": [name],
        });
        let expression = "object.status.secretLease.id == oldObject.status.secretLease.id";
        Self::of(tenant, rule, expression, || {
            let patch = r#"{"status":{"secretLease":{"id":"probe"}}}"#;
            let flags = ["--subresource=status", "--type=merge", "--dry-run=server", "--patch", patch];
            let mut arguments = vec!["patch", RESOURCE, name];
            arguments.extend(flags);
            tenant.kubectl(&arguments).map(drop)
        })
    }

    /// No write of the CronJob `name`.
    pub fn of_cron_job(tenant: &'a Tenant<'a>, name: &str) -> Self {
        let rule = json!({
            "apiGroups": ["batch"], "apiVersions": ["*"], "operations": ["UPDATE"],
            "resources": ["cronjobs"], "resourceNames": [name],
        });
        Self::of(tenant, rule, "false", || {
            let patch = r#"{"metadata":{"annotations":{"probe":"1"}}}"#;
            tenant.kubectl(&["patch", "cronjob", name, "--type=merge", "--dry-run=server", "--patch", patch]).map(drop)
        })
    }

    /// No `operation` on a resource of a group for which `expression` does not hold. `probe` is a command that is
    /// refused.
    pub fn of_operation(
        tenant: &'a Tenant<'a>,
        (group, resource): (&str, &str),
        operation: &str,
        expression: &str,
        probe: &[&str],
    ) -> Self {
        let rule = json!({
            "apiGroups": [group], "apiVersions": ["*"], "operations": [operation], "resources": [resource],
        });
        Self::of(tenant, rule, expression, || tenant.kubectl(probe).map(drop))
    }

    /// `probe` is a write that is refused.
    fn of(tenant: &'a Tenant<'a>, rule: Value, expression: &str, probe: impl Fn() -> anyhow::Result<()>) -> Self {
        let refusal = Self { tenant, name: format!("refusal-{}", tenant.namespace) };
        let object = |kind: &str, spec: Value| {
            json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
                "metadata": { "name": refusal.name }, "spec": spec,
            })
        };
        let selector = json!({ "matchLabels": { "kubernetes.io/metadata.name": tenant.namespace } });
        let constraints = json!({ "namespaceSelector": selector, "resourceRules": [rule] });
        let validations = json!([{ "expression": expression, "message": "not now" }]);
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": [
            object("ValidatingAdmissionPolicy", json!({ "matchConstraints": constraints, "validations": validations })),
            object(
                "ValidatingAdmissionPolicyBinding",
                json!({ "policyName": refusal.name, "validationActions": ["Deny"] }),
            ),
        ]});
        tenant.cluster.kubectl_apply(&list.to_string()).expect("the policy is applied");
        eventually("the policy is in force", || match probe() {
            Err(error) if format!("{error:#}").contains("not now") => Ok(()),
            other => Err(format!("{other:?}")),
        });
        refusal
    }
}

impl Drop for Refusal<'_> {
    fn drop(&mut self) {
        for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
            let _ = self.tenant.kubectl(&["delete", kind, &self.name]);
        }
    }
}

fn try_apply_dry(tenant: &Tenant<'_>, object: &str) -> anyhow::Result<()> {
    let file = tenant.cluster.dir().join(format!("{}-probe.json", tenant.namespace));
    std::fs::write(&file, object)?;
    tenant
        .kubectl(&["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", &file.to_string_lossy()])
        .map(drop)
}
