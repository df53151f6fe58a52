//! How to look around after the demonstration, and how to end it.

use super::target::{Level, Target};
use super::{NAMESPACE, OPERATOR_NAMESPACE, POLICY, RELEASE, existing_cluster};

/// What lives on after the demonstration.
#[derive(Debug)]
pub(super) struct NextSteps(pub(super) Target);

impl NextSteps {
    /// How to look around and how to end it.
    pub(super) fn text(&self) -> String {
        let NextSteps(target) = self;
        let (name, server) = (target.environment.name(), target.environment.server.command());
        let enter = match target.level {
            Level::ExistingCluster => {
                return format!(
                    "To look around:\n  \
                     kubectl --namespace {NAMESPACE} get vaultstaticsecrets,secrets,pods\n  \
                     kubectl --namespace {OPERATOR_NAMESPACE} logs deployment/{RELEASE}-controller-manager\n\
                     To end it:\n{}\n  \
                     {server} secrets disable {} && {server} auth disable {} && {server} policy delete {}",
                    existing_cluster::clear_away(),
                    target.kv_mount,
                    target.auth_mount,
                    POLICY,
                );
            }
            _ => format!("cargo testenv exec --name {name} --"),
        };
        let logs = match target.level {
            Level::Node => {
                format!("{enter} kubectl -n {OPERATOR_NAMESPACE} logs deployment/{RELEASE}-controller-manager")
            }
            _ => format!("less {}", target.environment.dir.join("logs/operator.log").display()),
        };
        format!(
            "To look around:\n  \
             {enter} sh                          # a shell with kubectl, helm and {server}\n  \
             {enter} kubectl -n {NAMESPACE} get vaultstaticsecret app -o yaml\n  \
             {enter} {server} kv put secret/demo/app username=app password=third\n  \
             {logs}\n\
             To end it, leaving nothing behind:\n  \
             cargo testenv down --name {name}"
        )
    }
}
