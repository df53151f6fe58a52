//! What Google does here: token exchange, IAM credentials, and the metadata server for the operator; keys and IAM for
//! Vault.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize, SigningKey as _};
use serde_json::{Value, json};
use testenv::{Cluster, Environment};

use super::aws::review;
use super::tls::tls;
use crate::http_server::{Answer, Request, serve, serve_tunnels};

/// The Google service account that there is.
pub const ACCOUNT: &str = "app@shop.iam.gserviceaccount.com";
const ACCOUNT_ID: &str = "100000000000000000001";
const KEY_ID: &str = "test-key";
const ACCOUNT_KEY_ID: &str = "account-key";
/// Answers of token end points.
const ACCESS_TOKEN: &str = "ya29.federated-hunter2";
const VAULT_TOKEN: &str = "ya29.vault-hunter2";

/// The services.
pub struct Google {
    /// `host:port` of a proxy to `*.googleapis.com`.
    pub proxy: String,
    /// Their certificate authority, PEM.
    pub authority: String,
    /// `host:port` of the rest, without TLS.
    pub address: String,
    /// Credentials of Vault, JSON.
    pub credentials: Value,
    /// A key of [`ACCOUNT`], JSON.
    pub account_key: Value,
    log: Arc<Mutex<Vec<String>>>,
}

impl Google {
    /// Starts them. `namespace` has the service account `gcp` that may act as [`ACCOUNT`]; its tokens are reviewed by
    /// the API server of `cluster`.
    pub fn start(cluster: &'static Cluster, namespace: &str) -> Self {
        let log = Arc::<Mutex<Vec<String>>>::default();
        let key = Arc::new(KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key"));
        let certificate = CertificateParams::new(vec![]).expect("parameters").self_signed(&*key).expect("signed").pem();
        let subject = format!("system:serviceaccount:{namespace}:gcp");
        let address = serve(Arc::new(move |request: &Request| plain(request, &certificate)));
        let (authority, tls) = tls(["sts.googleapis.com", "iamcredentials.googleapis.com"]);
        let handler = {
            let (log, key) = (log.clone(), key.clone());
            move |request: &Request| public(cluster, &subject, &key, &log, request)
        };
        let proxy = serve_tunnels(tls, Arc::new(handler));
        let credentials = json!({
            "type": "service_account", "project_id": "shop", "private_key_id": "vault", "client_id": "1",
            "private_key": key.serialize_pem(), "client_email": "vault@shop.iam.gserviceaccount.com",
            "token_uri": format!("http://{address}/token"),
        });
        let account_key = json!({
            "type": "service_account", "project_id": "shop", "private_key_id": ACCOUNT_KEY_ID,
            "private_key": key.serialize_pem(), "client_email": ACCOUNT, "client_id": ACCOUNT_ID,
        });
        Self { proxy, authority, address, credentials, account_key, log }
    }

    /// What was granted, in order.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("the log").clone()
    }
}

fn refusal(status: u16, code: &str, message: &str) -> Answer {
    let body = json!({ "error": { "code": status, "status": code, "message": message } });
    Answer { status, ..Answer::json(&body) }
}

/// `sts.googleapis.com` and `iamcredentials.googleapis.com`.
fn public(cluster: &Environment, subject: &str, key: &KeyPair, log: &Mutex<Vec<String>>, request: &Request) -> Answer {
    let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
    let text = |member: &str| body[member].as_str().unwrap_or_default();
    match (request.host.as_str(), request.path.as_str()) {
        ("sts.googleapis.com:443", "/v1/token") => {
            let right = text("grantType") == "urn:ietf:params:oauth:grant-type:token-exchange"
                && text("requestedTokenType") == "urn:ietf:params:oauth:token-type:access_token"
                && text("subjectTokenType") == "urn:ietf:params:oauth:token-type:jwt"
                && text("scope") == "https://www.googleapis.com/auth/iam";
            let pool = text("audience").split(':').nth(1).unwrap_or_default();
            let reviewed = review(cluster, text("subjectToken"), pool);
            if !right || reviewed.as_deref() != Ok(subject) {
                let body = json!({ "error": "invalid_grant", "error_description": format!("{reviewed:?}") });
                return Answer { status: 400, ..Answer::json(&body) };
            }
            log.lock().expect("the log").push(text("audience").to_owned());
            Answer::json(&json!({ "access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 3599 }))
        }
        ("iamcredentials.googleapis.com:443", path) => {
            if request.header("authorization") != Some(&format!("Bearer {ACCESS_TOKEN}")) {
                return refusal(401, "UNAUTHENTICATED", "no");
            }
            if path != format!("/v1/projects/-/serviceAccounts/{ACCOUNT}:generateIdToken") {
                return refusal(403, "PERMISSION_DENIED", "Permission 'iam.serviceAccounts.getOpenIdToken' denied");
            }
            log.lock().expect("the log").push(format!("{} {}", text("audience"), body["includeEmail"]));
            let now = Utc::now().timestamp();
            let claims = json!({
                "aud": text("audience"), "iss": "https://accounts.google.com", "iat": now, "exp": now + 3600,
                "sub": ACCOUNT_ID, "azp": ACCOUNT_ID, "email": ACCOUNT, "email_verified": true,
            });
            Answer::json(&json!({ "token": jwt(key, &claims) }))
        }
        _ => refusal(404, "NOT_FOUND", "no"),
    }
}

fn jwt(key: &KeyPair, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&json!({ "alg": "RS256", "typ": "JWT", "kid": KEY_ID })), part(claims));
    let signature = key.sign(text.as_bytes()).expect("a signature");
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The metadata server, and what Vault asks.
fn plain(request: &Request, certificate: &str) -> Answer {
    let is_vault = request.header("authorization") == Some(&format!("Bearer {VAULT_TOKEN}"));
    let is_guest = request.header("metadata-flavor") == Some("Google");
    match request.path.as_str() {
        "/computeMetadata/v1/project/project-id" if is_guest => Answer::text("shop"),
        "/computeMetadata/v1/instance/attributes/cluster-location" if is_guest => Answer::text("us-central1-a"),
        "/computeMetadata/v1/instance/attributes/cluster-name" if is_guest => Answer::text("green"),
        "/token" => Answer::json(&json!({ "access_token": VAULT_TOKEN, "token_type": "Bearer", "expires_in": 3600 })),
        path if path.split('?').next() == Some(&format!("/service_accounts/v1/metadata/x509/{ACCOUNT}")) => {
            Answer::json(&json!({ ACCOUNT_KEY_ID: certificate }))
        }
        path if is_vault && path.split('?').next() == Some(&format!("/v1/projects/-/serviceAccounts/{ACCOUNT}")) => {
            account()
        }
        "/oauth2/v1/certs" => Answer::json(&json!({ KEY_ID: certificate })),
        path if is_vault && path.split('?').next() == Some(&format!("/v1/projects/-/serviceAccounts/{ACCOUNT_ID}")) => {
            account()
        }
        _ => refusal(404, "NOT_FOUND", &request.path),
    }
}

fn account() -> Answer {
    let name = format!("projects/shop/serviceAccounts/{ACCOUNT}");
    Answer::json(&json!({ "name": name, "projectId": "shop", "uniqueId": ACCOUNT_ID, "email": ACCOUNT }))
}
