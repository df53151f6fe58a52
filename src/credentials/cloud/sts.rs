//! AWS STS: where it is, and what it gives credentials for: AssumeRoleWithWebIdentity, and AssumeRole.

use std::time::SystemTime;

use chrono::DateTime;
use reqwest::{RequestBuilder, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};

use super::http::{CloudError, ask, message};
use super::sigv4::{CONTENT_TYPE, Scope, Unsigned, signature};
use super::{AwsCredentials, Cloud};
use crate::api::auth_methods::AssumedRole;

/// An STS and the region that requests to it are signed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sts {
    pub(super) url: Url,
    pub(super) region: String,
}

const DEFAULT_REGION: &str = "us-east-1";
const GLOBAL_HOST: &str = "sts.amazonaws.com";

/// For these regions AWS's SDK for Go 1, with which VSO and Vault's own CLI make logins, names the global endpoint in
/// the request, and signs for the region all the same. Vault replaces the endpoint by its own, and keeps the `Host`.
const GLOBAL: [&str; 16] = [
    "ap-northeast-1",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "aws-global",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// DNS suffixes of the partitions, by the prefix of their regions; `amazonaws.com` for all others.
const PARTITIONS: [(&str, &str); 6] = [
    ("cn-", "amazonaws.com.cn"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("eusc-", "amazonaws.eu"),
];

impl Sts {
    /// The STS of a region, or the one at `endpoint`. Without a region, the one of the environment, else us-east-1.
    pub fn new(cloud: &Cloud, region: Option<&str>, endpoint: Option<&str>) -> Result<Self, CloudError> {
        let region = region
            .or_else(|| cloud.variable("AWS_REGION"))
            .or_else(|| cloud.variable("AWS_DEFAULT_REGION"))
            .unwrap_or(DEFAULT_REGION);
        if !region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(CloudError::new("AWS region", format!("{region:?} is not one")));
        }
        let address = match endpoint {
            Some(endpoint) if endpoint.contains("://") => endpoint.to_owned(),
            Some(endpoint) => format!("https://{endpoint}"),
            None if GLOBAL.contains(&region) => format!("https://{GLOBAL_HOST}/"),
            None => {
                let suffix = PARTITIONS.iter().find(|(prefix, _)| region.starts_with(prefix));
                format!("https://sts.{region}.{}/", suffix.map_or("amazonaws.com", |(_, suffix)| suffix))
            }
        };
        let url = Url::parse(&address)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some())
            .ok_or_else(|| CloudError::new("endpoint of AWS STS", format!("{address:?} is not a URL")))?;
        Ok(Self { url, region: region.to_owned() })
    }
}

impl Sts {
    /// Whether the address has nothing but a scheme, a host and a port. What else it has is signed with the request,
    /// and AWS could read another action in it.
    pub fn is_plain(&self) -> bool {
        let url = &self.url;
        let no_user = url.username().is_empty() && url.password().is_none();
        url.path() == "/" && url.query().is_none() && url.fragment().is_none() && no_user
    }
}

impl Sts {
    /// The STS that takes requests which are signed for the region, and that region: the global one takes those for its
    /// own.
    pub(super) fn of_region(&self) -> Result<(Url, &str), CloudError> {
        if self.url.host_str() != Some(GLOBAL_HOST) {
            return Ok((self.url.clone(), &self.region));
        }
        let region = if self.region == "aws-global" { DEFAULT_REGION } else { self.region.as_str() };
        let address = format!("https://sts.{region}.amazonaws.com/");
        let url = Url::parse(&address).map_err(|e| CloudError::new("endpoint of AWS STS", e))?;
        Ok((url, region))
    }
}

impl Cloud {
    /// Credentials of an IAM role that the holder of other credentials may assume. They last an hour, by default of
    /// STS.
    pub async fn assume_role_as(
        &self,
        sts: &Sts,
        role: &AssumedRole,
        session_name: &str,
        credentials: &AwsCredentials,
        time: SystemTime,
    ) -> Result<AwsCredentials, CloudError> {
        let AssumedRole { arn, external_id } = role;
        let (url, region) = sts.of_region()?;
        let step = format!("AssumeRole of {arn} at {}", url.host_str().unwrap_or_default());
        let external_id = external_id.as_deref().map(|id| ("ExternalId", id));
        let members = [("RoleArn", arn.as_str()), ("RoleSessionName", session_name)].into_iter().chain(external_id);
        let body = form(&step, "AssumeRole", members)?;
        let (scope, headers) = (Scope { region, service: "sts" }, [CONTENT_TYPE]);
        let unsigned = Unsigned { method: "POST", url: url.as_str(), headers: &headers, body: &body };
        let mut request = self.internet().await?.post(url.clone()).header(CONTENT_TYPE.0, CONTENT_TYPE.1);
        for (name, value) in signature(&unsigned, &scope, credentials, time)? {
            request = request.header(name, value);
        }
        let secrets = [credentials.secret_access_key(), credentials.session_token().unwrap_or_default()];
        answered(&step, request.body(body), &secrets).await
    }

    /// Credentials of an IAM role, for a token that the role trusts. They last an hour, by default of STS.
    pub async fn assume_role(
        &self,
        sts: &Sts,
        role_arn: &str,
        session_name: &str,
        token: &SecretString,
    ) -> Result<AwsCredentials, CloudError> {
        let host = sts.url.host_str().unwrap_or_default();
        let step = format!("AssumeRoleWithWebIdentity of {role_arn} at {host}");
        let members =
            [("RoleArn", role_arn), ("RoleSessionName", session_name), ("WebIdentityToken", token.expose_secret())];
        let body = form(&step, "AssumeRoleWithWebIdentity", members.into_iter())?;
        let request = self.internet().await?.post(sts.url.clone()).header(CONTENT_TYPE.0, CONTENT_TYPE.1).body(body);
        answered(&step, request, &[token.expose_secret()]).await
    }
}

/// The body of a request to STS.
fn form<'a>(step: &str, action: &str, members: impl Iterator<Item = (&'a str, &'a str)>) -> Result<String, CloudError> {
    let mut form = Url::parse("form:").map_err(|e| CloudError::new(step, e))?;
    form.query_pairs_mut().append_pair("Action", action).append_pair("Version", "2011-06-15").extend_pairs(members);
    Ok(form.query().unwrap_or_default().to_owned())
}

/// Sends a request for credentials. `secrets` are what a message must not repeat.
async fn answered(step: &str, request: RequestBuilder, secrets: &[&str]) -> Result<AwsCredentials, CloudError> {
    let (status, text) = ask(step, request).await?;
    if status == StatusCode::OK {
        return credentials(&text).ok_or_else(|| CloudError::new(step, "the answer has no credentials"));
    }
    let reason = refusal(&text).unwrap_or_default();
    Err(CloudError::new(step, format!("{status} {}", message(&reason, secrets))))
}

/// Answers have about twenty elements.
const MAX_XML_NODES: u32 = 1000;

fn parse(xml: &str) -> Option<roxmltree::Document<'_>> {
    let options = roxmltree::ParsingOptions { nodes_limit: MAX_XML_NODES, ..roxmltree::ParsingOptions::default() };
    roxmltree::Document::parse_with_options(xml, options).ok()
}

/// The credentials in an answer.
pub(super) fn credentials(xml: &str) -> Option<AwsCredentials> {
    let document = parse(xml)?;
    let node = document.descendants().find(|node| node.tag_name().name() == "Credentials")?;
    let text = |name: &str| {
        let text = node.children().find(|child| child.tag_name().name() == name)?.text()?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    let expires: SystemTime = DateTime::parse_from_rfc3339(&text("Expiration")?).ok()?.into();
    let (id, key, token) = (text("AccessKeyId")?, text("SecretAccessKey")?, text("SessionToken")?);
    Some(AwsCredentials::new(id, key, Some(token), Some(expires), "role"))
}

/// Code and message of an error of STS.
pub(super) fn refusal(xml: &str) -> Option<String> {
    let document = parse(xml)?;
    let error = document.descendants().find(|node| node.tag_name().name() == "Error")?;
    let text = |name: &str| error.children().find(|child| child.tag_name().name() == name)?.text();
    Some(format!("{}: {}", text("Code")?, text("Message").unwrap_or_default()))
}
