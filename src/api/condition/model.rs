//! A condition as it is kept of each object: most of its words are the operator's own, and take no memory there.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as Written, Time};
use serde::de::IntoDeserializer as _;
use serde::de::value::Error;
use serde::{Deserialize, Serialize, Serializer};

use super::{ConditionStatus, ConditionType, Reason};

/// One condition of an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "Written")]
pub struct Condition {
    /// When the status last changed.
    pub last_transition_time: Time,
    /// Details for a person to read.
    pub message: Box<str>,
    /// The generation of the object that it speaks about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What led to the status.
    pub reason: Word<Reason>,
    /// Whether it holds.
    pub status: Word<ConditionStatus>,
    /// What it is about.
    #[serde(rename = "type")]
    pub type_: Word<ConditionType>,
}

impl From<Written> for Condition {
    fn from(written: Written) -> Self {
        Self {
            last_transition_time: written.last_transition_time,
            message: written.message.into(),
            observed_generation: written.observed_generation,
            reason: written.reason.into(),
            status: written.status.into(),
            type_: written.type_.into(),
        }
    }
}

/// A word of a condition.
#[derive(Clone)]
pub enum Word<T> {
    /// One that the operator writes.
    Known(T),
    /// One of another client, or of another version of the operator.
    Other(Box<str>),
}

impl<T: Copy + Into<&'static str>> Word<T> {
    /// The word as it stands in a status.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(word) => (*word).into(),
            Self::Other(word) => word,
        }
    }
}

impl<T: Deserialize<'static>> From<String> for Word<T> {
    fn from(word: String) -> Self {
        let known: Result<T, Error> = T::deserialize(word.as_str().into_deserializer());
        known.map_or_else(|_| Self::Other(word.into()), Self::Known)
    }
}

impl<T: Copy + Into<&'static str>> PartialEq for Word<T> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl<T: Copy + Into<&'static str>> PartialEq<T> for Word<T> {
    fn eq(&self, other: &T) -> bool {
        self.as_str() == (*other).into()
    }
}

impl<T: Copy + Into<&'static str>> std::fmt::Debug for Word<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl<T: Copy + Into<&'static str>> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_are_written_as_they_were_read() {
        for (type_, status, reason) in [
            ("Ready", "True", "Ready"),
            ("SecretSynced", "False", "VaultSealed"),
            ("Own", "Maybe", ""),
            ("", "", "a b"),
        ] {
            let text = json!({
                "lastTransitionTime": "2026-01-02T03:04:05Z", "message": "m", "observedGeneration": 3,
                "reason": reason, "status": status, "type": type_,
            });
            let read: Condition = serde_json::from_value(text.clone()).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), text);
            assert_eq!(matches!(read.type_, Word::Known(_)), type_ == "Ready" || type_ == "SecretSynced");
        }
    }

    #[test]
    fn a_condition_is_small() {
        let (small, written) = (size_of::<Condition>(), size_of::<Written>());
        assert!(small <= 96 && written == 128, "{small} {written}");
    }
}
