//! What the fuzz targets do with their input: one function for each, which panics if a promise is broken.
//!
//! `cargo fuzz run NAME` searches for inputs; `tests/corpus.rs` runs those in `fuzz/corpus/NAME`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use vso::api::{ObjectRef, SecretTransformation, VaultAuth, VaultAuthGlobal, VaultConnection, VaultStaticSecret};
use vso::cli::{self, Env};
use vso::external_secret::template::{CompiledTemplate, Fetched};
use vso::gocompat::GoDuration;
use vso::gocompat::template::{Context, Environment, Limits};
use vso::kubernetes::{StoredClient, StoredFor};
use vso::mac::MacKey;
use vso::render::{self, Built, Input, RenderError, SourceData, TemplateText, TransformationCache};
use vso::resolve::{self, Lookup};
use vso::vault::{Change, Envelope, Event, StoredLogin, kv};

/// Most bytes that Kubernetes keeps in a Secret.
const MAX_SECRET_BYTES: usize = 1 << 20;

/// A target: its name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("answer", answer),
    ("duration", duration),
    ("event", event),
    ("external_template", external_template),
    ("flags", flags),
    ("resource", resource),
    ("stored", stored),
    ("template", template),
];

/// Vault's answer to a read of either version of KV: data for a Secret that fits it, or an error.
pub fn answer(data: &[u8]) {
    let Ok(envelope) = Envelope::parse(data) else { return };
    let filters = TransformationCache::default().get(&[], &[], &[]).expect("no filter is a good filter");
    for version in [None, Some(0)] {
        let Ok(source) = kv::parse(&envelope, "kv/app", version) else { continue };
        let input = Input { source: &source, exclude_raw: false, labels: None, annotations: None };
        check_size(render::build(&input, &filters));
    }
}

/// A duration that is understood is printed as a text that means the same duration.
pub fn duration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(parsed) = GoDuration::parse(text) {
        assert_eq!(GoDuration::parse(&parsed.to_string()), Ok(parsed), "{text:?}");
    }
}

/// A message of Vault's event stream: a write that can be read again and waited for, a lease with an ID, or none.
pub fn event(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(Some(event)) = Event::parse(text) else { return };
    assert!(!event.namespace.starts_with('/') && !event.namespace.ends_with('/'), "{:?}", event.namespace);
    match event.change {
        Change::LeaseEnded { lease_id } => assert!(!lease_id.is_empty()),
        Change::Written { path, index } => {
            assert!(!path.is_empty());
            // It is sent as a header.
            let sendable = |index: &String| index.bytes().all(|byte| byte.is_ascii_graphic());
            assert!(
                index.as_ref().is_none_or(|index| (1..=1024).contains(&index.len()) && sendable(index)),
                "{index:?}"
            );
        }
    }
}

/// A value of a store: what each function of ExternalSecrets that reads documents, keys or certificates makes of it,
/// and what it is as a text of `templateFrom`. A result fits a Secret.
pub fn external_template(data: &[u8]) {
    let functions = [
        "fromYaml .t | toYaml",
        "toYaml .t",
        "filterPEM \"certificate\" .t",
        "filterCertChain \"root\" .t",
        "certSANs .t | len",
        "pkcs12certPass \"1234\" .t",
        "pkcs12key .t",
        "jwkPublicKeyPem .t",
        "jwkPrivateKeyPem .t",
        "rsaDecrypt \"RSA-OAEP\" \"SHA1\" \"x\" .t",
        "decryptAES \"k\" .t",
        "toDate \"2006-01-02\" .t | date .t",
    ];
    let mut templates: Vec<Value> =
        functions.iter().map(|call| json!({ "data": { "k": format!("{{{{ {call} }}}}") } })).collect();
    if let Ok(text) = std::str::from_utf8(data) {
        templates.push(json!({ "templateFrom": [{ "literal": text }] }));
    }
    let values = BTreeMap::from([("t".to_owned(), data.to_vec())]);
    for template in templates {
        let template = serde_json::from_value(template).expect("a template");
        let Ok(compiled) = CompiledTemplate::new(&template, &Fetched::new()) else { continue };
        let mut context = Context::new(&Limits::default(), &Environment::default());
        if let Ok(rendered) = compiled.render(&mut context, &values, |_, value| Ok(value)) {
            let bytes: usize = rendered.data.values().map(Vec::len).sum();
            assert!(bytes <= 2 * MAX_SECRET_BYTES, "{bytes} bytes");
        }
    }
}

/// A stored client: a Secret as JSON, or the answer to a login that is in one. Nothing that was not signed is taken up,
/// and what is written is written in the same way when it is read again.
pub fn stored(data: &[u8]) {
    if let Some(json) = StoredLogin::go_json(data) {
        let again = StoredLogin::go_json(json.expose_secret().as_bytes()).expect("it is an answer to a login");
        assert_eq!(json.expose_secret(), again.expose_secret());
        StoredLogin::has_token(&json);
    }
    let Ok(secret) = serde_json::from_slice::<Secret>(data) else { return };
    let of = StoredFor::read(&secret.metadata);
    let key = of.map(|of| of.key).unwrap_or_default();
    let client = StoredClient::read(&key, secret);
    let mac_key = MacKey::new(&[7; 16]).expect("16 bytes");
    assert!(!client.is_authentic(&mac_key), "no fuzzer has the key");
    if let Ok(text) = std::str::from_utf8(client.data.expose_secret()) {
        StoredLogin::has_token(&text.to_owned().into());
    }
}

/// A command line, an argument on each line. Lines such as `NAME=value` before an empty line are environment variables.
pub fn flags(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (variables, args) = text.split_once("\n\n").unwrap_or(("", text));
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let env = Env { variables: variables.lines().filter_map(pair).collect(), mounted_namespace: Some("vso".into()) };
    let args: Vec<String> = std::iter::once("vault-secrets-operator").chain(args.lines()).map(str::to_owned).collect();
    // Whatever it says, it says it without a panic.
    drop(cli::parse(&args, &env));
}

/// A custom resource as JSON: it is understood or refused, and what is understood is resolved or denied.
pub fn resource(data: &[u8]) {
    let Ok(object) = serde_json::from_slice::<Value>(data) else { return };
    let kind = object["kind"].as_str().unwrap_or_default();
    match kind {
        "VaultStaticSecret" => {
            let Ok(object) = serde_json::from_value::<VaultStaticSecret>(object) else { return };
            drop(resolve::static_secret(&object, &Nothing));
        }
        "VaultAuth" => {
            let Ok(object) = serde_json::from_value::<VaultAuth>(object) else { return };
            drop(resolve::auth(&object, "app", &Nothing));
        }
        "VaultConnection" => {
            let Ok(object) = serde_json::from_value::<VaultConnection>(object) else { return };
            drop(resolve::connection(&object));
        }
        "VaultAuthGlobal" => drop(serde_json::from_value::<VaultAuthGlobal>(object)),
        _ => drop(serde_json::from_value::<SecretTransformation>(object)),
    }
}

/// A template, run on data: it ends, and its output fits a Secret.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let templates = [TemplateText { key: Some("out"), name: "out", text }];
    let Ok(compiled) = TransformationCache::default().get(&templates, &[], &[]) else { return };
    let raw = json!({
        "data": { "password": "hunter2", "list": ["a", 1, null], "map": { "k": 1.5 } },
        "metadata": { "version": 3, "custom_metadata": { "owner": "team" } },
    });
    let source = SourceData::nested("kv-v2", Arc::new(raw));
    let input = Input { source: &source, exclude_raw: false, labels: None, annotations: None };
    check_size(render::build(&input, &compiled));
}

fn check_size(built: Result<Built, RenderError>) {
    if let Ok(built) = built {
        let bytes: usize = built.data.as_map().values().map(Vec::len).sum();
        assert!(bytes <= MAX_SECRET_BYTES, "{bytes} bytes");
    }
}

/// A cluster without objects.
struct Nothing;

impl Lookup for Nothing {
    fn auth(&self, _: &ObjectRef) -> Option<Arc<VaultAuth>> {
        None
    }

    fn global(&self, _: &ObjectRef) -> Option<Arc<VaultAuthGlobal>> {
        None
    }

    fn allows_default_globals(&self) -> bool {
        true
    }

    fn allows_ambient_cloud_identity(&self) -> bool {
        true
    }

    fn min_refresh_after(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn connection(&self, _: &ObjectRef) -> Option<Arc<VaultConnection>> {
        None
    }

    fn transformation(&self, _: &ObjectRef) -> Option<Arc<SecretTransformation>> {
        None
    }

    fn watches_namespace(&self, _: &str) -> bool {
        true
    }

    fn operator_namespace(&self) -> &str {
        "vso"
    }
}
