//! The proof of an AWS identity: a signed `sts:GetCallerIdentity` that Vault sends on to STS.

use std::time::SystemTime;

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::http::CloudError;
use super::{AwsCredentials, Sts};

const STEP: &str = "signing the request to AWS STS";
const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";
/// The header that all requests to STS carry.
pub(super) const CONTENT_TYPE: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
/// Vault can demand this header, so that a request that was signed for one Vault is of no use at another.
const SERVER_ID: &str = "x-vault-aws-iam-server-id";

/// The members of a login to Vault's `aws` method that prove the identity. AWS takes the signature for 15 minutes after
/// `time`.
pub fn aws_proof(
    sts: &Sts,
    server_id: Option<&str>,
    credentials: &AwsCredentials,
    time: SystemTime,
) -> Result<[(&'static str, String); 4], CloudError> {
    if server_id.is_some_and(|id| id.bytes().any(|b| !(b' '..=b'~').contains(&b))) {
        return Err(CloudError::new(STEP, "headerValue has characters that a header cannot carry"));
    }
    let mut headers = vec![CONTENT_TYPE];
    headers.extend(server_id.map(|id| (SERVER_ID, id)));
    let url = sts.url.as_str();
    let added = signature(
        &Unsigned { method: "POST", url, headers: &headers, body: BODY },
        &Scope { region: &sts.region, service: "sts" },
        credentials,
        time,
    )?;
    let added = added.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let all = headers.iter().copied().chain(added);
    let all: Map<String, Value> = all.map(|(name, value)| (name.to_owned(), Value::from(vec![value]))).collect();
    Ok([
        ("iam_http_request_method", "POST".to_owned()),
        ("iam_request_url", STANDARD.encode(url)),
        ("iam_request_body", STANDARD.encode(BODY)),
        ("iam_request_headers", STANDARD.encode(Value::Object(all).to_string())),
    ])
}

/// A request as it is before it is signed.
pub(super) struct Unsigned<'a> {
    pub method: &'a str,
    pub url: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a str,
}

/// What a signature is valid for.
pub(super) struct Scope<'a> {
    pub region: &'a str,
    pub service: &'a str,
}

/// The headers that sign a request (AWS Signature Version 4). `Host` is signed as the URL has it.
pub(super) fn signature(
    request: &Unsigned<'_>,
    scope: &Scope<'_>,
    credentials: &AwsCredentials,
    time: SystemTime,
) -> Result<Vec<(String, String)>, CloudError> {
    let failed = |e: &dyn std::error::Error| CloudError::new(STEP, e);
    let identity = credentials.clone().into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .map_err(|e| failed(&e))?
        .into();
    let body = SignableBody::Bytes(request.body.as_bytes());
    let signable = SignableRequest::new(request.method, request.url, request.headers.iter().copied(), body)
        .map_err(|e| failed(&e))?;
    let (instructions, _) = sign(signable, &parameters).map_err(|e| failed(&e))?.into_parts();
    Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}
