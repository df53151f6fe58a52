//! Workload identity of GKE: the token of a Kubernetes service account becomes an ID token of a Google service account.

use reqwest::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::Cloud;
use super::http::{CloudError, ask, message};

const STS: &str = "https://sts.googleapis.com/v1/token";
const IAM: &str = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts";

/// What a VaultAuth says of the cluster; the metadata server is asked for the rest.
#[derive(Clone, Copy, Debug, Default)]
pub struct GkeSettings<'a> {
    /// ID of the project.
    pub project: Option<&'a str>,
    /// Region or zone of the cluster.
    pub location: Option<&'a str>,
    /// Name of the cluster.
    pub cluster: Option<&'a str>,
}

/// The GKE cluster that signs the tokens of Kubernetes service accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GkeCluster {
    project: String,
    location: String,
    cluster: String,
}

impl GkeCluster {
    /// The workload identity pool of the project, audience of the tokens that Google takes.
    pub fn pool(&self) -> String {
        format!("{}.svc.id.goog", self.project)
    }

    fn audience(&self) -> String {
        let Self { project, location, cluster } = self;
        let provider =
            format!("https://container.googleapis.com/v1/projects/{project}/locations/{location}/clusters/{cluster}");
        format!("identitynamespace:{}:{provider}", self.pool())
    }
}

impl Cloud {
    /// Completes what is known of the cluster.
    pub async fn gke_cluster(&self, settings: &GkeSettings<'_>) -> Result<GkeCluster, CloudError> {
        let known = async |setting: Option<&str>, path: &str| match setting {
            Some(value) => Ok(value.to_owned()),
            None => self.gce_metadata(path).await,
        };
        Ok(GkeCluster {
            project: known(settings.project, "project/project-id").await?,
            location: known(settings.location, "instance/attributes/cluster-location").await?,
            cluster: known(settings.cluster, "instance/attributes/cluster-name").await?,
        })
    }

    async fn gce_metadata(&self, path: &str) -> Result<String, CloudError> {
        let host = self.variable("GCE_METADATA_HOST").unwrap_or("169.254.169.254");
        let step = format!("{path} at the GCE metadata server {host}");
        let request = self.link_local().await?.get(format!("http://{host}/computeMetadata/v1/{path}"));
        let (status, text) = ask(&step, request.header("metadata-flavor", "Google")).await?;
        let text = text.trim();
        match status {
            StatusCode::OK if !text.is_empty() => Ok(text.to_owned()),
            status => Err(CloudError::new(&step, status)),
        }
    }

    /// An ID token of `account`, a Google service account, for the audience that Vault's `gcp` method asks of `role`.
    /// `token` is that of a Kubernetes service account which may act as it, with the audience [`GkeCluster::pool`].
    pub async fn gcp_identity(
        &self,
        cluster: &GkeCluster,
        token: &SecretString,
        account: &str,
        role: &str,
    ) -> Result<SecretString, CloudError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"@._:-".contains(&b);
        if !account.contains('@') || !account.bytes().all(plain) {
            return Err(CloudError::new("Google service account", format!("{account:?} is not an address of one")));
        }
        let exchange = json!({
            "grantType": "urn:ietf:params:oauth:grant-type:token-exchange",
            "requestedTokenType": "urn:ietf:params:oauth:token-type:access_token",
            "subjectTokenType": "urn:ietf:params:oauth:token-type:jwt",
            "subjectToken": token.expose_secret(),
            "audience": cluster.audience(),
            "scope": "https://www.googleapis.com/auth/iam",
        });
        let step = format!("token exchange for {} at sts.googleapis.com", cluster.pool());
        let access = self.google(&step, STS, None, &exchange, "access_token", token).await?;
        let wish = json!({ "audience": format!("https://vault/{role}"), "includeEmail": true });
        let step = format!("generateIdToken of {account} at iamcredentials.googleapis.com");
        let url = format!("{IAM}/{account}:generateIdToken");
        self.google(&step, &url, Some(&access), &wish, "token", &access).await
    }

    /// Posts JSON and takes one member of the answer. `secret` is what a message must not repeat.
    async fn google(
        &self,
        step: &str,
        url: &str,
        bearer: Option<&SecretString>,
        body: &Value,
        member: &str,
        secret: &SecretString,
    ) -> Result<SecretString, CloudError> {
        let mut request =
            self.internet().await?.post(url).header("content-type", "application/json").body(body.to_string());
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer.expose_secret());
        }
        let (status, text) = ask(step, request).await?;
        if status != StatusCode::OK {
            let reason = refusal(&text).unwrap_or_default();
            return Err(CloudError::new(step, format!("{status} {}", message(&reason, &[secret.expose_secret()]))));
        }
        member_of(&text, member).ok_or_else(|| CloudError::new(step, format!("the answer has no {member}")))
    }
}

pub(super) fn member_of(json: &str, member: &str) -> Option<SecretString> {
    let answer: Value = serde_json::from_str(json).ok()?;
    let text = answer.get(member)?.as_str()?;
    (!text.is_empty()).then(|| text.into())
}

/// What Google says of an error: OAuth's form at STS, that of its APIs elsewhere.
pub(super) fn refusal(json: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(json).ok()?;
    let error = answer.get("error")?;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(match error.as_str() {
        Some(code) => format!("{code}: {}", text(answer.get("error_description"))),
        None => format!("{}: {}", text(error.get("status")), text(error.get("message"))),
    })
}
