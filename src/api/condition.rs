//! Conditions: their types and reasons, and how new values are put over old ones. Equal state in, equal state out.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

mod model;

pub use model::{Condition, Word};

/// An enum whose values are written as they are called.
macro_rules! words {
    ($(#[$of_enum:meta])* pub enum $name:ident { $($(#[$of_word:meta])* $word:ident,)+ }) => {
        $(#[$of_enum])*
        pub enum $name {
            $($(#[$of_word])* $word,)+
        }

        impl $name {
            /// The word as it stands in conditions and events.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$word => stringify!($word),)+
                }
            }
        }

        impl From<$name> for &'static str {
            fn from(word: $name) -> Self {
                word.as_str()
            }
        }
    };
}

words! {
    /// What a condition is about.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
    pub enum ConditionType {
        /// A VaultAuthGlobal was found and merged.
        Available,
        /// The certificate in the Secret has not ended.
        CertificateValid,
        /// The object does what it is for.
        Healthy,
        /// Events of Vault arrive.
        InstantUpdates,
        /// The lease of the credentials was renewed when it was due.
        LeaseRenewal,
        /// The object can be used.
        Ready,
        /// The settings of a VaultConnection are right.
        ResourceValidation,
        /// All restart targets run with the newest content.
        RolloutComplete,
        /// The workloads were restarted for the last change of the content.
        RolloutRestart,
        /// The Secret holds what Vault holds.
        SecretSynced,
        /// Vault answers.
        VaultPing,
    }
}

words! {
    /// The one word for what led to a condition or an event. VSO's, where VSO has one.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
    pub enum Reason {
        /// The object was checked and can be used.
        Accepted,
        /// The certificate in the Secret has ended.
        CertificateExpired,
        /// A certificate was issued.
        CertificateIssued,
        /// A certificate should have been replaced by now.
        CertificateRenewalOverdue,
        /// A certificate could not be revoked.
        CertificateRevocationError,
        /// A certificate was revoked.
        CertificateRevoked,
        /// A Secret was made. ESO's.
        Created,
        /// A stored Vault client was not trusted.
        ClientCacheEntryDropped,
        /// Vault clients cannot be stored.
        ClientCacheStorageError,
        /// A Secret was deleted. ESO's.
        Deleted,
        /// The token's policy does not allow it.
        Denied,
        /// Something could not be pushed. ESO's.
        Errored,
        /// An event stream could not be opened.
        EventWatcherError,
        /// An event stream was opened.
        EventWatcherStarted,
        /// The object does what it is for.
        Healthy,
        /// What takes long is not done yet.
        InProgress,
        /// The destination does not exist and must not be created.
        InexistentDestination,
        /// A store cannot be used as it is. ESO's.
        InvalidProviderConfig,
        /// A reference cannot be understood.
        InvalidResourceRef,
        /// The settings cannot work.
        InvalidConfiguration,
        /// A store does not hold what an entry names. ESO's.
        MissingProviderSecret,
        /// The owner of another object did not allow its use.
        NotAllowed,
        /// The server has no event stream.
        NotAvailable,
        /// The object can be used.
        Ready,
        /// All restart targets run with the newest content.
        RolloutComplete,
        /// A restart target does not run with the newest content yet.
        RolloutInProgress,
        /// A workload could not be restarted.
        RolloutRestartFailed,
        /// A workload was restarted.
        RolloutRestartTriggered,
        /// Condition of workloads of which one could not be restarted.
        RolloutRestartTriggeredFailed,
        /// New credentials are in the Secret, in place of others.
        SecretRotated,
        /// A Secret was deleted, since the store holds nothing any more. ESO's.
        SecretDeleted,
        /// A lease was renewed.
        SecretLeaseRenewal,
        /// A lease could not be renewed.
        SecretLeaseRenewalError,
        /// A lease was revoked, or could not be.
        SecretLeaseRevoke,
        /// The data of the Secret could not be made.
        SecretDataBuilderError,
        /// There is no Secret, and none is to be made. ESO's.
        SecretMissing,
        /// The Secret could not be written.
        SecretSyncError,
        /// The Secret was written.
        SecretSynced,
        /// A Secret is not what the stores hold. ESO's.
        SecretSyncedError,
        /// The CSI driver serves the object, and not the operator.
        ServedByDriver,
        /// What was pushed is deleted, since the Secret is gone. ESO's.
        SourceDeleted,
        /// The Secret holds what Vault holds.
        Synced,
        /// The status of an object could not be written.
        StatusUpdateError,
        /// A transformation cannot be used.
        TransformationError,
        /// The object does not do what it is for.
        Unhealthy,
        /// It cannot be said which login an object needs.
        Unrecoverable,
        /// A Secret could not be made what the stores hold. ESO's.
        UpdateFailed,
        /// A Secret was written. ESO's.
        Updated,
        /// A store was checked. ESO's.
        Valid,
        /// A store could not be checked. ESO's.
        ValidationUnknown,
        /// A VaultAuth refers to a VaultAuthGlobal.
        VaultAuthGlobalRef,
        /// The settings of the connection or the login cannot work.
        VaultClientConfigError,
        /// A request to Vault failed.
        VaultClientError,
        /// Vault is sealed.
        VaultSealed,
        /// The settings of a VaultStaticSecret cannot work.
        VaultStaticSecretError,
        /// Vault answers and serves nothing.
        VaultUnavailable,
    }
}

words! {
    /// Whether a condition holds.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
    pub enum ConditionStatus {
        /// It holds.
        True,
        /// It does not hold.
        False,
        /// The operator cannot tell.
        Unknown,
    }
}

/// The new value of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionUpdate<'a> {
    /// What it is about.
    pub type_: ConditionType,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// What led to it.
    pub reason: Reason,
    /// Details for a person to read.
    pub message: Cow<'a, str>,
}

impl<'a> ConditionUpdate<'a> {
    /// A condition that holds.
    pub fn holds(type_: ConditionType, reason: Reason, message: impl Into<Cow<'a, str>>) -> Self {
        Self { type_, status: ConditionStatus::True, reason, message: message.into() }
    }

    /// A condition that does not hold.
    pub fn fails(type_: ConditionType, reason: Reason, message: impl Into<Cow<'a, str>>) -> Self {
        Self { type_, status: ConditionStatus::False, reason, message: message.into() }
    }

    /// A condition of which the operator cannot tell whether it holds.
    pub fn unknown(type_: ConditionType, reason: Reason, message: impl Into<Cow<'a, str>>) -> Self {
        Self { type_, status: ConditionStatus::Unknown, reason, message: message.into() }
    }
}

/// Longest message that is written, in bytes. The schema takes more, and no person reads more.
const MAX_MESSAGE_BYTES: usize = 4096;

/// Puts new values over old conditions. Each condition stays where it is in the list, with an update or without; new
/// types come last. So a condition that is not part of every run, such as that of restarts, moves nothing when it is
/// left out. `lastTransitionTime` moves only if the status does.
pub fn merge(old: &[Condition], generation: i64, updates: &[ConditionUpdate<'_>]) -> Vec<Condition> {
    put_over(old, Some(generation), updates)
}

/// The same for a kind of ESO's, whose conditions tell no generation.
pub fn merge_without_generation(old: &[Condition], updates: &[ConditionUpdate<'_>]) -> Vec<Condition> {
    put_over(old, None, updates)
}

fn put_over(old: &[Condition], generation: Option<i64>, updates: &[ConditionUpdate<'_>]) -> Vec<Condition> {
    let set = |update: &ConditionUpdate<'_>| {
        let ConditionUpdate { type_, status, reason, .. } = *update;
        let since = find(old, type_).filter(|c| c.status == status).map(|c| c.last_transition_time.clone());
        Condition {
            type_: Word::Known(type_),
            status: Word::Known(status),
            reason: Word::Known(reason),
            message: shorten(&update.message).into(),
            observed_generation: generation,
            last_transition_time: since.unwrap_or_else(now),
        }
    };
    let update_of = |known: &Condition| updates.iter().find(|update| known.type_ == update.type_);
    let known = old.iter().map(|known| update_of(known).map_or_else(|| known.clone(), set));
    let added = updates.iter().filter(|update| find(old, update.type_).is_none()).map(set);
    known.chain(added).collect()
}

/// The condition of a type.
pub fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}

/// Whether the condition of a type is there and holds.
pub fn is_true(conditions: &[Condition], type_: ConditionType) -> bool {
    find(conditions, type_).is_some_and(|c| c.status == ConditionStatus::True)
}

/// Whether the condition of a type is there and does not hold.
pub fn is_false(conditions: &[Condition], type_: ConditionType) -> bool {
    find(conditions, type_).is_some_and(|c| c.status == ConditionStatus::False)
}

/// Now, with the second precision that Kubernetes stores.
fn now() -> Time {
    let now = Timestamp::now();
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

fn shorten(message: &str) -> &str {
    &message[..message.floor_char_boundary(MAX_MESSAGE_BYTES)]
}

#[cfg(test)]
mod tests {
    use ConditionType::{Healthy, Ready};

    use super::*;

    fn update(type_: ConditionType, status: bool, message: &str) -> ConditionUpdate<'_> {
        let of = if status { ConditionUpdate::holds } else { ConditionUpdate::fails };
        of(type_, Reason::Accepted, message)
    }

    #[test]
    fn equal_state_is_an_equal_value_and_others_stay() {
        let first = merge(&[], 1, &[update(Healthy, true, "m"), update(Ready, true, "m")]);
        assert_eq!(merge(&first, 1, &[update(Healthy, true, "m"), update(Ready, true, "m")]), first);
        assert_eq!(merge(&first, 1, &[update(Healthy, true, "m")]), first, "what is not mentioned does not move");
        let second = merge(&first, 2, &[update(Ready, true, "other")]);
        assert_eq!(second[0], first[0]);
        assert_eq!(second[1].last_transition_time, first[1].last_transition_time, "only the message is another");
    }

    #[test]
    fn a_transition_moves_the_time() {
        let mut first = merge(&[], 1, &[update(Ready, true, "m")]);
        first[0].last_transition_time = Time(Timestamp::from_second(1).unwrap());
        assert_eq!(merge(&first, 1, &[update(Ready, true, "x")])[0].last_transition_time.0.as_second(), 1);
        assert!(merge(&first, 1, &[update(Ready, false, "x")])[0].last_transition_time.0.as_second() > 1);
    }

    #[test]
    fn a_long_message_is_cut_between_two_characters() {
        let long = "é".repeat(MAX_MESSAGE_BYTES);
        let message = &merge(&[], 1, &[update(Ready, true, &long)])[0].message;
        assert_eq!(message.len(), MAX_MESSAGE_BYTES);
    }
}
