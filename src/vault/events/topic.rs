//! What can be subscribed to.

/// A group of event types. Each is a path of its own, so that a policy allows it by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Writes to the KV engines of all versions.
    Kv,
    /// The database engine: rotations of static roles, among others.
    Database,
    /// The ends of leases, of all engines. Vault Enterprise has them since 2.0; before that nothing comes.
    Leases,
}

impl Topic {
    /// The pattern of its event types.
    pub fn as_str(self) -> &'static str {
        match self {
            Topic::Kv => "kv*",
            Topic::Database => "database*",
            Topic::Leases => "lease*",
        }
    }

    /// The API path that opens its stream, without `/v1/`.
    pub fn path(self) -> &'static str {
        match self {
            Topic::Kv => "sys/events/subscribe/kv*",
            Topic::Database => "sys/events/subscribe/database*",
            Topic::Leases => "sys/events/subscribe/lease*",
        }
    }
}
