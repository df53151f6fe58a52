//! The method of a store's login, and whose credential it takes.

use crate::api::auth_methods::Method;

/// A method, its auth mount, and the namespace of its credential.
pub(super) struct StoreLogin {
    pub method: Method,
    pub mount: String,
    pub namespace: String,
    /// The store names that namespace.
    pub is_named: bool,
}
