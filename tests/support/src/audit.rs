//! What an operator asked of the API server and of Vault, counted in their own audit logs.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use chrono::{DateTime, Utc};
use testenv::{AuditEvent, Marker, VaultAuditEntry};

use crate::tenant::Tenant;

/// An audit event is written a moment after its answer.
const AUDIT_LAG: Duration = Duration::from_millis(500);

/// A window that opens when this is made.
pub struct Count<'a> {
    tenant: &'a Tenant<'a>,
    kubernetes: Marker,
    vault: Marker,
}

impl<'a> Count<'a> {
    /// Counts from now on.
    pub fn start(tenant: &'a Tenant<'a>) -> Self {
        std::thread::sleep(AUDIT_LAG);
        let kubernetes = tenant.cluster.kube_audit_marker().expect("the API server's audit log");
        let vault = tenant.cluster.vault_audit_marker().expect("Vault's audit log");
        Self { tenant, kubernetes, vault }
    }

    /// All requests of the operator to the API server, but for those that keep the Lease, and but for lists and
    /// watches: they belong to the process and not to an object. A request for a token is counted apart, with
    /// [`Self::tokens`].
    pub fn requests(&self) -> Vec<AuditEvent> {
        let all = self.of_operator().into_iter();
        all.filter(|e| e.resource != "leases" && e.verb != "watch" && e.verb != "list" && e.subresource != "token")
            .collect()
    }

    /// Tokens of service accounts that the operator asked for.
    pub fn tokens(&self) -> usize {
        self.of_operator().iter().filter(|e| e.subresource == "token").count()
    }

    /// Patches of a workload that the API server took from the operator.
    pub fn restarts(&self, resource: &str, name: &str) -> usize {
        let all = self.of_operator().into_iter();
        all.filter(|e| e.verb == "patch" && e.resource == resource && e.name == name && e.code == 200).count()
    }

    /// How many writes of an object the API server took from the operator, its creation left out: at least, and at
    /// most. Of one whose client was gone before its answer, the log does not say whether it was done.
    pub fn writes(&self, resource: &str, name: &str) -> RangeInclusive<i64> {
        let all = self.of_operator().into_iter();
        let mine = all.filter(|e| e.is_write() && e.verb != "create" && e.resource == resource && e.name == name);
        let codes: Vec<_> = mine.map(|e| e.code).collect();
        let count = |code: u16| i64::try_from(codes.iter().filter(|c| **c == code).count()).expect("a count");
        count(200)..=count(200) + count(504)
    }

    /// Logins of the tenant's service account that Vault granted.
    pub fn logins(&self) -> usize {
        self.logins_as(&self.tenant.namespace, "app")
    }

    /// Logins of a service account that Vault granted.
    pub fn logins_as(&self, namespace: &str, account: &str) -> usize {
        let holder = format!("kubernetes-{namespace}-{account}");
        let all = self.vault("response").into_iter();
        all.filter(|e| e.path == "auth/kubernetes/login" && e.raw["response"]["auth"]["display_name"] == *holder)
            .count()
    }

    /// When each path of the tenant was read.
    pub fn reads(&self) -> BTreeMap<String, Vec<DateTime<Utc>>> {
        let mut reads = BTreeMap::<_, Vec<_>>::new();
        for entry in self.vault("request") {
            if entry.operation == "read" && entry.path.contains(&format!("/{}/", self.tenant.namespace)) {
                let time = entry.time.parse().expect("a time");
                reads.entry(entry.path).or_default().push(time);
            }
        }
        reads
    }

    fn of_operator(&self) -> Vec<AuditEvent> {
        std::thread::sleep(AUDIT_LAG);
        let (events, _) = self.tenant.cluster.kube_audit_since(self.kubernetes).expect("the API server's audit log");
        let user = format!(
            "system:serviceaccount:{}:op-vault-secrets-operator-controller-manager",
            self.tenant.operator_namespace
        );
        events.into_iter().filter(|e| e.user == user).collect()
    }

    fn vault(&self, kind: &str) -> Vec<VaultAuditEntry> {
        let (entries, _) = self.tenant.cluster.vault_audit_since(self.vault).expect("Vault's audit log");
        entries.into_iter().filter(|e| e.kind == kind).collect()
    }
}

/// Requests in one line each, for the message of an assertion.
pub fn describe(events: &[AuditEvent]) -> String {
    let line = |e: &AuditEvent| format!("{} {} {} {} {}", e.verb, e.resource, e.subresource, e.name, e.code);
    events.iter().map(line).collect::<Vec<_>>().join("\n")
}
