//! Which callers may scrape metrics: the API server says whose token it is (TokenReview), and whether its holder may
//! (SubjectAccessReview).

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
use crate::util::BoundedCache;

/// An answer counts for so long, so that scrapes cost next to nothing.
const GRANTED_FOR: Duration = Duration::from_secs(60);
/// A refusal counts for less: a caller that has just been given the right should not have to wait.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// More tokens than this are a caller that tries them out: it displaces its own.
const REMEMBERED_TOKENS: usize = 1000;

/// Asks the API server, and remembers its answers for a while.
pub struct AccessReviewer {
    client: kube::Client,
    /// What the API server has answered, by the SHA-256 of path and token.
    known: Mutex<BoundedCache<[u8; 32], Access>>,
}

impl AccessReviewer {
    /// Asks the API server about every caller that comes first.
    pub fn new(client: kube::Client) -> Self {
        Self { client, known: Mutex::new(BoundedCache::new(REMEMBERED_TOKENS)) }
    }

    /// Whether the holder of a bearer token may `get` a path that is no resource of Kubernetes.
    ///
    /// # Errors
    /// If the API server gives no answer.
    pub async fn review(&self, token: &str, path: &str) -> Result<Access, KubernetesError> {
        let key: [u8; 32] = Sha256::digest(format!("{path}\n{token}").as_bytes()).into();
        if let Some(access) = self.known.lock().get(&key, Instant::now()) {
            return Ok(*access);
        }
        let access = self.ask(token, path).await?;
        let (lasts, now) = (if access == Access::Granted { GRANTED_FOR } else { REFUSED_FOR }, Instant::now());
        self.known.lock().insert(key, access, now + lasts, now);
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
        let allowed = review.status.is_some_and(|status| status.allowed);
        Ok(if allowed { Access::Granted } else { Access::Forbidden })
    }
}
