//! What of the cluster a PushSecret is made of, and reaches its stores with: a change of it is a reason to look again.

use std::time::Instant;

use super::PushSecrets;
use super::state::State;
use super::task::Entries;
use crate::api::external_secrets::PushSecret;
use crate::api::{Key, ObjectRef};
use crate::controllers::named::{self, Name, Source};
use crate::controllers::store_names;
use crate::resolve::{PushTarget, StorePlan};

impl PushSecrets {
    /// Has the object told of changes of what it names, and takes in those that were told since the last run: the
    /// stores whose credentials are those of its namespace are due. `pushed` is what was pushed, and to where.
    pub(super) async fn follow(
        &self,
        key: &Key,
        object: &PushSecret,
        targets: &[PushTarget],
        pushed: &[(PushTarget, Entries)],
        state: &mut State,
    ) {
        let former = pushed.iter().map(|(target, _)| target).filter(|former| {
            // Each store once.
            targets.iter().all(|target| target.name != former.name)
        });
        let referent: Vec<(&str, &StorePlan)> = targets.iter().chain(former).filter_map(of_users).collect();
        self.access.feeds.set(key, names(object, &referent));
        // The Secret, and what templates are made of, are looked at in each run.
        let Some(change) = self.access.feeds.take_change(key) else { return };
        for (name, plan) in referent {
            self.access.on_change(plan, change).await;
            if let Some(target) = state.targets.get_mut(name) {
                target.due = Some(Instant::now());
            }
        }
    }
}

/// A store whose credentials are those of its users, by its name in the status. Those of other stores are followed by
/// the controller of the store.
fn of_users(target: &PushTarget) -> Option<(&str, &StorePlan)> {
    let plan = target.plan.as_ref().ok()?;
    plan.is_referent.then_some((target.name.as_str(), plan))
}

fn names(object: &PushSecret, referent: &[(&str, &StorePlan)]) -> Vec<Name> {
    let namespace = object.metadata.namespace.as_deref().unwrap_or("");
    let mut names: Vec<Name> = referent.iter().flat_map(|(_, plan)| store_names::names(plan)).collect();
    if let Some(secret) = &object.spec.selector.secret {
        let name = secret.name.as_deref().unwrap_or("");
        names.push((Source::Secrets, Some(ObjectRef::new(namespace, name))));
    }
    names.extend(named::of_template(namespace, object.spec.template.as_ref()));
    names
}
