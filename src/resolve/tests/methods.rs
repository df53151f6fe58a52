//! What a VaultAuth says of its method.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::*;
use crate::api::auth_methods::{
    AppRoleLogin, AwsLogin, AwsSource, GcpLogin, GcpSource, GcpWorkloadIdentity, JwtLogin, JwtSource, KubernetesLogin,
    Method, RoleId, TokenLogin, TokenRequestSpec,
};

/// The plan of a VaultAuth with this method and this block.
fn plan(method: &str, block: Value) -> Result<AuthPlan, Denied> {
    let spec = json!({ "method": method, "kubernetes": null, method: block });
    let world = World { ambient_cloud_identity: true, ..World::default() }.auth("app", "a", spec).connection(
        "op",
        "default",
        json!({}),
    );
    auth(&world.auths[&ObjectRef::new("app", "a")], "app", &world)
}

fn method(method: &str, block: Value) -> Result<Method, String> {
    plan(method, block).map(|plan| plan.login.method).map_err(|denied| denied.to_string())
}

/// Settings that work, for each method.
fn full(method: &str) -> Value {
    match method {
        "kubernetes" => {
            json!({ "role": "r", "serviceAccount": "s", "audiences": ["a", "b"], "tokenExpirationSeconds": 700 })
        }
        "jwt" => json!({ "role": "r", "serviceAccount": "s", "secretRef": "t", "audiences": ["a"] }),
        "appRole" => json!({ "roleId": "r", "secretRef": "s" }),
        "aws" => json!({
            "role": "r", "region": "eu", "headerValue": "h", "sessionName": "n", "stsEndpoint": "sts",
            "iamEndpoint": "iam", "secretRef": "s", "irsaServiceAccount": "i",
        }),
        _ => json!({
            "role": "r", "workloadIdentityServiceAccount": "s", "region": "eu", "clusterName": "c", "projectID": "p",
        }),
    }
}

const METHODS: [&str; 5] = ["kubernetes", "jwt", "appRole", "aws", "gcp"];

#[test]
fn every_setting_is_taken_over() {
    let account = |audiences: &[&str], seconds| TokenRequestSpec {
        service_account: "s".into(),
        audiences: audiences.iter().map(|a| (*a).to_owned()).collect(),
        expiration_seconds: seconds,
    };
    let role = || "r".to_owned();
    let expected = [
        Method::Kubernetes(KubernetesLogin { role: role(), account: account(&["a", "b"], 700) }),
        Method::Jwt(JwtLogin { role: role(), source: JwtSource::ServiceAccount(account(&["a"], 600)) }),
        Method::AppRole(AppRoleLogin { role_id: RoleId::Text(role()), secret: "s".into(), key: "id".into() }),
        Method::Aws(AwsLogin {
            role: role(),
            region: Some("eu".into()),
            header_value: Some("h".into()),
            session_name: Some("n".into()),
            sts_endpoint: Some("sts".into()),
            iam_endpoint: Some("iam".into()),
            source: AwsSource::Secret("s".into()),
            assumed_role: None,
        }),
        Method::Gcp(GcpLogin {
            role: role(),
            source: GcpSource::WorkloadIdentity(GcpWorkloadIdentity {
                service_account: "s".into(),
                region: Some("eu".into()),
                cluster_name: Some("c".into()),
                project_id: Some("p".into()),
            }),
        }),
    ];
    for (name, expected) in METHODS.into_iter().zip(expected) {
        assert_eq!(method(name, full(name)), Ok(expected));
    }
    let source = |block| match method("aws", block) {
        Ok(Method::Aws(aws)) => aws.source,
        other => panic!("{other:?}"),
    };
    assert_eq!(source(json!({ "role": "r", "irsaServiceAccount": "i" })), AwsSource::ServiceAccount("i".into()));
    assert_eq!(source(json!({ "role": "r" })), AwsSource::Default);
    let jwt = method("jwt", json!({ "role": "r", "secretRef": "t" }));
    assert_eq!(
        jwt,
        Ok(Method::Jwt(JwtLogin { role: role(), source: JwtSource::Secret { name: "t".into(), key: "jwt".into() } }))
    );
}

#[test]
fn what_is_missing_or_wrong_is_named_with_its_method() {
    for (name, block, text) in [
        ("kubernetes", json!({ "serviceAccount": "s" }), "invalid kubernetes auth configuration: empty role"),
        ("kubernetes", json!({ "role": "r" }), "invalid kubernetes auth configuration: empty serviceAccount"),
        ("jwt", json!({ "serviceAccount": "s" }), "invalid JWT auth configuration: empty role"),
        ("jwt", json!({ "role": "r" }), "invalid JWT auth configuration: either serviceAccount or secretRef"),
        ("appRole", json!({ "secretRef": "s" }), "invalid AppRole auth configuration: empty roleId"),
        ("appRole", json!({ "roleId": "r" }), "invalid AppRole auth configuration: empty secretRef"),
        ("appRole", json!({ "roleId": "r", "secretIDPath": "/id" }), "secretIDPath is not supported"),
        ("appRole", json!({ "roleId": "r", "secretIDPath": "/id", "secretRef": "s" }), "secretIDPath is not supported"),
        ("aws", json!({}), "invalid AWS auth configuration: empty role"),
        ("gcp", json!({ "workloadIdentityServiceAccount": "s" }), "invalid GCP auth configuration: empty role"),
        ("gcp", json!({ "role": "r" }), "invalid GCP auth configuration: empty workloadIdentityServiceAccount"),
        ("jwt", json!(null), "jwt auth method not configured: VaultAuth app/a has no spec.jwt"),
        ("appRole", json!(null), "appRole auth method not configured: VaultAuth app/a has no spec.appRole"),
        ("token", json!({}), "invalid token auth configuration: empty secretRef.name"),
        ("token", json!({ "secretRef": { "key": "k" } }), "invalid token auth configuration: empty secretRef.name"),
        ("token", json!({ "secretRef": { "name": "../s" } }), "secretRef.name \"../s\" is not the name of an object"),
        ("token", json!(null), "token auth method not configured: VaultAuth app/a has no spec.token"),
        ("userpass", json!(null), "unsupported authentication method userpass"),
    ] {
        let denied = plan(name, block.clone()).expect_err("it is refused");
        assert!(matches!(denied, Denied::Invalid(_)), "{name} {block}: {denied:?}");
        assert!(denied.to_string().contains(text) && denied.to_string().contains("app/a"), "{name} {block}: {denied}");
    }
}

#[test]
fn nothing_but_the_name_of_an_object_gets_into_a_url() {
    for (name, block, member) in [
        ("kubernetes", json!({ "role": "r" }), "serviceAccount"),
        ("jwt", json!({ "role": "r" }), "serviceAccount"),
        ("jwt", json!({ "role": "r" }), "secretRef"),
        ("appRole", json!({ "roleId": "r" }), "secretRef"),
        ("aws", json!({ "role": "r" }), "secretRef"),
        ("aws", json!({ "role": "r" }), "irsaServiceAccount"),
        ("gcp", json!({ "role": "r" }), "workloadIdentityServiceAccount"),
    ] {
        for (value, fits) in
            [("a.b-c1", true), ("../../other/secrets/s", false), ("a?b", false), ("..", false), ("A", false)]
        {
            let mut block = block.clone();
            block[member] = json!(value);
            let found = method(name, block);
            assert_eq!(found.is_ok(), fits, "{name}.{member} = {value:?}: {found:?}");
            assert!(fits || found.is_err_and(|e| e.contains(member)));
        }
    }
}

#[test]
fn every_setting_is_part_of_the_identity() {
    let mut seen = HashSet::new();
    let mut settings = 0;
    for name in METHODS {
        let mut variants = vec![full(name)];
        for (member, value) in full(name).as_object().expect("an object") {
            let mut other = full(name);
            other[member] = match value {
                Value::String(text) => json!(format!("{text}x")),
                Value::Array(items) => json!(items.iter().rev().chain([&json!("z")]).collect::<Vec<_>>()),
                _ => json!(9000),
            };
            // What another setting hides makes no difference.
            let hidden = (name == "jwt" && member == "secretRef") || (name == "aws" && member == "irsaServiceAccount");
            if !hidden {
                variants.push(other);
            }
        }
        settings += variants.len();
        seen.extend(variants.into_iter().map(|block| plan(name, block).expect("a plan").login.identity(7)));
    }
    for (name, block) in [
        ("jwt", json!({ "role": "r", "secretRef": "s" })),
        ("aws", json!({ "role": "r", "secretRef": "s" })),
        ("aws", json!({ "role": "r", "irsaServiceAccount": "s" })),
        ("aws", json!({ "role": "r" })),
    ] {
        settings += 1;
        seen.insert(plan(name, block).expect("a plan").login.identity(7));
    }
    assert_eq!(seen.len(), settings, "two of them are taken for the same login");
}

#[test]
fn cache_keys_begin_with_the_method_in_lower_case() {
    let uid = |n: char| format!("c4fad6b9-e7bb-4ed8-bc38-67fd6dc85a3{n}");
    for name in METHODS {
        let mut plan = plan(name, full(name)).expect("a plan");
        (plan.owner.uid, plan.owner.generation) = (uid('5'), 0);
        let connection = &mut plan.login.connection;
        (connection.uid, connection.generation) = (uid('6'), 0);
        let expected = format!("{}-2a8108711ae49ac0faa724", name.to_lowercase());
        assert_eq!(plan.cache_key(&uid('7')), Some(expected));
    }
}

/// Tokens are stored with a MAC over this digest: another one for the same settings would make each operator log in
/// anew after an upgrade.
#[test]
fn the_digest_of_a_login_stays_what_it_is() {
    let short = |plan: AuthPlan| hex::encode(&plan.login.identity(7)[..8]);
    let of = |method: &str, block: Value| short(plan(method, block).expect("a plan"));
    let mut found: Vec<_> = METHODS.iter().map(|name| of(name, full(name))).collect();
    found.push(of("jwt", json!({ "role": "r", "secretRef": "t" })));
    found.push(of("aws", json!({ "role": "r", "irsaServiceAccount": "i" })));
    found.push(of("aws", json!({ "role": "r" })));
    let spec = json!({
        "method": "appRole", "mount": "m", "namespace": "team", "kubernetes": null, "params": { "p": "1" },
        "headers": { "h": "2" }, "appRole": full("appRole"),
    });
    let world = World { ambient_cloud_identity: true, ..World::default() }.auth("app", "a", spec).connection(
        "op",
        "default",
        json!({}),
    );
    found.push(short(auth(&world.auths[&ObjectRef::new("app", "a")], "app", &world).expect("a plan")));
    let expected = [
        "8edc4ab1925bf28d",
        "17379488936f0a19",
        "71af45392cad634b",
        "d3c9a4b1a503b462",
        "82f6f30382689a51",
        "615690f9142e036c",
        "34dcdd729a05c57c",
        "16383a307a4daefe",
        "ae1e48a59107d309",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_fixed_token_needs_no_mount_and_is_one_session_whatever_a_login_would_carry() {
    let of = |members: Value| {
        let mut spec = json!({ "method": "token", "mount": null, "kubernetes": null });
        spec.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
        let world = World { ambient_cloud_identity: true, ..World::default() }.auth("app", "a", spec).connection(
            "op",
            "default",
            json!({}),
        );
        auth(&world.auths[&ObjectRef::new("app", "a")], "app", &world).expect("a plan")
    };
    let block = |name: &str, key: &str| json!({ "token": { "secretRef": { "name": name, "key": key } } });
    let plan = of(json!({ "token": { "secretRef": { "name": "s" } } }));
    assert_eq!(plan.login.method, Method::Token(TokenLogin { secret: "s".into(), key: "token".into() }));
    let identity = |members: Value| of(members).login.identity(7);
    let same = plan.login.identity(7);
    assert_eq!(identity(block("s", "token")), same);
    let mut more = block("s", "token");
    (more["mount"], more["params"], more["headers"]) = (json!("m"), json!({ "p": "1" }), json!({ "h": "2" }));
    assert_eq!(identity(more), same);
    let mut namespace = block("s", "token");
    namespace["namespace"] = json!("team");
    for other in [block("t", "token"), block("s", "k"), namespace] {
        assert_ne!(identity(other.clone()), same, "{other}");
    }

    // VSO has no such client.
    let uid = "c4fad6b9-e7bb-4ed8-bc38-67fd6dc85a37".to_owned();
    let mut plan = plan;
    (plan.owner.uid, plan.login.connection.uid) = (uid.clone(), uid.clone());
    assert_eq!(plan.cache_key(&uid), None);
}
