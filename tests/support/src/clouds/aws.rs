//! What AWS does here: STS, the instance metadata service, and the agent of EKS Pod Identity.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use chrono::{NaiveDateTime, TimeDelta, Utc};
use serde_json::json;
use testenv::Cluster;

use super::sigv4::Authorization;
use crate::http_server::{Answer, Request, serve};

const ACCOUNT: &str = "123456789012";
/// What IMDS gives for the right to ask.
const IMDS_TOKEN: &str = "imds-hunter2";

/// A key that AWS knows.
struct Key {
    secret: String,
    token: Option<String>,
    arn: String,
}

#[derive(Default)]
struct State {
    keys: HashMap<String, Key>,
    /// Role to the service account, `namespace:name`, that it trusts.
    roles: HashMap<String, String>,
    log: Vec<String>,
}

/// The services, at one address.
#[derive(Clone)]
pub struct Aws {
    /// URL of the server.
    pub address: String,
    state: Arc<Mutex<State>>,
}

impl Aws {
    /// Starts them. Web identity tokens are reviewed by the API server of `cluster`.
    pub fn start(cluster: &'static Cluster) -> Self {
        let state = Arc::<Mutex<State>>::default();
        let handler = {
            let state = state.clone();
            move |request: &Request| answer(cluster, &state, request)
        };
        Self { address: serve(Arc::new(handler)), state }
    }

    /// URL of the server.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a user with a key.
    pub fn user(&self, name: &str, id: &str, secret: &str, token: Option<&str>) {
        let arn = format!("arn:aws:iam::{ACCOUNT}:user/{name}");
        let key = Key { secret: secret.into(), token: token.map(str::to_owned), arn };
        self.state.lock().expect("the state").keys.insert(id.into(), key);
    }

    /// Makes a role that trusts a service account. Gives its ARN.
    pub fn role(&self, name: &str, namespace: &str, account: &str) -> String {
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/{name}");
        self.state.lock().expect("the state").roles.insert(arn.clone(), format!("{namespace}:{account}"));
        arn
    }

    /// What was asked for, in order.
    pub fn log(&self) -> Vec<String> {
        self.state.lock().expect("the state").log.clone()
    }

    /// How often something was asked for.
    pub fn count(&self, what: &str) -> usize {
        self.log().iter().filter(|line| line.starts_with(what)).count()
    }
}

fn answer(cluster: &Cluster, state: &Mutex<State>, request: &Request) -> Answer {
    let form = reqwest::Url::parse(&format!("form:?{}", request.body)).expect("a form");
    let form: HashMap<String, String> = form.query_pairs().into_owned().collect();
    let action = form.get("Action").map(String::as_str);
    match (request.method.as_str(), request.path.trim_start_matches('/'), action) {
        ("POST", "", Some("GetCallerIdentity")) => caller_identity(state, request),
        ("POST", "", Some("AssumeRoleWithWebIdentity")) => assume_role(cluster, state, &form),
        ("PUT", "latest/api/token", _) if request.header("x-aws-ec2-metadata-token-ttl-seconds").is_some() => {
            Answer::text(IMDS_TOKEN)
        }
        ("GET", path, _) if path.starts_with("latest/") => metadata(state, request),
        ("GET", "v1/credentials", _) => match request.header("authorization") {
            Some("pod-identity-hunter2") => temporary(state, "pod"),
            _ => Answer::refusal(401, "no"),
        },
        _ => Answer::refusal(404, "no"),
    }
}

fn xml(status: u16, body: &str) -> Answer {
    Answer { status, content_type: "text/xml", body: body.to_owned() }
}

fn error(code: &str, message: &str) -> Answer {
    xml(
        403,
        &format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
        ),
    )
}

fn caller_identity(state: &Mutex<State>, request: &Request) -> Answer {
    let mut state = state.lock().expect("the state");
    let checked = (|| {
        let authorization = Authorization::of(request)?;
        let key = state.keys.get(&authorization.access_key_id).ok_or("the key is not known")?;
        authorization.check(request, &key.secret)?;
        if authorization.service != "sts" {
            return Err("for another service".to_owned());
        }
        let time = NaiveDateTime::parse_from_str(request.header("x-amz-date").unwrap_or_default(), "%Y%m%dT%H%M%SZ");
        let age = Utc::now().naive_utc() - time.map_err(|e| e.to_string())?;
        if age.abs() > TimeDelta::minutes(15) {
            return Err("it has expired".into());
        }
        let signed = |name: &str| authorization.signed_headers.iter().any(|n| n == name);
        if request.header("x-amz-security-token") != key.token.as_deref()
            || (key.token.is_some() && !signed("x-amz-security-token"))
        {
            return Err("the session token is not that of the key, or is not signed".into());
        }
        Ok((key.arn.clone(), format!("{} {}", request.host, authorization.region)))
    })();
    match checked {
        Err(what) => error("SignatureDoesNotMatch", &what),
        Ok((arn, to)) => {
            state.log.push(format!("GetCallerIdentity {to} {arn}"));
            xml(
                200,
                &format!(
                    "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Arn>{arn}</Arn><UserId>AIDAEXAMPLE</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
                ),
            )
        }
    }
}

fn assume_role(cluster: &Cluster, state: &Mutex<State>, form: &HashMap<String, String>) -> Answer {
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let (role, session) = (field("RoleArn"), field("RoleSessionName"));
    let subject = match review(cluster, field("WebIdentityToken"), "sts.amazonaws.com") {
        Ok(subject) => subject,
        Err(why) => return error("InvalidIdentityToken", &why),
    };
    let mut state = state.lock().expect("the state");
    let trusted = state.roles.get(role).map(|account| format!("system:serviceaccount:{account}"));
    if trusted.as_deref() != Some(&subject) || session.len() < 2 {
        return error("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity");
    }
    let name = role.rsplit('/').next().unwrap_or_default().to_owned();
    let (id, secret, token) = issue(&mut state, &name, session);
    state.log.push(format!("AssumeRoleWithWebIdentity {role} {session}"));
    let end = (Utc::now() + TimeDelta::hours(1)).format("%Y-%m-%dT%H:%M:%SZ");
    xml(
        200,
        &format!(
            "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult><Audience>sts.amazonaws.com</Audience><AssumedRoleUser><AssumedRoleId>AROAEXAMPLE:{session}</AssumedRoleId><Arn>arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{session}</Arn></AssumedRoleUser><Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{token}</SessionToken><Expiration>{end}</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        ),
    )
}

/// Makes a temporary key of a session of a role.
fn issue(state: &mut State, role: &str, session: &str) -> (String, String, String) {
    let n = state.keys.len();
    let (id, secret, token) =
        (format!("ASIA{n:016}"), format!("secret-{n}-hunter2/+="), format!("token-{n}-hunter2/+=="));
    let arn = format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}");
    state.keys.insert(id.clone(), Key { secret: secret.clone(), token: Some(token.clone()), arn });
    (id, secret, token)
}

fn metadata(state: &Mutex<State>, request: &Request) -> Answer {
    if request.header("x-aws-ec2-metadata-token") != Some(IMDS_TOKEN) {
        return Answer::refusal(401, "IMDSv2 only");
    }
    match request.path.as_str() {
        "/latest/meta-data/iam/security-credentials/" => Answer::text("node"),
        "/latest/meta-data/iam/security-credentials/node" => temporary(state, "node"),
        _ => Answer::refusal(404, "no"),
    }
}

fn temporary(state: &Mutex<State>, role: &str) -> Answer {
    let mut state = state.lock().expect("the state");
    let (id, secret, token) = issue(&mut state, role, "i-0123456789abcdef0");
    state.log.push(format!("credentials {role}"));
    let end = (Utc::now() + TimeDelta::hours(6)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    Answer::json(&json!({
        "Code": "Success", "LastUpdated": "2026-01-01T00:00:00Z", "Type": "AWS-HMAC",
        "AccessKeyId": id, "SecretAccessKey": secret, "Token": token, "Expiration": end,
    }))
}

/// Whose token it is, if the API server takes it for this audience.
pub fn review(cluster: &Cluster, token: &str, audience: &str) -> Result<String, String> {
    use std::io::Write as _;
    use std::process::Stdio;
    let object = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": { "token": token, "audiences": [audience] },
    });
    let mut command = cluster.command("kubectl");
    command.args(["create", "-o", "json", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    child.stdin.take().expect("stdin").write_all(object.to_string().as_bytes()).map_err(|e| e.to_string())?;
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())?;
    match &answer["status"] {
        status if status["authenticated"] == true => Ok(status["user"]["username"].as_str().unwrap_or("").to_owned()),
        _ => Err("the token is not valid for this audience".into()),
    }
}
