//! How to look around after the demonstration, and how to end it.

use super::ground::{Ground, Level};
use super::{NAMESPACE, OPERATOR_NAMESPACE, POLICY, RELEASE, own};

/// What lives on after the demonstration.
#[derive(Debug)]
pub(super) struct Kept(pub(super) Ground);

impl Kept {
    /// How to look around and how to end it.
    pub(super) fn farewell(&self) -> String {
        let Kept(ground) = self;
        let (name, server) = (ground.environment.name(), ground.environment.server.command());
        let enter = match ground.level {
            Level::Own => {
                return format!(
                    "To look around:\n  \
                     kubectl --namespace {NAMESPACE} get vaultstaticsecrets,secrets,pods\n  \
                     kubectl --namespace {OPERATOR_NAMESPACE} logs deployment/{RELEASE}-controller-manager\n\
                     To end it:\n{}\n  \
                     {server} secrets disable {} && {server} auth disable {} && {server} policy delete {}",
                    own::clear_away(),
                    ground.kv_mount,
                    ground.auth_mount,
                    POLICY,
                );
            }
            _ => format!("cargo testenv exec --name {name} --"),
        };
        let logs = match ground.level {
            Level::Node => {
                format!("{enter} kubectl -n {OPERATOR_NAMESPACE} logs deployment/{RELEASE}-controller-manager")
            }
            _ => format!("less {}", ground.environment.dir.join("logs/operator.log").display()),
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
