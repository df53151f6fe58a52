//! Who may scrape metrics: the API server says whose token it is (TokenReview), and whether he may (SubjectAccessReview).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::KubernetesError;
use super::error::with_timeout;
use crate::telemetry::Access;

/// An answer counts for so long, so that scrapes cost next to nothing.
const GRANTED_FOR: Duration = Duration::from_secs(60);
/// A refusal counts for less: whoever has just been given the right should not have to wait.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// More tokens than this are a caller that tries them out.
const REMEMBERED_TOKENS: usize = 1000;

/// Asks the API server, and remembers its answers for a while.
pub struct AccessReviewer {
    client: kube::Client,
    /// By the SHA-256 of path and token.
    known: Mutex<HashMap<[u8; 32], (Instant, Access)>>,
}

impl AccessReviewer {
    /// With nothing remembered.
    pub fn new(client: kube::Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    /// Whether the holder of a bearer token may `get` a path that is no resource of Kubernetes.
    ///
    /// # Errors
    /// If the API server gives no answer.
    pub async fn review(&self, token: &str, path: &str) -> Result<Access, KubernetesError> {
        let key: [u8; 32] = Sha256::digest(format!("{path}\n{token}").as_bytes()).into();
        let lock = || self.known.lock();
        if let Some((until, access)) = lock().get(&key)
            && Instant::now() < *until
        {
            return Ok(*access);
        }
        let access = self.ask(token, path).await?;
        let mut known = lock();
        if known.len() >= REMEMBERED_TOKENS {
            known.clear();
        }
        let lasts = if access == Access::Granted { GRANTED_FOR } else { REFUSED_FOR };
        known.insert(key, (Instant::now() + lasts, access));
        Ok(access)
    }

    async fn ask(&self, token: &str, path: &str) -> Result<Access, KubernetesError> {
        let review = TokenReview {
            spec: TokenReviewSpec { token: Some(token.to_owned()), audiences: None },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let review = with_timeout("create TokenReview", api.create(&PostParams::default(), &review)).await?;
        let status = review.status.unwrap_or_default();
        let user: UserInfo = match (status.authenticated, status.user) {
            (Some(true), Some(user)) => user,
            _ => return Ok(Access::Unauthenticated),
        };
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: user.username,
                uid: user.uid,
                groups: user.groups,
                extra: user.extra,
                non_resource_attributes: Some(NonResourceAttributes {
                    path: Some(path.to_owned()),
                    verb: Some("get".to_owned()),
                }),
                resource_attributes: None,
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let review = with_timeout("create SubjectAccessReview", api.create(&PostParams::default(), &review)).await?;
        Ok(match review.status.is_some_and(|status| status.allowed) {
            true => Access::Granted,
            false => Access::Forbidden,
        })
    }
}
