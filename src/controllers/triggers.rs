//! What makes an object due: changes of it, of what it refers to, and of the Secret it has written.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::servers::Authority;
use super::{Context, Key, Kind, conditions};
use crate::api::{
    CSISecrets, SecretTransformation, VaultAuth, VaultAuthGlobal, VaultConnection, VaultDynamicSecret, VaultPKISecret,
    VaultStaticSecret,
};
use crate::cluster::{Change, OWNED_SELECTOR, Scope, SecretSink, Store, StoreSink, WatchHealth, spawn_watch};
use crate::resolve::{self, ConnectionPlan, ObjectRef};
use crate::schedule::{Class, spread};
use crate::vault::ServerId;

/// A destination that somebody changed is looked at after this: whoever changes it may not be done, and our own write
/// comes back through the watch before its answer has been noted.
const SETTLE: Duration = Duration::from_secs(1);
/// Objects that share a login are tried again within this time after it changed.
pub(super) const DEPENDENTS_SPREAD: Duration = Duration::from_millis(200);

/// Objects of a Vault that came back are tried again within this time.
pub(super) const RECOVERY_SPREAD: Duration = Duration::from_secs(2);

/// Starts all watches. They end with `stop`.
pub fn spawn_watches(context: &Arc<Context>, stop: &CancellationToken) -> Vec<Arc<WatchHealth>> {
    let client = &context.client;
    let mut health = vec![];
    for scope in &context.scopes {
        let (own, stop) = (context.clone(), stop.clone());
        let changed = move |change| static_secret_changed(&own, change);
        let sink = StoreSink { store: context.statics.clone(), changed };
        health.push(spawn_watch(scope.api::<VaultStaticSecret>(client), None, scope, sink, stop.clone()));

        let own = context.clone();
        let touched = move |owner: ObjectRef| {
            if own.statics.get(&owner).is_some() {
                own.push(Kind::StaticSecret, owner, Instant::now() + SETTLE, Class::Event);
            }
        };
        let sink = SecretSink { index: context.secrets.clone(), touched };
        let api = scope.api::<PartialObjectMeta<Secret>>(client);
        health.push(spawn_watch(api, Some(OWNED_SELECTOR), scope, sink, stop.clone()));

        watch_unserved::<VaultDynamicSecret>(context, Kind::DynamicSecret, &context.dynamics, scope, &stop);
        watch_unserved::<VaultPKISecret>(context, Kind::PkiSecret, &context.pkis, scope, &stop);
        watch_unserved::<CSISecrets>(context, Kind::CsiSecrets, &context.csis, scope, &stop);
    }
    // The operator's own namespace is watched for logins and connections named `default`, and for what all tenants share,
    // whatever else is watched.
    for scope in Scope::and(context.scopes.clone(), &context.settings.operator_namespace) {
        let own = context.clone();
        let changed = move |change| auth_changed(&own, &change);
        let sink = StoreSink { store: context.auths.clone(), changed };
        health.push(spawn_watch(scope.api::<VaultAuth>(client), None, &scope, sink, stop.clone()));

        let own = context.clone();
        let changed = move |change| global_changed(&own, &change);
        let sink = StoreSink { store: context.globals.clone(), changed };
        health.push(spawn_watch(scope.api::<VaultAuthGlobal>(client), None, &scope, sink, stop.clone()));

        let own = context.clone();
        let changed = move |change| connection_changed(&own, &change);
        let sink = StoreSink { store: context.connections.clone(), changed };
        health.push(spawn_watch(scope.api::<VaultConnection>(client), None, &scope, sink, stop.clone()));

        let own = context.clone();
        let changed = move |change| transformation_changed(&own, &change);
        let sink = StoreSink { store: context.transformations.clone(), changed };
        health.push(spawn_watch(scope.api::<SecretTransformation>(client), None, &scope, sink, stop.clone()));
    }
    health
}

/// Watches a kind that is not served. Readiness does not wait for it: nothing refers to its objects, and where only the
/// operator was upgraded, its definition and the right to list it may be missing.
fn watch_unserved<K>(context: &Arc<Context>, kind: Kind, store: &Arc<Store<K>>, scope: &Scope, stop: &CancellationToken)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let own = context.clone();
    let changed = move |change: Change<K>| drop(relevant(&own, kind, &change));
    let sink = StoreSink { store: store.clone(), changed };
    spawn_watch(scope.api::<K>(&context.client), None, scope, sink, stop.clone());
}

fn static_secret_changed(context: &Context, change: Change<VaultStaticSecret>) {
    let now = Instant::now();
    match change {
        Change::Deleted(object) => {
            let id = id(&object.metadata);
            context.lock_queue().remove(&Key { kind: Kind::StaticSecret, id: id.clone() });
            context.runtimes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&id);
            context.client_cache.changed();
        }
        Change::Applied { old, new } => {
            let generation = new.metadata.generation;
            if old.as_ref().is_some_and(|old| old.metadata.generation != generation) {
                context.client_cache.changed();
            }
            let applied = new.status.as_ref().map_or(0, |s| s.last_generation);
            let class = match &old {
                _ if new.metadata.deletion_timestamp.is_some() || generation != Some(applied) => Class::Urgent,
                None => Class::Refresh,
                Some(_) => Class::Event,
            };
            if old.is_none_or(|old| differs(&old.metadata, &new.metadata)) {
                context.push(Kind::StaticSecret, id(&new.metadata), now, class);
            }
        }
    }
}

fn auth_changed(context: &Context, change: &Change<VaultAuth>) {
    let Some(id) = relevant(context, Kind::Auth, change) else { return };
    context.client_cache.changed();
    push_users(context, DEPENDENTS_SPREAD, |object| auth_of(context, object).as_ref() == Some(&id));
}

/// A VaultAuthGlobal is not reconciled itself: it is shown by the VaultAuths that use it, or would use it if it were there.
fn global_changed(context: &Context, change: &Change<VaultAuthGlobal>) {
    let id = match change {
        Change::Applied { old: Some(old), new } if !differs(&old.metadata, &new.metadata) => return,
        Change::Applied { new: object, .. } | Change::Deleted(object) => id(&object.metadata),
    };
    let operator_namespace = &context.settings.operator_namespace;
    let auths = context.auths.all().into_iter();
    let auths = auths.filter(|auth| resolve::global_candidates(auth, operator_namespace).contains(&id));
    let auths: HashSet<ObjectRef> = auths.map(|auth| self::id(&auth.metadata)).collect();
    for auth in &auths {
        context.push(Kind::Auth, auth.clone(), Instant::now(), Class::Event);
    }
    push_users(context, DEPENDENTS_SPREAD, |object| auth_of(context, object).is_some_and(|auth| auths.contains(&auth)));
}

fn connection_changed(context: &Context, change: &Change<VaultConnection>) {
    let Some(id) = relevant(context, Kind::Connection, change) else { return };
    context.client_cache.changed();
    let now = Instant::now();
    for auth in context.auths.all() {
        if connection_of(context, &auth).as_ref() == Some(&id) {
            context.push(Kind::Auth, self::id(&auth.metadata), now, Class::Event);
        }
    }
    push_users_of_connection(context, &id, DEPENDENTS_SPREAD);
}

/// A connection that did not work does: those that use it need not wait for their next try.
pub(super) fn connection_works_again(context: &Context, id: &ObjectRef) {
    push_users_of_connection(context, id, RECOVERY_SPREAD);
}

/// The certificate of a server was not trusted. True if that was for an authority that has been replaced since: who asks
/// again gets a server that is judged by the new one.
pub(super) async fn distrusted(context: &Context, plan: &ConnectionPlan, server: ServerId) -> bool {
    match context.servers.look_again(&context.client, plan, server).await {
        Ok(Authority::ReplacedBefore) => true,
        Ok(Authority::Replaced) => {
            tracing::info!(connection = %plan.id, "another certificate authority is trusted from now on");
            push_users_of_connection(context, &plan.id, RECOVERY_SPREAD);
            true
        }
        Ok(Authority::Same) | Err(_) => {
            // Its controller shows it, and looks for the new authority until it is there.
            let status = context.connections.get(&plan.id).and_then(|c| c.status.clone()).unwrap_or_default();
            if conditions::find(&status.conditions, "Ready").is_none_or(|c| c.status == "True") {
                context.push(Kind::Connection, plan.id.clone(), Instant::now(), Class::Event);
            }
            false
        }
    }
}

fn push_users_of_connection(context: &Context, id: &ObjectRef, within: Duration) {
    push_users(context, within, |object| {
        let auth = auth_of(context, object).and_then(|auth| context.auths.get(&auth));
        auth.and_then(|auth| connection_of(context, &auth)).as_ref() == Some(id)
    });
}

fn transformation_changed(context: &Context, change: &Change<SecretTransformation>) {
    // Those that refer to a new content look again when the controller has found whether it is valid.
    if let (Some(id), Change::Deleted(_)) = (relevant(context, Kind::Transformation, change), change) {
        push_users_of_transformation(context, &id);
    }
}

/// Queues the objects that refer to a SecretTransformation.
pub(super) fn push_users_of_transformation(context: &Context, id: &ObjectRef) {
    push_users(context, DEPENDENTS_SPREAD, |object| {
        let namespace = object.metadata.namespace.as_deref().unwrap_or("");
        resolve::transformation_refs(&object.spec.destination.transformation, namespace).any(|r| r == *id)
    });
}

/// Queues the object itself, and returns its name if those that refer to it have to look again.
fn relevant<K: Resource>(context: &Context, kind: Kind, change: &Change<K>) -> Option<ObjectRef> {
    match change {
        Change::Deleted(object) => {
            let id = id(object.meta());
            context.lock_queue().remove(&Key { kind, id: id.clone() });
            if kind == Kind::Connection {
                context.servers.forget(&id);
            }
            Some(id)
        }
        Change::Applied { old, new } => {
            let id = id(new.meta());
            if old.as_ref().is_some_and(|old| !differs(old.meta(), new.meta())) {
                return None;
            }
            context.push(kind, id.clone(), Instant::now(), Class::Event);
            Some(id)
        }
    }
}

fn push_users(context: &Context, within: Duration, uses: impl Fn(&VaultStaticSecret) -> bool) {
    if !context.running.load(Ordering::Relaxed) {
        return;
    }
    let mut rng = rand::rng();
    for object in context.statics.all() {
        if uses(&object) {
            let due = Instant::now() + spread(within, &mut rng);
            context.push(Kind::StaticSecret, id(&object.metadata), due, Class::Event);
        }
    }
}

/// UIDs of the VaultAuths that objects use, with the namespaces of these objects. Every kind that logs in has to be here.
pub(super) fn logins_in_use(context: &Context) -> impl Iterator<Item = (String, String)> {
    context.statics.all().into_iter().filter_map(|object| {
        let auth = context.auths.get(&auth_of(context, &object)?)?;
        Some((auth.metadata.uid.clone()?, object.metadata.namespace.clone()?))
    })
}

fn auth_of(context: &Context, object: &VaultStaticSecret) -> Option<ObjectRef> {
    let namespace = object.metadata.namespace.as_deref().unwrap_or("");
    ObjectRef::resolve(object.spec.vault_auth_ref.as_deref(), namespace, &context.settings.operator_namespace).ok()
}

fn connection_of(context: &Context, auth: &VaultAuth) -> Option<ObjectRef> {
    let namespace = auth.metadata.namespace.as_deref().unwrap_or("");
    // Without its VaultAuthGlobal it cannot be used, whatever becomes of connections.
    let merged = resolve::merged(auth, context).ok()?;
    let reference = merged.spec.vault_connection_ref.as_deref();
    ObjectRef::resolve(reference, namespace, &context.settings.operator_namespace).ok()
}

/// Whether anything changed that a controller reads; a change of status alone is an echo.
fn differs(old: &ObjectMeta, new: &ObjectMeta) -> bool {
    old.uid != new.uid
        || old.generation != new.generation
        || old.deletion_timestamp != new.deletion_timestamp
        || old.labels != new.labels
        || old.annotations != new.annotations
}

fn id(meta: &ObjectMeta) -> ObjectRef {
    ObjectRef::of(meta)
}
