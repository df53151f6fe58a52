//! What AWS does here: STS, IAM, the instance metadata service, and the agent of EKS Pod Identity.

mod iam;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde_json::json;
use testenv::Environment;

use super::sigv4::{Authorization, sign};
use super::tls::tls;
use crate::http_server::{Answer, Request, serve, serve_tunnels};

const ACCOUNT: &str = "123456789012";
/// What IMDS gives for the right to ask.
const IMDS_TOKEN: &str = "imds-hunter2";

/// A key that AWS knows.
struct Key {
    secret: String,
    token: Option<String>,
    arn: String,
    /// When it stops to work; never without one.
    end: Option<DateTime<Utc>>,
}

#[derive(Default)]
struct State {
    keys: HashMap<String, Key>,
    /// Role to the service account, `namespace:name`, or the AWS account that it trusts; behind that the external ID
    /// that it asks for.
    roles: HashMap<String, String>,
    /// Names of users that were made by IAM, and the ARNs of the policies that are attached to them.
    users: HashMap<String, Vec<String>>,
    /// How many keys were made so far.
    issued: usize,
    /// How long sessions last, if that is shorter than what is asked for.
    longest_session: Option<TimeDelta>,
    log: Vec<String>,
}

/// The services, at one address.
#[derive(Clone)]
pub struct Aws {
    /// `host:port` of the server.
    pub address: String,
    environment: Environment,
    state: Arc<Mutex<State>>,
}

impl Aws {
    /// Starts them. Web identity tokens are reviewed by the API server of the environment.
    pub fn start(environment: &Environment) -> Self {
        let state = Arc::<Mutex<State>>::default();
        let handler = {
            let (environment, state) = (environment.clone(), state.clone());
            move |request: &Request| answer(&environment, &state, request)
        };
        Self { address: serve(Arc::new(handler)), environment: environment.clone(), state }
    }

    /// URL of the server.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a user with a key.
    pub fn user(&self, name: &str, id: &str, secret: &str, token: Option<&str>) {
        let arn = format!("arn:aws:iam::{ACCOUNT}:user/{name}");
        let key = Key { secret: secret.into(), token: token.map(str::to_owned), arn, end: None };
        self.state.lock().expect("the state").keys.insert(id.into(), key);
    }

    /// Makes a role that trusts a service account. Gives its ARN.
    pub fn role(&self, name: &str, namespace: &str, account: &str) -> String {
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/{name}");
        self.state.lock().expect("the state").roles.insert(arn.clone(), format!("{namespace}:{account}"));
        arn
    }

    /// Makes a role that every user of the account may assume. Gives its ARN.
    pub fn role_of_account(&self, name: &str) -> String {
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/{name}");
        self.state.lock().expect("the state").roles.insert(arn.clone(), ACCOUNT.into());
        arn
    }

    /// Makes a role that every user of the account may assume who gives this external ID. Gives its ARN.
    pub fn role_with_external_id(&self, name: &str, external_id: &str) -> String {
        let arn = self.role_of_account(name);
        self.state.lock().expect("the state").roles.insert(arn.clone(), format!("{ACCOUNT} {external_id}"));
        arn
    }

    /// Starts a proxy to STS by the names that it has in these regions. Gives `host:port` of it, and its certificate
    /// authority, PEM.
    pub fn public<const N: usize>(&self, names: [&str; N]) -> (String, String) {
        let (authority, tls) = tls(names);
        let (environment, state) = (self.environment.clone(), self.state.clone());
        let handler = move |request: &Request| {
            let mut request = request.clone();
            // What was signed is the header.
            request.host = request.header("host").unwrap_or_default().to_owned();
            answer(&environment, &state, &request)
        };
        (serve_tunnels(tls, Arc::new(handler)), authority)
    }

    /// Lets sessions end after so many seconds, however long they are asked for: Vault asks for 15 minutes at the
    /// least.
    pub fn shorten_sessions(&self, seconds: i64) {
        self.state.lock().expect("the state").longest_session = Some(TimeDelta::seconds(seconds));
    }

    /// Whether STS says who the holder of this key is.
    pub fn accepts(&self, access_key_id: &str, secret: &str, token: Option<&str>) -> bool {
        let host = self.address.clone();
        let mut request = Request {
            headers: vec![("host".into(), host.clone())],
            host,
            method: "POST".into(),
            path: "/".into(),
            body: "Action=GetCallerIdentity&Version=2011-06-15".into(),
        };
        sign(&mut request, "sts", access_key_id, secret, token);
        answer(&self.environment, &self.state, &request).status == 200
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

fn answer(environment: &Environment, state: &Mutex<State>, request: &Request) -> Answer {
    let form = reqwest::Url::parse(&format!("form:?{}", request.body)).expect("a form");
    let form: HashMap<String, String> = form.query_pairs().into_owned().collect();
    let action = form.get("Action").map(String::as_str);
    match (request.method.as_str(), request.path.trim_start_matches('/'), action) {
        ("POST", "", Some("GetCallerIdentity")) => caller_identity(state, request),
        ("POST", "", Some("AssumeRoleWithWebIdentity")) => assume_role_with_web_identity(environment, state, &form),
        ("POST", "", Some("AssumeRole")) => assume_role(state, request, &form),
        ("POST", "", Some("GetFederationToken")) => federation_token(state, request, &form),
        ("POST", "", Some(action)) => iam::answer(state, request, action, &form),
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
    Answer { content_type: "text/xml", ..Answer::refusal(status, body) }
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
    match caller(&state, request, "sts") {
        Err(what) => error("SignatureDoesNotMatch", &what),
        Ok((arn, region)) => {
            state.log.push(format!("GetCallerIdentity {} {region} {arn}", request.host));
            sts(
                "GetCallerIdentity",
                &format!("<Arn>{arn}</Arn><UserId>AIDAEXAMPLE</UserId><Account>{ACCOUNT}</Account>"),
            )
        }
    }
}

/// Who has signed a request to a service, and for which region.
fn caller(state: &State, request: &Request, service: &str) -> Result<(String, String), String> {
    let authorization = Authorization::of(request)?;
    let key = state.keys.get(&authorization.access_key_id).ok_or("the key is not known")?;
    authorization.check(request, &key.secret)?;
    if authorization.service != service {
        return Err("for another service".to_owned());
    }
    if key.end.is_some_and(|end| end <= Utc::now()) {
        return Err("the key has expired".into());
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
    Ok((key.arn.clone(), authorization.region))
}

/// What STS answers to an action.
fn sts(action: &str, result: &str) -> Answer {
    xml(
        200,
        &format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>{result}</{action}Result><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>"
        ),
    )
}

fn assume_role_with_web_identity(
    environment: &Environment,
    state: &Mutex<State>,
    form: &HashMap<String, String>,
) -> Answer {
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let (role, session) = (field("RoleArn"), field("RoleSessionName"));
    let subject = match review(environment, field("WebIdentityToken"), "sts.amazonaws.com") {
        Ok(subject) => subject,
        Err(why) => return error("InvalidIdentityToken", &why),
    };
    let mut state = state.lock().expect("the state");
    let trusted = state.roles.get(role).map(|account| format!("system:serviceaccount:{account}"));
    if trusted.as_deref() != Some(&subject) || session.len() < 2 {
        return error("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity");
    }
    let arn = session_arn(role, session);
    let credentials = issue(&mut state, &arn, TimeDelta::hours(1)).xml();
    state.log.push(format!("AssumeRoleWithWebIdentity {role} {session}"));
    sts(
        "AssumeRoleWithWebIdentity",
        &format!(
            "<Audience>sts.amazonaws.com</Audience><AssumedRoleUser><AssumedRoleId>AROAEXAMPLE:{session}</AssumedRoleId><Arn>{arn}</Arn></AssumedRoleUser>{credentials}"
        ),
    )
}

fn assume_role(state: &Mutex<State>, request: &Request, form: &HashMap<String, String>) -> Answer {
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let (role, session) = (field("RoleArn"), field("RoleSessionName"));
    let mut state = state.lock().expect("the state");
    let region = match caller(&state, request, "sts") {
        Ok((_, region)) => region,
        Err(what) => return error("SignatureDoesNotMatch", &what),
    };
    let is_public = request.host.ends_with(".amazonaws.com");
    if is_public && request.host != format!("sts.{region}.amazonaws.com") {
        return error("SignatureDoesNotMatch", "Credential should be scoped to a valid region");
    }
    let trusted = [ACCOUNT.to_owned(), format!("{ACCOUNT} {}", field("ExternalId"))];
    if !state.roles.get(role).is_some_and(|trusts| trusted.contains(trusts)) {
        return error("AccessDenied", "Not authorized to perform sts:AssumeRole");
    }
    let arn = session_arn(role, session);
    let lifetime = lifetime(&state, form);
    let credentials = issue(&mut state, &arn, lifetime).xml();
    state.log.push(format!("AssumeRole {role}"));
    sts(
        "AssumeRole",
        &format!(
            "<AssumedRoleUser><AssumedRoleId>AROAEXAMPLE:{session}</AssumedRoleId><Arn>{arn}</Arn></AssumedRoleUser>{credentials}"
        ),
    )
}

fn federation_token(state: &Mutex<State>, request: &Request, form: &HashMap<String, String>) -> Answer {
    let mut state = state.lock().expect("the state");
    if let Err(what) = caller(&state, request, "sts") {
        return error("SignatureDoesNotMatch", &what);
    }
    let name = form.get("Name").cloned().unwrap_or_default();
    let arn = format!("arn:aws:sts::{ACCOUNT}:federated-user/{name}");
    let lifetime = lifetime(&state, form);
    let credentials = issue(&mut state, &arn, lifetime).xml();
    state.log.push("GetFederationToken".to_owned());
    sts(
        "GetFederationToken",
        &format!(
            "<FederatedUser><FederatedUserId>{ACCOUNT}:{name}</FederatedUserId><Arn>{arn}</Arn></FederatedUser>{credentials}"
        ),
    )
}

fn lifetime(state: &State, form: &HashMap<String, String>) -> TimeDelta {
    let seconds = form.get("DurationSeconds").and_then(|text| text.parse().ok());
    let wanted = seconds.map_or(TimeDelta::hours(1), TimeDelta::seconds);
    state.longest_session.map_or(wanted, |longest| longest.min(wanted))
}

fn session_arn(role: &str, session: &str) -> String {
    let name = role.rsplit('/').next().unwrap_or_default();
    format!("arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{session}")
}

/// A temporary key, as it is given away.
struct Issued {
    id: String,
    secret: String,
    token: String,
    end: String,
}

impl Issued {
    fn xml(&self) -> String {
        let Self { id, secret, token, end } = self;
        format!(
            "<Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{token}</SessionToken><Expiration>{end}</Expiration></Credentials>"
        )
    }
}

/// Makes a temporary key of this identity.
fn issue(state: &mut State, arn: &str, lifetime: TimeDelta) -> Issued {
    let n = state.issued;
    state.issued += 1;
    let (id, secret, token) =
        (format!("ASIA{n:016}"), format!("secret-{n}-hunter2/+="), format!("token-{n}-hunter2/+=="));
    let end = Utc::now() + lifetime;
    let key = Key { secret: secret.clone(), token: Some(token.clone()), arn: arn.into(), end: Some(end) };
    state.keys.insert(id.clone(), key);
    Issued { id, secret, token, end: end.format("%Y-%m-%dT%H:%M:%SZ").to_string() }
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
    let Issued { id, secret, token, end } =
        issue(&mut state, &session_arn(role, "i-0123456789abcdef0"), TimeDelta::hours(6));
    state.log.push(format!("credentials {role}"));
    Answer::json(&json!({
        "Code": "Success", "LastUpdated": "2026-01-01T00:00:00Z", "Type": "AWS-HMAC",
        "AccessKeyId": id, "SecretAccessKey": secret, "Token": token, "Expiration": end,
    }))
}

/// Whose token it is, if the API server takes it for this audience.
pub fn review(environment: &Environment, token: &str, audience: &str) -> Result<String, String> {
    use std::io::Write as _;
    use std::process::Stdio;
    let object = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": { "token": token, "audiences": [audience] },
    });
    let mut command = environment.command("kubectl");
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
