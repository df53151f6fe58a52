//! Generators: what they make for the objects that name them. They have no status, so nothing reconciles them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::{StdRng, SysRng};

use super::controller::Watches;
use super::retry::Retry;
use super::store_access::{NoSession, StoreAccess};
use super::store_failure::{StoreFailure, StoreInterruption};
use super::vault_access::Unanswered;
use crate::api::external_secrets::generator::VaultGenerator;
use crate::api::{CustomObject, Key};
use crate::external_secret::{Data, password};
use crate::kubernetes::{Change, Store};
use crate::providers::{self, ProviderError};
use crate::resolve::{Generates, GeneratorPlan, VaultStore};
use crate::vault::{Session, SessionError};
use crate::workqueue::{Job, Next};

/// A login that could not be taken up is tried again after this.
const RESUME_RETRY_DELAY: Duration = Duration::from_secs(60);

/// What a generator has made.
#[derive(Clone)]
pub(super) struct Generated {
    /// What the Secret gets, by key.
    pub data: Data,
    /// How long it is good for, if Vault says so. Nothing renews or revokes it.
    pub lasts: Option<Duration>,
}

/// Why a generator has made nothing.
enum GenerateError {
    /// There is no login for its Vault.
    NoSession(NoSession),
    /// Vault did not do it.
    Vault(ProviderError),
    /// It cannot be done.
    Unusable(String),
}

impl StoreAccess {
    /// Has a generator make its data for a run. Each call makes other data. A session in use goes to `sessions`;
    /// `failed` makes what is told of its cause.
    pub(super) async fn make(
        &self,
        job: &Job<Key>,
        plan: &GeneratorPlan,
        sessions: &mut Vec<Arc<Session>>,
        failed: impl Fn(String) -> StoreFailure,
    ) -> Result<Generated, StoreInterruption> {
        let error = match self.generate(job, plan, sessions).await {
            Ok(made) => return Ok(made),
            Err(error) => error,
        };
        match (error, &plan.what, sessions.last()) {
            (GenerateError::NoSession(NoSession::NoPermit(lane)), ..) => Err(StoreInterruption::Yield(Some(lane))),
            (GenerateError::NoSession(NoSession::Unusable(why)), ..) => Err(failed(why).into()),
            // A change of the generator is told by its watch.
            (GenerateError::Unusable(why), ..) => Err(failed(why).until_changed().into()),
            (GenerateError::Vault(ProviderError::Vault(error)), Generates::Vault(request), Some(session)) => {
                let failure = failed(error.to_string());
                Err(self.vault_failed(&request.vault, session, failure, error).await)
            }
            (GenerateError::Vault(error), ..) => Err(failed(error.to_string()).into()),
        }
    }

    /// Takes up the stored logins of generators whose data is that of an earlier process: what was made with a token
    /// ends with it, and only a login in use is renewed. Gives when the object is due, which is sooner than `next` if a
    /// login was not taken up.
    pub(super) async fn resume(
        &self,
        job: &Job<Key>,
        generators: &[GeneratorPlan],
        sessions: &mut Vec<Arc<Session>>,
        next: Next,
    ) -> Next {
        if !sessions.is_empty() || !self.vault.logins.is_persistent() {
            return next;
        }
        let retry = next.or_retry_at(Instant::now() + RESUME_RETRY_DELAY);
        let mut resumed = vec![];
        for generator in generators {
            let Generates::Vault(request) = &generator.what else { continue };
            let Ok(session) = self.session(job, &request.vault).await else { return retry };
            if session.token_in_use().await.is_err() {
                return retry;
            }
            self.vault.logins.store(&session, &request.vault.auth()).await;
            resumed.push(session);
        }
        *sessions = resumed;
        next
    }

    /// How a run ends whose Vault has not answered as it should.
    pub(super) async fn vault_failed(
        &self,
        vault: &VaultStore,
        session: &Session,
        failure: StoreFailure,
        error: SessionError,
    ) -> StoreInterruption {
        match self.vault.on_error(&vault.login.connection, session, error).await {
            Unanswered::OtherServer => StoreInterruption::Yield(Some(session.server.id)),
            Unanswered::Request(error) => StoreFailure { retry: Retry::after_request(&error), ..failure }.into(),
            Unanswered::Login(error, next) => {
                StoreFailure { retry: Retry::after_login(&error, next), ..failure }.into()
            }
        }
    }

    async fn generate(
        &self,
        job: &Job<Key>,
        plan: &GeneratorPlan,
        sessions: &mut Vec<Arc<Session>>,
    ) -> Result<Generated, GenerateError> {
        let rng = || StdRng::try_from_rng(&mut SysRng).map_err(|error| GenerateError::Unusable(error.to_string()));
        let data = match &plan.what {
            Generates::Passwords(spec) => {
                let what = plan.version.0.as_str();
                let made = password::passwords(spec, &mut rng()?);
                made.map_err(|why| GenerateError::Unusable(format!("generator {what}: {why}")))?
            }
            Generates::Uuid => password::uuid(&mut rng()?),
            Generates::Vault(request) => {
                let session = self.session(job, &request.vault).await.map_err(GenerateError::NoSession)?;
                sessions.push(session.clone());
                self.vault.work.keep_on(&job.key);
                let (data, lasts) = providers::generated(&session, request).await.map_err(GenerateError::Vault)?;
                self.vault.logins.store(&session, &request.vault.auth()).await;
                return Ok(Generated { data, lasts: (!lasts.is_zero()).then_some(lasts) });
            }
        };
        Ok(Generated { data, lasts: None })
    }

    /// Starts the watches of the generators.
    pub(super) fn watch_generators(&self, watches: &mut Watches<'_>) {
        let stores = self.vault.stores.clone();
        self.watch_generator(&stores.passwords, watches);
        self.watch_generator(&stores.uuids, watches);
        self.watch_generator(&stores.vault_generators, watches);
    }

    fn watch_generator<K>(&self, store: &Arc<Store<K>>, watches: &mut Watches<'_>)
    where
        K: CustomObject + kube::Resource<DynamicType = ()>,
    {
        let vault = self.vault.clone();
        store.listen(move |change| {
            let key = match &change {
                Change::Deleted(object) => {
                    vault.servers.forget(&object.key());
                    object.key()
                }
                Change::Applied { new, .. } => new.key(),
            };
            vault.dependents.of_generator(&key);
            if key.kind == VaultGenerator::KIND {
                vault.logins.users_changed();
            }
        });
        watches.optional(store.clone());
    }
}
