//! Redirects, as from a standby to the active node: the rules of Vault's own client (`github.com/hashicorp/vault/api`).

use http::{HeaderMap, StatusCode, Uri, header};
use reqwest::Url;

/// Why a redirect is not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RedirectError {
    /// Vault's client has nearly these words.
    #[error("redirect would cause protocol downgrade: {0} leads from https to {1}")]
    Downgrade(StatusCode, String),
    #[error("{0} leads to no address of http or https")]
    Target(StatusCode),
    #[error("the server redirects more than once")]
    Again,
}

/// Where an answer leads. `None`: it is no redirect that Vault's client follows.
pub(super) fn target(from: &Uri, status: StatusCode, headers: &HeaderMap) -> Result<Option<Uri>, RedirectError> {
    if !matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::TEMPORARY_REDIRECT) {
        return Ok(None);
    }
    let Some(location) = headers.get(header::LOCATION) else { return Ok(None) };
    let unusable = || RedirectError::Target(status);
    let location = location.to_str().map_err(|_| unusable())?;
    let base = Url::parse(&from.to_string()).map_err(|_| unusable())?;
    let url = base.join(location).map_err(|_| unusable())?;
    // That of a websocket names the scheme of one.
    let scheme = match url.scheme() {
        "http" | "ws" => "http",
        "https" | "wss" => "https",
        _ => return Err(unusable()),
    };
    if from.scheme_str() == Some("https") && scheme != "https" {
        return Err(RedirectError::Downgrade(status, url.scheme().to_owned()));
    }
    let rest = &url.as_str()[url.scheme().len()..];
    format!("{scheme}{rest}").parse().map(Some).map_err(|_| unusable())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(from: &str, status: u16, location: &str) -> Result<Option<String>, RedirectError> {
        let headers = [(header::LOCATION, location.parse().unwrap())].into_iter().collect();
        let found = target(&from.parse().unwrap(), StatusCode::from_u16(status).unwrap(), &headers);
        found.map(|found| found.map(|uri| uri.to_string()))
    }

    #[test]
    fn the_statuses_are_those_of_vaults_client() {
        for status in [301, 302, 307] {
            let found = lead("https://a:1/v1/x", status, "https://b:2/v1/x?q=1");
            assert_eq!(found, Ok(Some("https://b:2/v1/x?q=1".to_owned())), "{status}");
        }
        for status in [200, 300, 303, 304, 308, 404] {
            assert_eq!(lead("https://a:1/v1/x", status, "https://b:2/v1/x"), Ok(None), "{status}");
        }
    }

    #[test]
    fn https_never_leads_to_http() {
        for location in ["http://b/v1/x", "ws://b/v1/x", "HTTP://b/", "http://a:1/v1/x"] {
            let error = lead("https://a:1/v1/x", 307, location).unwrap_err().to_string();
            assert!(error.contains("downgrade"), "{error}");
        }
        assert_eq!(lead("https://a:1/v1/x", 307, "wss://b/v1/x"), Ok(Some("https://b/v1/x".to_owned())));
        assert_eq!(lead("https://a:1/v1/x", 307, "/v1/y"), Ok(Some("https://a:1/v1/y".to_owned())));
        assert_eq!(lead("https://a:1/v1/x", 307, "//b/v1/y"), Ok(Some("https://b/v1/y".to_owned())));
        assert_eq!(lead("http://a:1/v1/x", 307, "https://b/v1/x"), Ok(Some("https://b/v1/x".to_owned())));
        assert_eq!(lead("http://a:1/v1/x", 307, "ws://b/v1/x"), Ok(Some("http://b/v1/x".to_owned())));
    }

    #[test]
    fn other_schemes_lead_nowhere() {
        for location in ["ftp://b/", "file:///etc/passwd", "data:x", "https://"] {
            assert!(lead("http://a:1/v1/x", 302, location).is_err(), "{location}");
        }
    }
}
