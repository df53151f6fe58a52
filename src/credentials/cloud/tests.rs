use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::sigv4::{Scope, Unsigned, signature};
use super::{AwsCredentials, Cloud, Sts, aws_proof, default_chain, gke, http, sts};

fn cloud(variables: &[(&str, &str)]) -> Cloud {
    Cloud::new(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn time(text: &str) -> SystemTime {
    DateTime::parse_from_rfc3339(text).unwrap().into()
}

/// The request and the result of a case of AWS's test suite.
fn sign_case(dir: &Path) -> (String, String) {
    let read = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap();
    let context: Value = serde_json::from_str(&read("context.json")).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let keys = &context["credentials"];
    let credentials = AwsCredentials::new(
        text(&keys["access_key_id"]),
        text(&keys["secret_access_key"]),
        keys["token"].as_str().map(str::to_owned),
        None,
        "vector",
    );
    let request = read("request.txt");
    let (head, body) = request.split_once("\n\n").unwrap_or((request.trim_end(), ""));
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let (method, path) = (first.next().unwrap(), first.next().unwrap());
    let mut headers: Vec<(&str, &str)> = lines.map(|line| line.split_once(':').unwrap()).collect();
    let host = headers.iter().position(|(name, _)| *name == "Host").unwrap();
    let url = format!("https://{}{path}", headers.remove(host).1);
    let digest = hex::encode(Sha256::digest(body));
    if context["sign_body"] == true {
        headers.push(("x-amz-content-sha256", &digest));
    }
    let scope = Scope { region: &text(&context["region"]), service: &text(&context["service"]) };
    let unsigned = Unsigned { method, url: &url, headers: &headers, body };
    let added = signature(&unsigned, &scope, &credentials, time(&text(&context["timestamp"]))).unwrap();
    let signed = read("header-signed-request.txt");
    let expected = signed.lines().find_map(|line| line.strip_prefix("Authorization:")).unwrap().to_owned();
    let found = added.into_iter().find(|(name, _)| name == "authorization").unwrap().1;
    (found, expected)
}

#[test]
fn signatures_are_those_of_the_published_test_suite() {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/sigv4");
    let cases = std::fs::read_dir(suite).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut count = 0;
    for case in cases {
        let (found, expected) = sign_case(&case);
        assert_eq!(found, expected, "{}", case.display());
        count += 1;
    }
    assert_eq!(count, 7);
}

/// Go's SDK, called by HashiCorp's `awsutil` 0.3.0, made these: it signs `Content-Length` too.
#[test]
fn signatures_are_those_of_hashicorps_library() {
    let headers = [
        ("content-length", "43"),
        ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("x-vault-aws-iam-server-id", "vault.example.com"),
    ];
    let credentials = AwsCredentials::new("AKID", "SECRET", Some("TOK".into()), None, "test");
    for (region, url, expected) in [
        ("us-east-1", "https://sts.amazonaws.com/", "9aa01b9f9507a4c587162eaddbf4f42b8c1bb4ea674e6d36ff2c031e07c4979f"),
        (
            "cn-north-1",
            "https://sts.cn-north-1.amazonaws.com.cn/",
            "9ef0225e0ec049f071539bb66b419e6582a1d8b427984c0e5f4be0b705cda8c0",
        ),
    ] {
        let body = "Action=GetCallerIdentity&Version=2011-06-15";
        let unsigned = Unsigned { method: "POST", url, headers: &headers, body };
        let scope = Scope { region, service: "sts" };
        let added = signature(&unsigned, &scope, &credentials, time("2026-11-22T10:58:01Z")).unwrap();
        let (_, authorization) = added.iter().find(|(name, _)| name == "authorization").unwrap();
        assert!(authorization.ends_with(&format!("Signature={expected}")), "{authorization}");
    }
}

#[test]
fn the_endpoint_is_the_one_that_hashicorps_library_names() {
    let url = |region: &str| Sts::new(&cloud(&[]), Some(region), None).unwrap().url.to_string();
    for (region, expected) in [
        ("us-east-1", "https://sts.amazonaws.com/"),
        ("eu-west-1", "https://sts.amazonaws.com/"),
        ("cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn/"),
        ("us-gov-west-1", "https://sts.us-gov-west-1.amazonaws.com/"),
        ("ap-northeast-3", "https://sts.ap-northeast-3.amazonaws.com/"),
        ("eu-south-1", "https://sts.eu-south-1.amazonaws.com/"),
        ("us-iso-east-1", "https://sts.us-iso-east-1.c2s.ic.gov/"),
    ] {
        assert_eq!(url(region), expected);
    }
}

#[test]
fn requests_go_to_the_region_that_they_are_signed_for() {
    let of = |region: &str, endpoint: Option<&str>| {
        let sts = Sts::new(&cloud(&[]), Some(region), endpoint).unwrap();
        let (url, region) = sts.of_region().unwrap();
        (url.to_string(), region.to_owned())
    };
    for (region, endpoint, url, signed_for) in [
        ("us-east-1", None, "https://sts.us-east-1.amazonaws.com/", "us-east-1"),
        ("eu-west-1", None, "https://sts.eu-west-1.amazonaws.com/", "eu-west-1"),
        ("aws-global", None, "https://sts.us-east-1.amazonaws.com/", "us-east-1"),
        ("eu-south-1", None, "https://sts.eu-south-1.amazonaws.com/", "eu-south-1"),
        ("cn-north-1", None, "https://sts.cn-north-1.amazonaws.com.cn/", "cn-north-1"),
        ("eu-west-1", Some("http://127.0.0.1:1"), "http://127.0.0.1:1/", "eu-west-1"),
    ] {
        assert_eq!(of(region, endpoint), (url.to_owned(), signed_for.to_owned()));
    }
}

#[test]
fn region_and_endpoint_of_the_object_come_first() {
    let variables = [("AWS_REGION", "eu-south-1"), ("AWS_DEFAULT_REGION", "eu-west-1")];
    let of = |variables: &[(&str, &str)], region, endpoint| {
        let sts = Sts::new(&cloud(variables), region, endpoint).unwrap();
        (sts.region, sts.url.to_string())
    };
    let pair = |region: &str, url: &str| (region.to_owned(), url.to_owned());
    assert_eq!(of(&[], None, None), pair("us-east-1", "https://sts.amazonaws.com/"));
    assert_eq!(of(&variables, None, None), pair("eu-south-1", "https://sts.eu-south-1.amazonaws.com/"));
    assert_eq!(of(&variables[1..], None, None), pair("eu-west-1", "https://sts.amazonaws.com/"));
    assert_eq!(of(&variables, Some("me-south-1"), Some("sts.vpc.internal")).1, "https://sts.vpc.internal/");
    assert_eq!(of(&variables, None, Some("http://127.0.0.1:1")), pair("eu-south-1", "http://127.0.0.1:1/"));
    for (region, endpoint) in [(Some("a.evil/"), None), (None, Some("ftp://x")), (None, Some("http://"))] {
        assert!(Sts::new(&cloud(&[]), region, endpoint).is_err(), "{region:?} {endpoint:?}");
    }
}

#[test]
fn an_endpoint_with_more_than_a_host_is_not_plain() {
    let plain = |endpoint: &str| Sts::new(&cloud(&[]), None, Some(endpoint)).unwrap().is_plain();
    for endpoint in
        ["sts.vpc.internal", "https://sts.amazonaws.com", "https://sts.amazonaws.com/", "http://127.0.0.1:1"]
    {
        assert!(plain(endpoint), "{endpoint}");
    }
    for endpoint in [
        "https://sts.amazonaws.com/?Action=GetSessionToken&Version=2011-06-15",
        "https://sts.amazonaws.com/?",
        "https://sts.amazonaws.com/x",
        "https://sts.amazonaws.com//",
        "https://user@sts.amazonaws.com/",
        "https://:pass@sts.amazonaws.com/",
        "https://sts.amazonaws.com/#x",
    ] {
        assert!(!plain(endpoint), "{endpoint}");
    }
    assert!(Sts::new(&cloud(&[]), Some("eu-south-1"), None).unwrap().is_plain());
}

#[test]
fn answers_with_very_many_elements_are_refused() {
    let whole = answer("AKID", "KEY", "TOKEN");
    let many = whole.replace("<Credentials>", &format!("{}<Credentials>", "<a/>".repeat(2000)));
    assert!(sts::credentials(&many).is_none() && sts::refusal(&"<a>".repeat(20_000)).is_none());
}

#[test]
fn a_proof_has_what_vault_asks_for() {
    let sts = Sts::new(&cloud(&[]), None, None).unwrap();
    let credentials = AwsCredentials::new("AKID", "SECRET", Some("TOKEN".into()), None, "test");
    let proof = aws_proof(&sts, Some("vault.example.com"), &credentials, time("2026-01-02T03:04:05Z")).unwrap();
    let member = |name: &str| proof.iter().find(|(n, _)| *n == name).unwrap().1.clone();
    let decoded = |name: &str| String::from_utf8(STANDARD.decode(member(name)).unwrap()).unwrap();
    assert_eq!(member("iam_http_request_method"), "POST");
    assert_eq!(decoded("iam_request_url"), "https://sts.amazonaws.com/");
    assert_eq!(decoded("iam_request_body"), "Action=GetCallerIdentity&Version=2011-06-15");
    let headers: Value = serde_json::from_str(&decoded("iam_request_headers")).unwrap();
    assert_eq!(headers["x-vault-aws-iam-server-id"][0], "vault.example.com");
    assert_eq!(headers["x-amz-security-token"][0], "TOKEN");
    assert_eq!(headers["x-amz-date"][0], "20260102T030405Z");
    let authorization = headers["authorization"][0].as_str().unwrap();
    assert!(authorization.contains("Credential=AKID/20260102/us-east-1/sts/aws4_request"), "{authorization}");
    assert!(
        authorization
            .contains("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-vault-aws-iam-server-id"),
        "{authorization}"
    );
    for bad in ["a\nb", "ä"] {
        assert!(aws_proof(&sts, Some(bad), &credentials, SystemTime::now()).is_err(), "{bad:?}");
    }
}

fn answer(id: &str, key: &str, token: &str) -> String {
    format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">
          <AssumeRoleWithWebIdentityResult><Audience>sts.amazonaws.com</Audience><Credentials>
          <SessionToken>{token}</SessionToken><SecretAccessKey>{key}</SecretAccessKey>
          <Expiration>2026-01-02T03:04:05Z</Expiration><AccessKeyId>{id}</AccessKeyId></Credentials>
          </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    )
}

#[test]
fn answers_without_credentials_are_told_apart() {
    let whole = answer("AKID", "KEY", "TOKEN");
    assert!(sts::credentials(&whole).is_some());
    for member in ["SessionToken", "SecretAccessKey", "Expiration", "AccessKeyId", "Credentials"] {
        assert!(sts::credentials(&whole.replace(member, "Other")).is_none(), "{member}");
    }
    assert!(sts::credentials(&whole.replace("2026-01", "soon")).is_none());
    let entity = format!("<!DOCTYPE a [<!ENTITY x \"y\">]>{whole}");
    assert!(sts::credentials(&entity).is_none());
    let error = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>";
    assert_eq!(sts::refusal(error).unwrap(), "AccessDenied: no");
    assert_eq!(gke::refusal(r#"{"error":"invalid_grant","error_description":"no"}"#).unwrap(), "invalid_grant: no");
    let api = r#"{"error":{"code":403,"message":"no","status":"PERMISSION_DENIED"}}"#;
    assert_eq!(gke::refusal(api).unwrap(), "PERMISSION_DENIED: no");
    let imds = |json: &str| default_chain::temporary("step", json).map(|_| ()).map_err(|e| e.to_string());
    assert_eq!(imds(r#"{"Code":"AssumeRoleUnauthorizedAccess"}"#), Err("step: AssumeRoleUnauthorizedAccess".into()));
    let wrong = r#"{"Code":"Success","AccessKeyId":"a","SecretAccessKey":["hunter2"]}"#;
    assert_eq!(imds(wrong), Err("step: the answer is not understood".into()));
}

#[tokio::test]
async fn the_environment_comes_first_and_what_fails_is_named() {
    let keys = [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "KEY"), ("AWS_SESSION_TOKEN", "TOKEN")];
    let found = cloud(&keys).default_credentials().await.unwrap();
    assert_eq!((found.access_key_id(), found.session_token()), ("AKID", Some("TOKEN")));
    let error = cloud(&[("AWS_EC2_METADATA_DISABLED", "true")]).default_credentials().await.unwrap_err().to_string();
    assert!(error.contains("AWS_EC2_METADATA_DISABLED"), "{error}");
    let identity = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/does/not/exist"), ("AWS_ROLE_ARN", "arn")];
    let error = cloud(&identity).default_credentials().await.unwrap_err().to_string();
    assert!(error.contains("/does/not/exist"), "{error}");
}

#[test]
fn credentials_are_kept_until_shortly_before_they_expire() {
    let now = SystemTime::now();
    let usable = |left: u64| default_chain::usable(Some(now + Duration::from_secs(left)), now).as_secs();
    assert_eq!([usable(3600), usable(301), usable(300), usable(59), usable(0)], [3300, 60, 60, 59, 0]);
    assert_eq!(default_chain::usable(Some(now - Duration::from_secs(9)), now), Duration::ZERO);
    assert_eq!(default_chain::usable(None, now), Duration::from_secs(60));
}

proptest! {
    #[test]
    fn any_answer_is_parsed_or_refused(text in any::<String>(), cut in 0usize..600) {
        let whole = answer("AKID", "KEY", "TOKEN");
        let document: String = whole.chars().take(cut).chain(text.chars()).collect();
        for text in [&text, &document] {
            let _ = (sts::credentials(text), sts::refusal(text), gke::refusal(text), gke::member_of(text, "token"));
            let _ = default_chain::temporary("step", text);
        }
    }

    #[test]
    fn credentials_arrive_as_they_were_sent(id in "[A-Z0-9]{16,20}", key in "[A-Za-z0-9/+=]{1,60}", token in "[A-Za-z0-9/+=]{1,300}") {
        let found = sts::credentials(&answer(&id, &key, &token)).unwrap();
        prop_assert_eq!((found.access_key_id(), found.secret_access_key()), (id.as_str(), key.as_str()));
        prop_assert_eq!(found.session_token(), Some(token.as_str()));
        prop_assert_eq!(found.expiry().unwrap(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045));
        let json = serde_json::json!({ "AccessKeyId": id, "SecretAccessKey": key, "Token": token, "Expiration": "2026-01-02T03:04:05Z" });
        let found = default_chain::temporary("step", &json.to_string()).unwrap();
        prop_assert_eq!((found.secret_access_key(), found.session_token()), (key.as_str(), Some(token.as_str())));
        let json = serde_json::json!({ "token": token }).to_string();
        let found_token = gke::member_of(&json, "token").unwrap();
        prop_assert_eq!(found_token.expose_secret(), token.as_str());
        let shown = format!("{found:?}");
        prop_assert!(key.len() < 20 || !shown.contains(&key));
    }

    #[test]
    fn messages_are_short_and_hold_no_secret(before in ".{0,400}", after in ".{0,400}", secret in "[a-z0-9.]{20,80}") {
        let shown = http::message(&format!("{before}{secret}{after}"), &[&secret]);
        prop_assert!(!shown.contains(&secret) && shown.chars().count() <= 301 && !shown.contains('\n'));
    }
}
