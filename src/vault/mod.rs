//! Everything that speaks to Vault or OpenBao.
//!
//! [`Server`] is one Vault as one `VaultConnection` describes it: a connection pool and what is known of its health.
//! [`Session`] is one login on it, shared by every object with the same identity. [`SharedRead`] lets objects that read
//! the same path with the same session share one request. [`EventStream`] tells of writes as they happen.

mod error;
mod events;
mod json;
pub mod kv;
mod reads;
mod request;
mod revision;
mod seal_status;
mod server;
mod session;
mod transit;
mod transport;

pub use error::{ErrorKind, VaultError};
pub use events::{Change, Event, EventStream, EventStreams, Signal, StreamKey, StreamState, Topic};
pub use json::{JsonError, parse as parse_json};
pub use reads::{ReadCache, SharedRead};
pub(crate) use request::lease;
pub use request::{Envelope, Read};
pub use seal_status::{Product, ServerVersion};
pub use server::{Probe, Server, ServerId};
pub use session::{
    CredentialError, CredentialProvider, Identity, LoginRequest, Proof, ProvidedToken, Session, SessionError,
    SessionPool, StoredLogin, TokenInUse, TokenInfo, TokenSource, TokenStore,
};
pub use transit::TransitKey;
pub use transport::{ClientCertificate, ServerConfig, SharedResources, Trust};
pub(crate) use transport::{LongAnswers, LongAnswersOfServer, MAX_ANSWER_BYTES, ReceiveError, Turn, root_cause};
