//! Go's strings.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::super::strconv::to_text;
use super::account::{Account, Lease};

/// A Go string: bytes, usually UTF-8, cheap to clone.
#[derive(Clone)]
pub struct Str(Arc<Text>);

struct Text {
    bytes: Box<[u8]>,
    lease: Option<Lease>,
}

impl Str {
    /// What a string takes besides its bytes.
    pub(super) const OVERHEAD: usize = 64;

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The text, with U+FFFD for each byte that is not UTF-8.
    pub fn to_text(&self) -> String {
        to_text(self.as_bytes())
    }

    /// Counts the bytes of a string that nothing else holds yet.
    pub(super) fn account(&mut self, account: &Account) {
        let bytes = Str::OVERHEAD + self.len();
        if let Some(text) = Arc::get_mut(&mut self.0) {
            text.lease.get_or_insert_with(|| account.lease(bytes));
        }
    }

    /// What the string takes, if nothing else holds it.
    pub(super) fn own_bytes(&self) -> usize {
        if Arc::strong_count(&self.0) == 1 { Str::OVERHEAD + self.len() } else { 0 }
    }
}

impl PartialEq for Str {
    fn eq(&self, other: &Str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Str {}

impl PartialOrd for Str {
    fn partial_cmp(&self, other: &Str) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Str {
    fn cmp(&self, other: &Str) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Str {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl std::ops::Deref for Str {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl AsRef<[u8]> for Str {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl std::borrow::Borrow<[u8]> for Str {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl From<&[u8]> for Str {
    fn from(bytes: &[u8]) -> Self {
        Str(Arc::new(Text { bytes: bytes.into(), lease: None }))
    }
}

impl From<Vec<u8>> for Str {
    fn from(bytes: Vec<u8>) -> Self {
        Str(Arc::new(Text { bytes: bytes.into(), lease: None }))
    }
}

impl From<&str> for Str {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<String> for Str {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

// Values are secrets: none of them may reach a log through `{:?}`.
impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Str({} bytes)", self.len())
    }
}
