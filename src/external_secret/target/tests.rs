use serde_json::{Value, json};

use super::*;

const OWNER: Owner<'_> = Owner { namespace: "apps", name: "db", uid: "1-2-3" };
const MANAGER: &str = "externalsecrets.external-secrets.io/db";

fn data(entries: &[(&str, &str)]) -> Data {
    entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
}

fn wanted(entries: &[(&str, &str)]) -> Wanted {
    Wanted { data: data(entries), ..Wanted::default() }
}

fn target(value: Value) -> Target {
    serde_json::from_value(value).unwrap()
}

fn policy(name: &str) -> Target {
    target(json!({ "creationPolicy": name }))
}

fn secret(value: Value) -> Secret {
    serde_json::from_value(value).unwrap()
}

fn written(plan: Plan) -> Secret {
    assert_eq!(plan.outcome, Outcome::Synced);
    match plan.action {
        Action::Create(secret) | Action::Update(secret) => *secret,
        Action::Leave | Action::Delete => panic!("nothing is written"),
    }
}

fn reference(kind: &str, api_version: &str, name: &str) -> Value {
    json!({
        "apiVersion": api_version, "kind": kind, "name": name, "uid": "1-2-3", "controller": true,
        "blockOwnerDeletion": true,
    })
}

fn ours() -> Value {
    reference("ExternalSecret", "external-secrets.io/v1", "db")
}

/// The object that the API server has after a write of ESO or of this operator: what is set, belongs to the manager.
fn stored(mut secret: Secret, mut others: Value) -> Secret {
    let fields =
        |names: Vec<&String>| names.into_iter().map(|name| (format!("f:{name}"), json!({}))).collect::<Value>();
    let keys = secret.data.iter().flatten().map(|(key, _)| key).collect();
    let labels = secret.metadata.labels.iter().flatten().map(|(name, _)| name).collect();
    let annotations = secret.metadata.annotations.iter().flatten().map(|(name, _)| name).collect();
    let entry = json!({ "manager": MANAGER, "operation": "Update", "fieldsV1": {
        "f:data": fields(keys),
        "f:metadata": { "f:labels": fields(labels), "f:annotations": fields(annotations) },
    } });
    secret.metadata.managed_fields = serde_json::from_value(json!([entry])).unwrap();
    secret.metadata.uid = Some("uid".into());
    secret.metadata.resource_version = Some("7".into());
    let mut merged = serde_json::to_value(secret).unwrap();
    json_patch::merge(&mut merged, &others.take());
    serde_json::from_value(merged).unwrap()
}

#[test]
fn a_new_secret_has_the_marks_of_its_policy() {
    let hash = "33afa1a67d64f3013a7650cf6bb664a5c7c697cc61f84a74c485aefb";
    for (creation, owned) in [("Owner", true), ("", true), ("Orphan", false), ("CreateOrMerge", false)] {
        let plan = plan(&OWNER, &policy(creation), "t", None, &wanted(&[("ma-cle-secrete", "abc")]));
        assert!(matches!(plan.action, Action::Create(_)), "{creation}");
        let secret = serde_json::to_value(written(plan)).unwrap();
        let metadata = &secret["metadata"];
        assert_eq!(metadata["name"], "t");
        assert_eq!(metadata["namespace"], "apps");
        assert_eq!(metadata["labels"][LABEL_MANAGED], "true");
        assert_eq!(metadata["annotations"], json!({ ANNOTATION_DATA_HASH: hash }));
        assert_eq!(secret["type"], "Opaque");
        assert_eq!(secret.get("immutable"), None);
        assert_eq!(secret["data"], json!({ "ma-cle-secrete": "YWJj" }));
        if owned {
            assert_eq!(metadata["labels"][LABEL_OWNER], hash::of_owner("apps", "db"));
            assert_eq!(metadata["ownerReferences"], json!([ours()]));
        } else {
            assert_eq!(metadata["labels"].get(LABEL_OWNER), None);
            assert_eq!(metadata["ownerReferences"], json!([]));
        }
    }
}

#[test]
fn what_is_written_is_written_once() {
    let mut full = wanted(&[("a", "1"), ("b", "\0")]);
    full.labels = [("l".to_owned(), "1".to_owned())].into();
    full.annotations = [("n".to_owned(), "1".to_owned())].into();
    full.finalizers = vec!["example.com/f".to_owned()];
    full.type_ = Some("example.com/type".to_owned());
    for creation in ["Owner", "Orphan", "CreateOrMerge", "Merge"] {
        for (immutable, wanted) in [(false, &full), (true, &full), (false, &wanted(&[]))] {
            let target = target(json!({ "creationPolicy": creation, "immutable": immutable }));
            let first = if creation == "Merge" {
                let now = secret(json!({ "metadata": { "name": "t", "namespace": "apps" }, "type": wanted.type_ }));
                plan(&OWNER, &target, "t", Some(&now), wanted)
            } else {
                plan(&OWNER, &target, "t", None, wanted)
            };
            let now = stored(written(first), json!({}));
            let again = plan(&OWNER, &target, "t", Some(&now), wanted);
            assert!(again == Plan::leave(Outcome::Synced), "{creation} {immutable}");
            assert!(is_valid(&target, Some(&now)));
        }
    }
}

#[test]
fn what_was_drawn_at_random_is_known_again_by_its_inputs() {
    let drawn = |inputs: &str, text: &str| Wanted { inputs: Some(inputs.into()), ..wanted(&[("a", text)]) };
    let made = written(plan(&OWNER, &policy("Owner"), "s", None, &drawn("m", "1")));
    assert!(is_made_from(&made, "db", "m") && !is_made_from(&made, "db", "n"));
    let mut edited = made.clone();
    edited.data.get_or_insert_default().insert("a".into(), ByteString(b"2".to_vec()));
    assert!(!is_made_from(&edited, "db", "m"), "another client has changed it");
    let next = written(plan(&OWNER, &policy("Owner"), "s", Some(&made), &drawn("n", "2")));
    assert!(is_made_from(&next, "db", "n") && !is_made_from(&next, "db", "m"));
    let plain = written(plan(&OWNER, &policy("Owner"), "s", Some(&made), &wanted(&[("a", "1")])));
    assert!(annotation(&plain, ANNOTATION_INPUTS).is_none(), "its templates draw nothing any more");

    let immutable = Secret { immutable: Some(true), ..made };
    let refused = plan(&OWNER, &policy("Owner"), "s", Some(&immutable), &drawn("n", "2"));
    assert_eq!(refused.outcome, Outcome::Failed(TargetError::Immutable));
    let Action::Update(kept) = refused.action else { panic!("its annotations are written") };
    assert!(!is_made_from(&kept, "db", "n"));
}

#[test]
fn nothing_is_made_where_nothing_may_be() {
    let leave =
        |creation: &str, now: Option<&Secret>| plan(&OWNER, &policy(creation), "t", now, &wanted(&[("a", "1")]));
    assert!(leave("None", None) == Plan::leave(Outcome::Synced));
    assert!(leave("None", Some(&Secret::default())) == Plan::leave(Outcome::Synced));
    assert!(leave("Merge", None) == Plan::leave(Outcome::Missing));
    assert!(leave("Borrow", None) == Plan::fail(TargetError::Policy("Borrow".into())));
}

#[test]
fn what_the_manager_has_set_goes_and_what_others_have_set_stays_where_it_may() {
    let mut before = wanted(&[("old", "1"), ("both", "1")]);
    before.labels = [("old-label".to_owned(), "1".to_owned()), ("both-label".to_owned(), "1".to_owned())].into();
    before.annotations = [("old-note".to_owned(), "1".to_owned())].into();
    let mut after = wanted(&[("both", "2"), ("new", "2")]);
    after.labels = [("both-label".to_owned(), "2".to_owned())].into();
    after.annotations = [("new-note".to_owned(), "2".to_owned())].into();
    let others = json!({
        "data": { "theirs": "eA==" },
        "metadata": { "labels": { "their-label": "x" }, "annotations": { "their-note": "x" }, "finalizers": ["x/y"] },
    });
    for creation in ["Owner", "Orphan", "CreateOrMerge", "Merge"] {
        let first = plan(&OWNER, &policy("CreateOrMerge"), "t", None, &before);
        let now = stored(written(first), others.clone());
        let next = written(plan(&OWNER, &policy(creation), "t", Some(&now), &after));
        let keys: Vec<&str> = next.data.iter().flatten().map(|(key, _)| key.as_str()).collect();
        if matches!(creation, "Owner" | "Orphan") {
            assert_eq!(keys, ["both", "new"], "{creation}");
        } else {
            assert_eq!(keys, ["both", "new", "theirs"], "{creation}");
        }
        let metadata = serde_json::to_value(&next.metadata).unwrap();
        let mut labels = json!({ "both-label": "2", "their-label": "x", LABEL_MANAGED: "true" });
        if creation == "Owner" {
            labels[LABEL_OWNER] = json!(OWNER.hash());
        }
        assert_eq!(metadata["labels"], labels, "{creation}");
        let annotations =
            json!({ "new-note": "2", "their-note": "x", ANNOTATION_DATA_HASH: hash::of_data(&data_of(&next)) });
        assert_eq!(metadata["annotations"], annotations, "{creation}");
        assert_eq!(metadata["finalizers"], json!(["x/y"]));
        assert_eq!(metadata["resourceVersion"], "7");
        assert_eq!(metadata.get("managedFields"), None);
    }
}

#[test]
fn a_long_name_is_cleaned_up_after_too() {
    let name = "a".repeat(40);
    let owner = Owner { name: &name, ..OWNER };
    let mut before = wanted(&[("a", "1")]);
    before.labels = [("old".to_owned(), "1".to_owned())].into();
    let mut now = stored(written(plan(&owner, &policy("Owner"), "t", None, &before)), json!({}));
    for entry in now.metadata.managed_fields.iter_mut().flatten() {
        entry.manager = Some(hash::field_manager(&name));
    }
    let next = written(plan(&owner, &policy("Owner"), "t", Some(&now), &wanted(&[("a", "1")])));
    assert_eq!(next.metadata.labels.unwrap().get("old"), None);
}

#[test]
fn a_secret_has_one_controller() {
    let now = |references: Value| secret(json!({ "metadata": { "name": "t", "ownerReferences": references } }));
    let fails = |creation: &str, references: Value| match plan(
        &OWNER,
        &policy(creation),
        "t",
        Some(&now(references)),
        &wanted(&[]),
    ) {
        Plan { action: Action::Leave, outcome: Outcome::Failed(error) } => Some(error),
        _ => None,
    };
    let another = reference("ExternalSecret", "external-secrets.io/v1beta1", "other");
    for creation in ["Owner", "Orphan", "Merge", "CreateOrMerge"] {
        assert_eq!(fails(creation, json!([another])), Some(TargetError::OwnedByAnother("other".into())), "{creation}");
    }
    let foreign = reference("ExternalSecret", "example.com/v1", "db");
    let certificate = reference("Certificate", "cert-manager.io/v1", "tls");
    assert_eq!(fails("Owner", json!([certificate])), Some(TargetError::Controlled("Certificate tls".into())));
    assert_eq!(fails("Owner", json!([foreign])), Some(TargetError::Controlled("ExternalSecret db".into())));
    assert_eq!(fails("Merge", json!([certificate])), None);
    let owners = |creation: &str, references: Value| {
        let plan = plan(&OWNER, &policy(creation), "t", Some(&now(references)), &wanted(&[]));
        serde_json::to_value(written(plan).metadata.owner_references).unwrap()
    };
    let mut plain = certificate.clone();
    plain["controller"] = json!(false);
    assert_eq!(owners("Owner", json!([plain])), json!([plain, ours()]), "what nothing controls is taken over");
    let mut predecessor = reference("ExternalSecret", "external-secrets.io/v1beta1", "db");
    predecessor["uid"] = json!("0");
    assert_eq!(owners("Owner", json!([predecessor, plain])), json!([ours(), plain]));
    assert_eq!(owners("Orphan", json!([ours(), plain])), json!([plain]), "no owner any more");
}

#[test]
fn an_immutable_secret_keeps_its_data() {
    let immutable = target(json!({ "immutable": true }));
    let first = written(plan(&OWNER, &immutable, "t", None, &wanted(&[("a", "1")])));
    assert_eq!(first.immutable, Some(true));
    let now = stored(first, json!({}));
    let mut other = wanted(&[("a", "2")]);
    assert!(plan(&OWNER, &immutable, "t", Some(&now), &other) == Plan::leave(Outcome::Synced));
    // Immutable by another hand: what it carries is brought up to date.
    let plain = target(json!({}));
    assert!(plan(&OWNER, &plain, "t", Some(&now), &other) == Plan::fail(TargetError::Immutable));
    other.labels = [("l".to_owned(), "1".to_owned())].into();
    let Plan { action: Action::Update(next), outcome } = plan(&OWNER, &plain, "t", Some(&now), &other) else {
        panic!("labels are written");
    };
    assert_eq!(outcome, Outcome::Failed(TargetError::Immutable));
    assert_eq!(data_of(&next), data(&[("a", "1")]));
    assert_eq!(next.metadata.annotations, now.metadata.annotations, "the digest is that of the data that is there");
    let typed = Wanted { type_: Some("x/y".into()), ..wanted(&[("a", "1")]) };
    assert!(plan(&OWNER, &plain, "t", Some(&now), &typed) == Plan::fail(TargetError::Immutable));
}

#[test]
fn a_type_cannot_be_changed() {
    let now = stored(written(plan(&OWNER, &policy("Owner"), "t", None, &wanted(&[]))), json!({}));
    let typed = Wanted { type_: Some("x/y".into()), ..wanted(&[]) };
    let error = TargetError::TypeChange { now: "Opaque".into(), wanted: "x/y".into() };
    assert!(plan(&OWNER, &policy("Owner"), "t", Some(&now), &typed) == Plan::fail(error));
    let other = stored(now, json!({ "type": "x/y" }));
    assert!(plan(&OWNER, &policy("Owner"), "t", Some(&other), &wanted(&[])) == Plan::leave(Outcome::Synced));
}

#[test]
fn what_kubernetes_refuses_is_not_sent() {
    for key in ["", "a b", "é", "..", ".", "..x", &"k".repeat(254)] {
        let refused = plan(&OWNER, &policy("Owner"), "t", None, &wanted(&[(key, "1")]));
        assert!(matches!(refused.outcome, Outcome::Failed(TargetError::Key(_))), "{key}");
    }
    let made = target(json!({ "template": { "templateFrom": [{ "literal": "{{ .k }}: v" }] } }));
    let refused = plan(&OWNER, &made, "t", None, &wanted(&[("of a secret", "1")]));
    assert!(refused == Plan::fail(TargetError::MadeKey), "it is not quoted");
    for (value, fits) in [("", true), ("a.b-c_D", true), ("p<a>ss", false), ("-a", false), ("a.", false), ("é", false)]
    {
        let labelled = Wanted { labels: [("l".to_owned(), value.to_owned())].into(), ..wanted(&[]) };
        let refused = plan(&OWNER, &policy("Owner"), "t", None, &labelled);
        assert_eq!(refused == Plan::fail(TargetError::Label("l".into())), !fits, "{value}");
    }
    let large = "x".repeat((1 << 20) + 1);
    let refused = plan(&OWNER, &policy("Owner"), "t", None, &wanted(&[("k", &large)]));
    assert!(refused == Plan::fail(TargetError::TooLarge((1 << 20) + 1)));
    assert!(matches!(
        plan(&OWNER, &policy("Owner"), "t", None, &wanted(&[("k", &large[1..])])).action,
        Action::Create(_)
    ));
}

#[test]
fn no_credential_of_kubernetes_is_made() {
    let typed = |type_: &str, account: &str| Wanted {
        type_: Some(type_.to_owned()),
        annotations: [("kubernetes.io/service-account.name".to_owned(), account.to_owned())].into(),
        ..wanted(&[])
    };
    let (token, bootstrap) = ("kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token");
    let refused = |wanted: &Wanted, now: Option<&Secret>| match plan(&OWNER, &policy("CreateOrMerge"), "t", now, wanted)
    {
        Plan { action: Action::Leave, outcome: Outcome::Failed(error) } => Some(error),
        _ => None,
    };
    assert_eq!(refused(&typed(token, "admin"), None), Some(TargetError::Privileged(token)));
    assert_eq!(refused(&typed(bootstrap, "x"), None), Some(TargetError::Privileged(bootstrap)));
    let account = json!({ "kubernetes.io/service-account.name": "app" });
    let now = secret(json!({ "type": token, "metadata": { "annotations": account } }));
    let untyped = |account: &str| Wanted { type_: None, ..typed("", account) };
    assert_eq!(refused(&untyped("admin"), Some(&now)), Some(TargetError::Privileged(token)), "of another account");
    assert_eq!(refused(&untyped("app"), Some(&now)), None);
    assert_eq!(refused(&wanted(&[("k", "v")]), Some(&now)), None);
    let now = secret(json!({ "type": bootstrap }));
    assert_eq!(refused(&wanted(&[("k", "v")]), Some(&now)), Some(TargetError::Privileged(bootstrap)));
}

#[test]
fn what_another_client_has_taken_away_is_drawn_again_whichever_object_writes_first() {
    let drawn = Wanted { inputs: Some("m".into()), ..wanted(&[("a", "1")]) };
    let made = written(plan(&OWNER, &policy("CreateOrMerge"), "t", None, &drawn));
    let other = Owner { name: "other", ..OWNER };
    let written_by_other =
        |now: &Secret| written(plan(&other, &policy("CreateOrMerge"), "t", Some(now), &wanted(&[("b", "2")])));
    assert!(is_made_from(&written_by_other(&made), "db", "m"));
    let mut edited = made;
    edited.data = None;
    assert!(!is_made_from(&written_by_other(&edited), "db", "m"), "nothing else would bring the key back");
}

#[test]
fn an_annotation_of_another_client_is_not_taken_for_one_of_the_external_secret() {
    let targets = |text: &str| [(restart::ANNOTATION_TARGETS.to_owned(), text.to_owned())].into();
    let now = secret(json!({ "metadata": { "annotations": { restart::ANNOTATION_TARGETS: "Deployment/theirs" } } }));
    let merged = Wanted { annotations: targets("Deployment/ours"), ..wanted(&[("a", "1")]) };
    let made = written(plan(&OWNER, &policy("Merge"), "t", Some(&now), &merged));
    assert_eq!(annotation(&made, restart::ANNOTATION_TARGETS), Some("Deployment/theirs"));
    let made = written(plan(&OWNER, &policy("Owner"), "t", None, &merged));
    assert_eq!(annotation(&made, restart::ANNOTATION_TARGETS), Some("Deployment/ours"));
}

#[test]
fn without_data_the_deletion_policy_decides() {
    let target =
        |creation: &str, deletion: &str| target(json!({ "creationPolicy": creation, "deletionPolicy": deletion }));
    let controlled = secret(json!({ "metadata": { "ownerReferences": [ours()] } }));
    let plain = Secret::default();
    let delete = Plan { action: Action::Delete, outcome: Outcome::Deleted };
    for (creation, deletion, now, expected) in [
        ("Owner", "Delete", Some(&controlled), Some(delete)),
        ("Owner", "Delete", None, Some(Plan::leave(Outcome::Deleted))),
        ("Owner", "Delete", Some(&plain), Some(Plan::fail(TargetError::NotOwned))),
        ("Orphan", "Delete", Some(&controlled), Some(Plan::fail(TargetError::DeletePolicy))),
        ("Owner", "Retain", Some(&controlled), Some(Plan::leave(Outcome::Retained))),
        ("Owner", "", None, Some(Plan::leave(Outcome::Retained))),
        ("Owner", "Merge", Some(&controlled), None),
        ("Owner", "Burn", None, Some(Plan::fail(TargetError::Policy("Burn".into())))),
    ] {
        assert!(on_no_data(&OWNER, &target(creation, deletion), now) == expected, "{creation} {deletion}");
    }
}

#[test]
fn an_orphan_belongs_to_the_external_secret_and_has_another_name() {
    let metadata = |name: &str, hash: &str, references: Value| -> ObjectMeta {
        let labels = json!({ LABEL_OWNER: hash });
        serde_json::from_value(json!({ "name": name, "labels": labels, "ownerReferences": references })).unwrap()
    };
    let hash = OWNER.hash();
    assert!(is_orphan(&OWNER, &policy("Owner"), "t", &metadata("old", &hash, json!([ours()]))));
    assert!(!is_orphan(&OWNER, &policy("Owner"), "t", &metadata("t", &hash, json!([ours()]))));
    assert!(!is_orphan(&OWNER, &policy("Owner"), "t", &metadata("old", "another", json!([ours()]))));
    assert!(!is_orphan(&OWNER, &policy("Owner"), "t", &metadata("old", &hash, json!([]))), "a label can be copied");
    assert!(!is_orphan(&OWNER, &policy("Orphan"), "t", &metadata("old", &hash, json!([ours()]))));
}

#[test]
fn a_changed_secret_is_not_valid() {
    let target = policy("Owner");
    let now = stored(written(plan(&OWNER, &target, "t", None, &wanted(&[("a", "1")]))), json!({}));
    assert!(is_valid(&target, Some(&now)));
    assert!(!is_valid(&target, None));
    assert!(!is_valid(&target, Some(&stored(now.clone(), json!({ "data": { "b": "eA==" } })))));
    assert!(!is_valid(
        &target,
        Some(&stored(now.clone(), json!({ "metadata": { "labels": { LABEL_MANAGED: null } } })))
    ));
    assert!(is_valid(&policy("Orphan"), None));
}
