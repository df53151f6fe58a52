//! Policies of an API server that deny writes.

use serde_json::json;

use test_support::{Tenant, eventually};

/// A policy of the API server for objects of the tenant's namespace. Ends when it is dropped.
pub struct Policy<'a> {
    tenant: &'a Tenant<'a>,
    name: String,
}

impl<'a> Policy<'a> {
    /// Operations on a resource of a group that do not fulfil `expression` are denied. `probe` is a command that the policy
    /// denies.
    pub fn new(
        tenant: &'a Tenant<'a>,
        (group, resource): (&str, &str),
        operation: &str,
        expression: &str,
        probe: &[&str],
    ) -> Self {
        let name = format!("{}-{}", tenant.namespace, operation.to_lowercase());
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": { "name": name },
            "spec": {
                "matchConstraints": { "resourceRules": [{
                    "apiGroups": [group], "apiVersions": ["*"], "operations": [operation], "resources": [resource],
                }] },
                "matchConditions": [{ "name": "here", "expression": format!("request.namespace == '{}'", tenant.namespace) }],
                "validations": [{ "expression": expression, "message": "not now" }],
            },
        });
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": { "name": name }, "spec": { "policyName": name, "validationActions": ["Deny"] },
        });
        for object in [policy, binding] {
            tenant.cluster.kubectl_apply(&object.to_string()).expect("the policy is accepted");
        }
        let policy = Self { tenant, name };
        eventually("the policy works", || match tenant.kubectl(probe) {
            Err(error) if format!("{error:#}").contains("not now") => Ok(()),
            other => Err(format!("{other:?}")),
        });
        policy
    }
}

impl Drop for Policy<'_> {
    fn drop(&mut self) {
        for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
            let _ = self.tenant.cluster.kubectl(&["delete", kind, &self.name]);
        }
    }
}
