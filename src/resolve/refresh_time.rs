//! How often a kind that makes objects in many namespaces is looked at again.

use std::time::Duration;

use super::Denied;
use crate::gocompat::GoDuration;

/// ESO's default for `refreshTime`.
pub const DEFAULT_REFRESH_TIME: Duration = Duration::from_secs(3600);
/// Changes do not wait for it, so it need not be shorter.
const MIN_REFRESH_TIME: Duration = Duration::from_secs(1);

/// `spec.refreshTime`. Zero is the default: nothing has to be looked at again by the time alone.
///
/// # Errors
/// It is no duration.
pub fn refresh_time(text: Option<&str>) -> Result<Duration, Denied> {
    let Some(text) = text else { return Ok(DEFAULT_REFRESH_TIME) };
    let parsed = GoDuration::parse(text);
    let parsed = parsed.map_err(|error| Denied::Invalid(format!("spec.refreshTime {text:?}: {error}")))?;
    Ok(if parsed.0 > 0 { parsed.as_std().max(MIN_REFRESH_TIME) } else { DEFAULT_REFRESH_TIME })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_time_is_a_duration_of_go() {
        let seconds = |text: Option<&str>| refresh_time(text).map(|time| time.as_secs()).map_err(|e| e.to_string());
        for (text, expected) in
            [(None, 3600), (Some("1m30s"), 90), (Some("0"), 3600), (Some("-5s"), 3600), (Some("1ms"), 1)]
        {
            assert_eq!(seconds(text), Ok(expected), "{text:?}");
        }
        assert!(seconds(Some("soon")).unwrap_err().starts_with("spec.refreshTime \"soon\": "));
    }
}
