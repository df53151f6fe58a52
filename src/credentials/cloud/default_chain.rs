//! The AWS credentials of the operator itself, as AWS's SDKs look for them: the environment, a web identity token in a
//! file, the endpoint of a container agent (EKS Pod Identity, ECS), the instance metadata service (IMDSv2).

use std::time::{Duration, Instant, SystemTime};

use chrono::DateTime;
use reqwest::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;

use super::http::{CloudError, ask, message};
use super::{AwsCredentials, Cloud, Sts};

/// Temporary credentials with less than this left are replaced; new ones are there by then.
const REPLACE_BEFORE: Duration = Duration::from_secs(5 * 60);
/// Those that come without an end, or with one that is near, are kept for this long, but never beyond their end.
const TRUST_FOR: Duration = Duration::from_secs(60);
/// So long all share a failure: where there is no metadata service, each attempt takes seconds.
const REMEMBER_FAILURE: Duration = Duration::from_secs(5);

/// What the last search found.
pub(super) struct Known {
    result: Result<AwsCredentials, CloudError>,
    until: Instant,
}

impl Cloud {
    /// The credentials of the node, instance or pod that the operator runs on. One search at a time; what it finds is
    /// kept until shortly before it expires.
    pub async fn default_credentials(&self) -> Result<AwsCredentials, CloudError> {
        let mut known = self.default_credentials.lock().await;
        if let Some(known) = known.as_ref().filter(|known| Instant::now() < known.until) {
            return known.result.clone();
        }
        let result = self.search().await;
        let keep = match &result {
            Err(_) => REMEMBER_FAILURE,
            Ok(found) => usable(found.expiry(), SystemTime::now()),
        };
        *known = Some(Known { result: result.clone(), until: Instant::now() + keep });
        result
    }

    async fn search(&self) -> Result<AwsCredentials, CloudError> {
        let variable = |name| self.variable(name);
        if let (Some(id), Some(key)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            let token = variable("AWS_SESSION_TOKEN").map(str::to_owned);
            return Ok(AwsCredentials::new(id, key, token, None, "environment"));
        }
        if let (Some(file), Some(role)) = (variable("AWS_WEB_IDENTITY_TOKEN_FILE"), variable("AWS_ROLE_ARN")) {
            let token: SecretString = read(file).await?.into();
            // Never the endpoint of a VaultAuth: its author would get the operator's own token.
            let sts = Sts::new(self, None, variable("AWS_ENDPOINT_URL_STS"))?;
            let session = variable("AWS_ROLE_SESSION_NAME").unwrap_or("vault-secrets-operator");
            return self.assume_role(&sts, role, session, &token).await;
        }
        if let Some(url) = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            return self.container(url).await;
        }
        if let Some(path) = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            return self.container(&format!("http://169.254.170.2{path}")).await;
        }
        self.instance().await
    }

    /// EKS Pod Identity and ECS.
    async fn container(&self, url: &str) -> Result<AwsCredentials, CloudError> {
        const STEP: &str = "credentials of the container agent";
        let mut request = self.link_local().await?.get(url);
        let token = match self.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(file) => Some(read(file).await?),
            None => self.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(str::to_owned),
        };
        if let Some(token) = &token {
            request = request.header("authorization", token);
        }
        let (status, text) = ask(STEP, request).await?;
        if status != StatusCode::OK {
            return Err(CloudError::new(STEP, status));
        }
        temporary(STEP, &text)
    }

    /// IMDSv2.
    async fn instance(&self) -> Result<AwsCredentials, CloudError> {
        const STEP: &str = "credentials of the instance (IMDSv2)";
        if self.variable("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            let what = "AWS_EC2_METADATA_DISABLED is set, and the environment offers no other AWS credentials";
            return Err(CloudError::new(STEP, what));
        }
        let ipv6 = self
            .variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")
            .is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6"));
        let default = if ipv6 { "http://[fd00:ec2::254]" } else { "http://169.254.169.254" };
        let root = self.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or(default).trim_end_matches('/');
        let http = self.link_local().await?;
        let request =
            http.put(format!("{root}/latest/api/token")).header("x-aws-ec2-metadata-token-ttl-seconds", "300");
        let (status, token) = ask(&format!("{STEP}: token"), request).await?;
        if status != StatusCode::OK {
            return Err(CloudError::new(STEP, format!("token: {status}")));
        }
        let get = async |path: &str| {
            let step = format!("{STEP}: {path}");
            let request = http.get(format!("{root}/latest/meta-data/{path}"));
            let (status, text) = ask(&step, request.header("x-aws-ec2-metadata-token", token.trim())).await?;
            if status == StatusCode::OK { Ok(text) } else { Err(CloudError::new(&step, status)) }
        };
        let list = "iam/security-credentials/";
        let roles =
            get(list).await.map_err(|e| CloudError::new(&e.to_string(), "does the instance have a profile?"))?;
        let role = roles.lines().next().unwrap_or_default().trim();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
        if role.is_empty() || !role.bytes().all(plain) {
            return Err(CloudError::new(STEP, "the instance profile has no role"));
        }
        temporary(STEP, &get(&format!("{list}{role}")).await?)
    }
}

/// How long credentials are kept that expire then.
pub(super) fn usable(expiry: Option<SystemTime>, now: SystemTime) -> Duration {
    let Some(expiry) = expiry else { return TRUST_FOR };
    let left = expiry.duration_since(now).unwrap_or_default();
    left.saturating_sub(REPLACE_BEFORE).max(TRUST_FOR.min(left))
}

async fn read(file: &str) -> Result<String, CloudError> {
    let text = tokio::fs::read_to_string(file).await.map_err(|e| CloudError::new(file, e))?;
    Ok(text.trim().to_owned())
}

/// What agents and IMDS answer with.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Temporary {
    /// IMDS: `Success`, or why there are none.
    code: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    token: Option<String>,
    expiration: Option<String>,
}

pub(super) fn temporary(step: &str, json: &str) -> Result<AwsCredentials, CloudError> {
    // The text of serde's error can quote a value.
    let answer: Temporary =
        serde_json::from_str(json).map_err(|_| CloudError::new(step, "the answer is not understood"))?;
    if let Some(code) = answer.code.as_deref().filter(|code| *code != "Success") {
        return Err(CloudError::new(step, message(code, &[])));
    }
    let (Some(id), Some(key)) = (answer.access_key_id, answer.secret_access_key) else {
        return Err(CloudError::new(step, "the answer has no key"));
    };
    let expires = match answer.expiration {
        None => None,
        Some(text) => Some(
            DateTime::parse_from_rfc3339(&text)
                .map_err(|_| CloudError::new(step, "the answer has an Expiration that is no time"))?
                .into(),
        ),
    };
    Ok(AwsCredentials::new(id, key, answer.token, expires, "temporary"))
}
