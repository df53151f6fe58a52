//! Logins as an AWS identity. Vault is the real one, with its STS at the one of [`Aws`], which refuses wrong
//! signatures.

use std::path::Path;

use serde_json::{Value, json};
use testenv::Server;

use test_support::auth_mounts::{uid, wait_cache_key};
use test_support::clouds::aws::Aws;
use test_support::{FAST_RETRY, Tenant, lacks, shared};

const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const SERVER_ID: &str = "vault.example.com";

/// AWS, and a mount of Vault's `aws` method that asks it, with a role `app`, a role `temporary` and a role `node`.
fn set_up(name: &str) -> (Tenant<'static>, Aws, String) {
    let tenant = Tenant::new(name);
    let aws = Aws::start(shared());
    let mount = format!("aws-{}", tenant.namespace);
    let vault = |path: &str, body: Value| {
        tenant.cluster.vault("POST", path, Some(body)).expect("Vault takes it");
    };
    vault(&format!("sys/auth/{mount}"), json!({ "type": "aws" }));
    let endpoint = aws.url();
    vault(
        &format!("auth/{mount}/config/client"),
        json!({ "sts_endpoint": endpoint, "iam_endpoint": endpoint, "iam_server_id_header_value": SERVER_ID }),
    );
    for (role, arns) in [
        ("app", &["arn:aws:iam::123456789012:user/app", "arn:aws:iam::123456789012:role/app"][..]),
        ("temporary", &["arn:aws:iam::123456789012:user/temporary"]),
        ("node", &["arn:aws:iam::123456789012:role/node", "arn:aws:iam::123456789012:role/pod"]),
    ] {
        let role = format!("auth/{mount}/role/{role}");
        vault(
            &role,
            json!({
                "auth_type": "iam", "bound_iam_principal_arn": arns, "resolve_aws_unique_ids": false,
                "token_policies": [tenant.namespace],
            }),
        );
    }
    (tenant, aws, mount)
}

/// Applies a sample as it stands there, but for the mount and what is given.
fn sample(tenant: &Tenant<'_>, file: &str, mount: &str, changes: &[(&str, String)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples/auth").join(file);
    let mut text = std::fs::read_to_string(path).expect("the sample");
    let mount = ("mount: aws", format!("mount: {mount}"));
    for (from, to) in [mount].iter().chain(changes) {
        assert!(text.contains(from), "{file} has no {from:?}");
        text = text.replace(from, to);
    }
    let here = tenant.cluster.dir().join(format!("{}-{file}", tenant.namespace));
    std::fs::write(&here, text).expect("a file");
    tenant.kubectl(&["apply", "--filename", here.to_str().expect("UTF-8")]).expect("the sample is accepted");
}

/// A VaultStaticSecret that uses the VaultAuth of its name.
fn user(tenant: &Tenant<'_>, name: &str) -> Value {
    tenant.put(name, json!({ "password": format!("of-{name}") }));
    tenant.static_secret(name, json!({ "vaultAuthRef": name, "destination": { "name": format!("{name}-synced") } }))
}

#[track_caller]
fn assert_synced(tenant: &Tenant<'_>, name: &str) {
    tenant.wait_value(&format!("{name}-synced"), "password", &format!("of-{name}"));
    tenant.wait_synced(name);
}
fn keys(name: &str, data: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": data })
}

#[test]
fn keys_of_a_secret_and_roles_of_service_accounts() {
    if lacks(Server::OpenBao, "auth method aws") {
        return;
    }
    let (tenant, aws, mount) = set_up("aws");
    aws.user("app", KEY_ID, KEY, None);
    aws.user("temporary", "ASIATEMPORARY", "temporary-hunter2", Some("token-of-temporary-hunter2=="));
    aws.role("app", &tenant.namespace, "aws-irsa");
    sample(&tenant, "aws-keys.yaml", &mount, &[]);
    let endpoint = ("# stsEndpoint: https://sts.example.internal", format!("stsEndpoint: {}", aws.url()));
    sample(&tenant, "aws-irsa.yaml", &mount, &[endpoint]);
    let temporary = json!({
        "access_key_id": "ASIATEMPORARY", "secret_access_key": "temporary-hunter2",
        "session_token": "token-of-temporary-hunter2==",
    });
    let spec = |aws: Value| json!({ "method": "aws", "mount": mount, "aws": aws });
    tenant.apply_all(&[
        keys("temporary", temporary),
        tenant.auth(
            "temporary",
            spec(json!({
                "role": "temporary", "region": "eu-south-1", "headerValue": SERVER_ID, "secretRef": "temporary",
            })),
        ),
    ]);
    let operator = tenant.operator(&["--zap-log-level=9"]);
    for name in ["aws-keys", "temporary", "aws-irsa"] {
        tenant.apply(&user(&tenant, name));
    }
    for name in ["aws-keys", "temporary", "aws-irsa"] {
        assert_synced(&tenant, name);
    }
    let log = aws.log();
    for expected in [
        "GetCallerIdentity sts.amazonaws.com us-east-1 arn:aws:iam::123456789012:user/app".to_owned(),
        "GetCallerIdentity sts.eu-south-1.amazonaws.com eu-south-1 arn:aws:iam::123456789012:user/temporary".into(),
        "AssumeRoleWithWebIdentity arn:aws:iam::123456789012:role/app team-app".into(),
        format!("GetCallerIdentity {} us-east-1 arn:aws:sts::123456789012:assumed-role/app/team-app", aws.address),
    ] {
        assert!(log.contains(&expected), "{expected} is not in {log:#?}");
    }
    for (name, kind) in [("aws-keys", "secret"), ("temporary", "secret"), ("aws-irsa", "serviceaccount")] {
        wait_cache_key(&tenant, name, name, "aws", &uid(&tenant, kind, name));
    }
    tenant.assert_nothing_leaked(&operator, &[KEY, "hunter2"]);
}

#[test]
fn what_is_wrong_with_a_login_is_told_and_nothing_else() {
    if lacks(Server::OpenBao, "auth method aws") {
        return;
    }
    let (tenant, aws, mount) = set_up("aws-refused");
    aws.user("app", KEY_ID, KEY, None);
    aws.role("app", &tenant.namespace, "another");
    let endpoint = aws.url();
    let account = |name: &str, annotations: Value| {
        let metadata = json!({ "name": name, "annotations": annotations });
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata })
    };
    let arn = "arn:aws:iam::123456789012:role/app";
    tenant.apply_all(&[
        keys("wrong-key", json!({ "access_key_id": KEY_ID, "secret_access_key": "wrong-hunter2" })),
        keys("half-key", json!({ "access_key_id": KEY_ID })),
        keys("good-key", json!({ "access_key_id": KEY_ID, "secret_access_key": KEY })),
        account("plain", json!({})),
        account("untrusted", json!({ "eks.amazonaws.com/role-arn": arn })),
        account("audience", json!({ "eks.amazonaws.com/role-arn": arn, "eks.amazonaws.com/audience": "other" })),
        account("expiry", json!({ "eks.amazonaws.com/role-arn": arn, "eks.amazonaws.com/token-expiration": "soon" })),
    ]);
    let cases: Vec<(&str, Value, Vec<&str>)> = vec![
        ("wrong-key", json!({ "secretRef": "wrong-key" }), vec!["SignatureDoesNotMatch"]),
        ("half-key", json!({ "secretRef": "half-key" }), vec!["no key \"secret_access_key\" found in secret"]),
        ("no-secret", json!({ "secretRef": "nowhere" }), vec!["nowhere", "does not exist"]),
        ("header", json!({ "secretRef": "good-key", "headerValue": "other" }), vec!["expected", "vault.example.com"]),
        ("role", json!({ "secretRef": "good-key", "role": "temporary" }), vec!["does not belong to the role"]),
        ("plain", json!({ "irsaServiceAccount": "plain" }), vec!["missing \"eks.amazonaws.com/role-arn\" annotation"]),
        ("no-account", json!({ "irsaServiceAccount": "nobody" }), vec!["nobody", "does not exist"]),
        ("untrusted", json!({ "irsaServiceAccount": "untrusted" }), vec!["403 Forbidden AccessDenied"]),
        ("audience", json!({ "irsaServiceAccount": "audience" }), vec!["InvalidIdentityToken"]),
        ("expiry", json!({ "irsaServiceAccount": "expiry" }), vec!["eks.amazonaws.com/token-expiration", "soon"]),
        (
            "unreachable",
            json!({ "irsaServiceAccount": "untrusted", "stsEndpoint": "http://127.0.0.1:1" }),
            vec!["AssumeRoleWithWebIdentity", "127.0.0.1", "refused"],
        ),
        (
            "query",
            json!({ "stsEndpoint": "https://sts.amazonaws.com/?Action=GetSessionToken" }),
            vec!["aws.stsEndpoint", "no user, path, query or fragment"],
        ),
        ("none", json!({}), vec!["AWS_EC2_METADATA_DISABLED"]),
    ];
    let args = [&FAST_RETRY[..], &["--allow-ambient-cloud-identity", "--zap-log-level=9"]].concat();
    let operator = tenant.operator_with(&[("AWS_EC2_METADATA_DISABLED", "true")], &args);
    for (name, members, _) in &cases {
        let mut block = json!({ "role": "app", "headerValue": SERVER_ID, "stsEndpoint": endpoint });
        json_patch::merge(&mut block, members);
        tenant.apply(&tenant.auth(name, json!({ "method": "aws", "mount": mount, "aws": block })));
        tenant.apply(&user(&tenant, name));
    }
    for (name, _, texts) in &cases {
        tenant.wait_failure(name, "VaultClientConfigError", texts);
    }
    // What was wrong is put right.
    tenant.apply(&keys("wrong-key", json!({ "access_key_id": KEY_ID, "secret_access_key": KEY })));
    aws.role("app", &tenant.namespace, "untrusted");
    for name in ["wrong-key", "untrusted"] {
        assert_synced(&tenant, name);
    }
    tenant.assert_nothing_leaked(&operator, &[KEY, "hunter2"]);
}

#[test]
fn what_the_operator_itself_is() {
    if lacks(Server::OpenBao, "auth method aws") {
        return;
    }
    let (tenant, aws, mount) = set_up("aws-node");
    sample(&tenant, "aws-keys.yaml", &mount, &[]);
    let token_file = tenant.cluster.dir().join(format!("{}-token", tenant.namespace));
    let token = tenant.cluster.service_account_token(&tenant.operator_namespace, "default", &["sts.amazonaws.com"]);
    std::fs::write(&token_file, token.expect("a token")).expect("a file");
    let pod = aws.role("pod", &tenant.operator_namespace, "default");
    let (endpoint, credentials) = (aws.url(), format!("{}/v1/credentials", aws.url()));
    let agent_token = tenant.cluster.dir().join(format!("{}-agent", tenant.namespace));
    std::fs::write(&agent_token, "pod-identity-hunter2\n").expect("a file");
    let (token_file, agent_token) = (token_file.display().to_string(), agent_token.display().to_string());
    let cases = [
        ("imds", vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint.as_str())], "credentials node"),
        (
            "agent",
            vec![
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", credentials.as_str()),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", agent_token.as_str()),
            ],
            "credentials pod",
        ),
        (
            "file",
            vec![
                ("AWS_WEB_IDENTITY_TOKEN_FILE", token_file.as_str()),
                ("AWS_ROLE_ARN", pod.as_str()),
                ("AWS_ENDPOINT_URL_STS", endpoint.as_str()),
            ],
            "AssumeRoleWithWebIdentity",
        ),
    ];
    for (name, variables, asked) in cases {
        let args = ["--allow-ambient-cloud-identity", "--zap-log-level=9"];
        let operator = tenant.operator_with(&variables, &args);
        // Two identities, since the header is part of it; the operator's credentials are asked for once.
        let other = format!("{name}-other");
        let block = json!({ "role": "node", "headerValue": SERVER_ID, "sessionName": "other" });
        tenant.apply(&tenant.auth(&other, json!({ "method": "aws", "mount": mount, "aws": block })));
        tenant.apply(&user(&tenant, &other));
        let mut object = user(&tenant, name);
        object["spec"]["vaultAuthRef"] = json!("aws-node");
        tenant.apply(&object);
        assert_synced(&tenant, name);
        assert_synced(&tenant, &other);
        assert_eq!(aws.count(asked), 1, "{:#?}", aws.log());
        tenant.assert_nothing_leaked(&operator, &["hunter2"]);
        let root = ["get", "configmap", "kube-root-ca.crt", "--output=jsonpath={.metadata.uid}"];
        let mut arguments = vec!["--namespace", tenant.operator_namespace.as_str()];
        arguments.extend(root);
        let root = tenant.cluster.kubectl(&arguments).expect("the ConfigMap");
        wait_cache_key(&tenant, name, "aws-node", "aws", &root);
    }
}

/// Applies a SecretStore that logs in with `auth.iam`, and an ExternalSecret that reads the path `db` by it into the
/// key `p`.
fn apply_store(tenant: &Tenant<'_>, name: &str, iam: &Value) {
    let mut vault = json!({ "server": tenant.cluster.vault_addr(), "path": "secret" });
    // What is null is left out.
    json_patch::merge(&mut vault, &json!({ "auth": { "iam": iam } }));
    let object = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "external-secrets.io/v1", "kind": kind,
            "metadata": { "name": name, "namespace": tenant.namespace }, "spec": spec,
        })
    };
    let row = json!({ "secretKey": "p", "remoteRef": { "key": tenant.path("db"), "property": "password" } });
    tenant.apply_all(&[
        object("SecretStore", json!({ "provider": { "vault": vault } })),
        object("ExternalSecret", json!({ "secretStoreRef": { "name": name }, "data": [row] })),
    ]);
}

#[test]
fn stores_of_external_secrets_log_in_with_keys() {
    if lacks(Server::OpenBao, "auth method aws") {
        return;
    }
    let (tenant, aws, mount) = set_up("es-aws");
    aws.user("app", KEY_ID, KEY, None);
    aws.user("temporary", "ASIATEMPORARY", "temporary-hunter2", Some("token-of-temporary-hunter2=="));
    tenant.put("db", json!({ "password": "es-aws-hunter2" }));
    tenant.apply_all(&[
        keys("id", json!({ "app": KEY_ID, "temporary": "ASIATEMPORARY" })),
        keys("key", json!({ "app": format!("{KEY}\n"), "temporary": "temporary-hunter2" })),
        keys("token", json!({ "temporary": "token-of-temporary-hunter2==" })),
    ]);
    let operator = tenant.operator(&["--external-secrets", "--zap-log-level=9"]);
    for (name, region) in [("app", None), ("temporary", Some("eu-south-1")), ("half", None)] {
        let key = |secret: &str| json!({ "name": secret, "key": name });
        let token = (name == "temporary").then(|| key("token"));
        let secrets = json!({
            "accessKeyIDSecretRef": key("id"), "secretAccessKeySecretRef": key("key"), "sessionTokenSecretRef": token,
        });
        let iam = json!({
            "path": mount, "vaultRole": name, "region": region, "vaultAwsIamServerID": SERVER_ID, "secretRef": secrets,
        });
        apply_store(&tenant, name, &iam);
    }
    for name in ["app", "temporary"] {
        tenant.wait_value(name, "p", "es-aws-hunter2");
        tenant.wait_condition_of("secretstore", name, ("Ready", "True", Some("Valid")), &["store validated"]);
    }
    tenant.wait_not_ready("secretstore", "half", "InvalidProviderConfig", &["no key \"half\" found in secret"]);
    let log = aws.log();
    for expected in [
        "GetCallerIdentity sts.amazonaws.com us-east-1 arn:aws:iam::123456789012:user/app",
        "GetCallerIdentity sts.eu-south-1.amazonaws.com eu-south-1 arn:aws:iam::123456789012:user/temporary",
    ] {
        assert!(log.contains(&expected.to_owned()), "{expected} is not in {log:#?}");
    }
    tenant.assert_nothing_leaked(&operator, &[KEY, "hunter2"]);
}

#[test]
fn stores_of_external_secrets_assume_roles() {
    if lacks(Server::OpenBao, "auth method aws") {
        return;
    }
    let (tenant, aws, mount) = set_up("es-aws-roles");
    aws.user("start", KEY_ID, KEY, None);
    aws.user("temporary", "ASIATEMPORARY", "temporary-hunter2", Some("token-of-temporary-hunter2=="));
    // Only the roles that are assumed may log in.
    let roles = [
        ("plain", aws.role_of_account("app")),
        ("guarded", aws.role_with_external_id("node", "shared with = & AWS")),
        ("untrusted", "arn:aws:iam::123456789012:role/elsewhere".to_owned()),
    ];
    let [(_, plain), (_, guarded), (_, untrusted)] = &roles;
    let irsa = aws.role("irsa", &tenant.namespace, "irsa");
    tenant.put("db", json!({ "password": "es-aws-hunter2" }));
    let account = json!({ "name": "irsa", "annotations": { "eks.amazonaws.com/role-arn": irsa } });
    tenant.apply_all(&[
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": account }),
        keys("start", json!({ "id": KEY_ID, "key": KEY })),
        keys(
            "key-temporary",
            json!({
                "id": "ASIATEMPORARY", "key": "temporary-hunter2", "token": "token-of-temporary-hunter2==",
            }),
        ),
    ]);
    let names = ["sts.amazonaws.com", "sts.us-east-1.amazonaws.com", "sts.eu-south-1.amazonaws.com"];
    let (proxy, authority) = aws.public(names);
    let file = tenant.cluster.dir().join(format!("{}-aws.pem", tenant.namespace));
    std::fs::write(&file, authority).expect("a file");
    let (proxy, file) = (format!("http://{proxy}"), file.display().to_string());
    // The client of the API server takes no proxy from this one.
    let variables = [("ALL_PROXY", &*proxy), ("NO_PROXY", "127.0.0.1"), ("SSL_CERT_FILE", &*file)];
    let operator = tenant.operator_with(&variables, &["--external-secrets", "--zap-log-level=9"]);
    let of = |secret: &str, token: Option<&str>| {
        let key = |key: &str| json!({ "name": secret, "key": key });
        json!({ "secretRef": {
            "accessKeyIDSecretRef": key("id"), "secretAccessKeySecretRef": key("key"),
            "sessionTokenSecretRef": token.map(key),
        } })
    };
    let of_account = json!({ "jwt": { "serviceAccountRef": { "name": "irsa" } } });
    let stores = [
        ("keys", of("start", None), json!({ "role": plain, "vaultRole": "app" })),
        (
            "temporary",
            of("key-temporary", Some("token")),
            json!({ "role": plain, "vaultRole": "app", "region": "eu-south-1" }),
        ),
        ("account", of_account, json!({ "role": plain, "vaultRole": "app" })),
        (
            "guarded",
            of("start", None),
            json!({ "role": guarded, "externalID": "shared with = & AWS", "vaultRole": "node" }),
        ),
        // The external ID alone has no effect: the identity is the user's.
        ("no-role", of("start", None), json!({ "externalID": "x", "vaultRole": "app" })),
        ("no-id", of("start", None), json!({ "role": guarded, "vaultRole": "node" })),
        ("untrusted", of("start", None), json!({ "role": untrusted, "vaultRole": "app" })),
    ];
    for (name, identity, members) in &stores {
        let mut iam = json!({ "path": mount, "vaultAwsIamServerID": SERVER_ID });
        json_patch::merge(&mut iam, identity);
        json_patch::merge(&mut iam, members);
        apply_store(&tenant, name, &iam);
    }
    for name in ["keys", "temporary", "account", "guarded"] {
        tenant.wait_value(name, "p", "es-aws-hunter2");
        tenant.wait_condition_of("secretstore", name, ("Ready", "True", Some("Valid")), &["store validated"]);
    }
    let denied = "403 Forbidden AccessDenied: Not authorized to perform sts:AssumeRole";
    for (name, texts) in [
        ("no-role", vec!["does not belong to the role"]),
        ("no-id", vec!["AssumeRole of arn:aws:iam::123456789012:role/node at sts.us-east-1.amazonaws.com", denied]),
        ("untrusted", vec!["AssumeRole of arn:aws:iam::123456789012:role/elsewhere", denied]),
    ] {
        tenant.wait_not_ready("secretstore", name, "InvalidProviderConfig", &texts);
    }
    let log = aws.log();
    let session = "arn:aws:sts::123456789012:assumed-role";
    for expected in [
        format!("AssumeRole {plain}"),
        format!("AssumeRole {guarded}"),
        format!("AssumeRoleWithWebIdentity {irsa} vault-secrets-operator"),
        format!("GetCallerIdentity sts.amazonaws.com us-east-1 {session}/app/vault-secrets-operator"),
        format!("GetCallerIdentity sts.eu-south-1.amazonaws.com eu-south-1 {session}/app/vault-secrets-operator"),
        format!("GetCallerIdentity sts.amazonaws.com us-east-1 {session}/node/vault-secrets-operator"),
    ] {
        assert!(log.contains(&expected), "{expected} is not in {log:#?}");
    }
    tenant.assert_nothing_leaked(&operator, &[KEY, "hunter2"]);
}
