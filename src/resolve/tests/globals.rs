//! What a VaultAuthGlobal supplies to a VaultAuth.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

/// The VaultAuth `app/a` and VaultAuthGlobals, merged.
fn merge_all(auth: Value, globals: &[(&str, &str, Value)], allow: bool) -> Result<Merged<'static>, Denied> {
    let mut world = World { no_default_globals: !allow, ..World::default() };
    for (namespace, name, spec) in globals {
        world = world.global(namespace, name, spec.clone());
    }
    let object = json!({ "metadata": { "namespace": "app", "name": "a" }, "spec": auth });
    let object: VaultAuth = serde_json::from_value(with_type(object, "VaultAuth")).unwrap();
    merged(Box::leak(Box::new(object)), &world)
}

fn complete() -> Value {
    json!({ "defaultAuthMethod": "kubernetes", "defaultMount": "m", "kubernetes": { "role": "r", "serviceAccount": "s" } })
}

fn with(mut base: Value, members: Value) -> Value {
    base.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    base
}

#[test]
fn where_the_global_is_looked_for() {
    let found = |reference: Value, globals: &[(&str, &str)], allow| {
        let open = with(complete(), json!({ "allowedNamespaces": ["*"] }));
        let globals: Vec<_> = globals.iter().map(|(namespace, name)| (*namespace, *name, open.clone())).collect();
        merge_all(json!({ "vaultAuthGlobalRef": reference }), &globals, allow)
            .map(|m| m.global.expect("a global").id.to_string())
    };
    let all = [("app", "g"), ("app", "default"), ("op", "default"), ("team", "g"), ("team", "default")];
    let ok = |text: &str| Ok(text.to_owned());
    assert_eq!(found(json!({ "name": "g" }), &all, true), ok("app/g"));
    assert_eq!(found(json!({ "name": "g", "namespace": "team" }), &all, true), ok("team/g"));
    assert_eq!(found(json!({ "name": "g" }), &all, false), ok("app/g"), "a name needs no option");
    let default = json!({ "allowDefault": true });
    assert_eq!(found(default.clone(), &all, true), ok("app/default"), "the own namespace comes first");
    assert_eq!(found(default.clone(), &[("op", "default")], true), ok("op/default"));
    assert_eq!(found(json!({ "allowDefault": true, "namespace": "team" }), &all, true), ok("team/default"));
    assert_eq!(found(json!({ "allowDefault": true, "name": "g" }), &all, true), ok("app/g"), "a name wins");

    let denied = |reference, globals: &[(&str, &str)], allow| found(reference, globals, allow).expect_err("denied");
    let no = denied(default.clone(), &all, false);
    assert!(matches!(&no, Denied::NotAllowed(m) if m.contains("kind=VaultAuth obj=app/a: global=false")), "{no:?}");
    let no = denied(default, &[("team", "default")], true);
    assert!(matches!(&no, Denied::Missing(m) if m.contains(r#"not found in namespaces=["app", "op"]"#)), "{no:?}");
    let no = denied(json!({ "allowDefault": true, "namespace": "app" }), &[("op", "default")], true);
    assert!(matches!(&no, Denied::Missing(m) if m.contains(r#"namespaces=["app"]"#)), "{no:?}");
    for reference in [json!({}), json!({ "allowDefault": false }), json!({ "namespace": "team" })] {
        let no = denied(reference, &all, true);
        assert!(matches!(&no, Denied::Reference(m) if m.contains("app/a: invalid objectKey, empty name")), "{no:?}");
    }
    let no = denied(json!({ "name": "gone" }), &all, true);
    assert!(matches!(&no, Denied::Missing(m) if m.contains("VaultAuthGlobal app/gone")), "{no:?}");
    let no = denied(json!({ "name": "g", "namespace": "elsewhere" }), &all, true);
    assert!(matches!(&no, Denied::NotAllowed(m) if m.contains("does not watch")), "{no:?}");
}

#[test]
fn who_may_use_a_global() {
    let allowed = |namespace: &str, name: &str, list: Value| {
        let reference = json!({ "vaultAuthGlobalRef": { "namespace": namespace, "name": name } });
        let global = with(complete(), json!({ "allowedNamespaces": list }));
        merge_all(reference, &[(namespace, name, global)], true)
    };
    assert!(allowed("app", "g", json!([])).is_ok(), "own namespace");
    let no = allowed("team", "g", json!([])).expect_err("denied");
    assert!(matches!(&no, Denied::NotAllowed(m) if m.contains("kind=VaultAuthGlobal obj=team/g")), "{no:?}");
    assert!(allowed("team", "g", json!(["app"])).is_ok());
    assert!(allowed("team", "g", json!(["*"])).is_ok());
    assert!(allowed("team", "g", json!(["*", "x"])).is_err(), "a star among others is no wildcard");
    assert!(allowed("op", "g", json!([])).is_err(), "only `default` is open");
    assert!(allowed("op", "default", json!([])).is_ok());
    assert!(allowed("op", "default", json!(["x"])).is_err(), "a list on the default is meant");
}

#[test]
fn without_a_reference_nothing_is_supplied() {
    let spec = json!({ "method": "jwt", "mount": "own" });
    let merged = merge_all(spec.clone(), &[("app", "default", complete())], true).expect("nothing to merge");
    assert_eq!((serde_json::to_value(&merged.spec).unwrap(), merged.global), (spec, None));
}

#[test]
fn the_default_login_keeps_to_the_default_connection() {
    let global = with(complete(), json!({ "vaultConnectionRef": "op/other" }));
    let reference = json!({ "method": null, "mount": null, "kubernetes": null, "vaultAuthGlobalRef": { "name": "g" } });
    let world = World::default()
        .auth("op", "default", reference.clone())
        .auth("op", "b", reference)
        .global("op", "g", global)
        .connection("op", "default", json!({}))
        .connection("op", "other", json!({}));
    let connection = |name| {
        let plan = auth(&world.auths[&ObjectRef::new("op", name)], "op", &world).expect("a plan");
        plan.login.connection.key.id.to_string()
    };
    assert_eq!((connection("default").as_str(), connection("b").as_str()), ("op/default", "op/other"));
}

#[test]
fn what_a_merge_lacks_is_named() {
    let error = |auth: Value, global: Value| {
        let auth = with(auth, json!({ "vaultAuthGlobalRef": { "name": "g" } }));
        merge_all(auth, &[("app", "g", global)], true).expect_err("denied").to_string()
    };
    let method =
        "invalid merge: no auth method set in VaultAuth app/a and no default method set in VaultAuthGlobal app/g";
    assert_eq!(error(json!({}), json!({})), method);
    let text = error(json!({ "method": "aws" }), complete());
    assert!(
        text.starts_with("invalid merge: global auth method aws is not configured in VaultAuthGlobal app/g"),
        "{text}"
    );
    let text = error(json!({}), with(complete(), json!({ "defaultMount": null })));
    assert!(text.starts_with("invalid merge: mount is not set in VaultAuth app/a after merge with"), "{text}");
    for map in ["params", "headers"] {
        let reference = json!({ "name": "g", "mergeStrategy": { map: "sum" } });
        let found = merge_all(json!({ "vaultAuthGlobalRef": reference }), &[("app", "g", complete())], true);
        assert_eq!(
            found.expect_err("denied").to_string(),
            format!("invalid merge: unsupported {map} merge strategy \"sum\"")
        );
    }
    // What is merged is checked as any other.
    let world = World::default()
        .auth("app", "a", json!({ "method": null, "kubernetes": null, "vaultAuthGlobalRef": { "name": "g" } }))
        .global("app", "g", with(complete(), json!({ "kubernetes": { "role": "r" } })))
        .connection("op", "default", json!({}));
    let no = auth(&world.auths[&ObjectRef::new("app", "a")], "app", &world).expect_err("denied").to_string();
    assert_eq!(no, "invalid kubernetes auth configuration: empty serviceAccount (VaultAuth app/a)");
}

#[test]
fn a_global_supplies_a_fixed_token_without_a_mount() {
    let reference = |members: Value| with(members, json!({ "vaultAuthGlobalRef": { "name": "g" } }));
    let token = |reference: Value| json!({ "token": { "secretRef": reference } });
    let global = with(token(json!({ "name": "g", "key": "gk" })), json!({ "defaultAuthMethod": "token" }));
    for (own, expected) in [
        (json!({}), json!({ "name": "g", "key": "gk" })),
        (token(json!({ "name": "a" })), json!({ "name": "a", "key": "gk" })),
        (token(json!({ "key": "ak" })), json!({ "name": "g", "key": "ak" })),
        (json!({ "token": {} }), json!({ "name": "g", "key": "gk" })),
    ] {
        let merged = merge_all(reference(own), &[("app", "g", global.clone())], true).expect("a merge");
        let spec = serde_json::to_value(&merged.spec).expect("JSON");
        assert_eq!((&spec["method"], &spec["token"]["secretRef"]), (&json!("token"), &expected));
    }
}

/// Members of a method's block: those that are text, and the one that is a list.
const BLOCKS: [(&str, &[&str], Option<&str>); 5] = [
    ("kubernetes", &["role", "serviceAccount"], Some("audiences")),
    ("jwt", &["role", "secretRef", "serviceAccount"], Some("audiences")),
    ("appRole", &["roleId", "secretRef", "secretIDPath"], None),
    (
        "aws",
        &[
            "role",
            "region",
            "headerValue",
            "sessionName",
            "stsEndpoint",
            "iamEndpoint",
            "secretRef",
            "irsaServiceAccount",
        ],
        None,
    ),
    ("gcp", &["role", "workloadIdentityServiceAccount", "region", "clusterName", "projectID"], None),
];

/// Absent, empty, or a text that says where it is from.
fn text(from: &'static str) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![Just(None), Just(Some(json!(""))), "[a-c]".prop_map(move |t| Some(json!(format!("{from}-{t}"))))]
}

fn entries(from: &'static str) -> impl Strategy<Value = Option<Value>> {
    let entries = proptest::collection::btree_map("[k-m]", "[a-b]".prop_map(move |t| format!("{from}-{t}")), 0..3);
    proptest::option::of(entries.prop_map(|m| json!(m)))
}

fn object(members: Vec<(&'static str, BoxedStrategy<Option<Value>>)>) -> BoxedStrategy<Value> {
    let (names, values): (Vec<_>, Vec<_>) = members.into_iter().unzip();
    values
        .prop_map(move |values| {
            names
                .iter()
                .zip(values)
                .filter_map(|(name, value)| Some(((*name).to_owned(), value?)))
                .collect::<Map<_, _>>()
                .into()
        })
        .boxed()
}

fn block_of(
    from: &'static str,
    (_, texts, list): (&str, &'static [&'static str], Option<&'static str>),
    extras: bool,
) -> BoxedStrategy<Option<Value>> {
    let mut members: Vec<_> = texts.iter().map(|name| (*name, text(from).boxed())).collect();
    if let Some(list) = list {
        let audiences = proptest::collection::vec("[a-c]", 0..2)
            .prop_map(move |items| json!(items.iter().map(|i| format!("{from}-{i}")).collect::<Vec<_>>()));
        members.push((list, proptest::option::of(audiences).boxed()));
        members.push(("tokenExpirationSeconds", proptest::option::of((600..602).prop_map(|n| json!(n))).boxed()));
    }
    if extras {
        members.push(("namespace", text("gm").boxed()));
        members.push(("mount", text("gm").boxed()));
        members.push(("params", entries("gm").boxed()));
        members.push(("headers", entries("gm").boxed()));
    }
    proptest::option::of(object(members)).boxed()
}

fn method_name() -> BoxedStrategy<Option<Value>> {
    proptest::option::weighted(0.7, proptest::sample::select(BLOCKS.map(|b| b.0).to_vec()).prop_map(|m| json!(m)))
        .boxed()
}

fn any_auth() -> BoxedStrategy<Value> {
    let mut members = vec![
        ("method", method_name()),
        ("mount", text("a").boxed()),
        ("namespace", text("a").boxed()),
        ("vaultConnectionRef", text("a").boxed()),
        ("params", entries("a").boxed()),
        ("headers", entries("a").boxed()),
    ];
    members.extend(BLOCKS.map(|block| (block.0, block_of("a", block, false))));
    let rule = || proptest::option::of(proptest::sample::select(vec!["none", "union", "replace"]));
    (object(members), rule(), rule())
        .prop_map(|(mut spec, params, headers)| {
            let mut strategy = json!({});
            params.into_iter().for_each(|rule| strategy["params"] = json!(rule));
            headers.into_iter().for_each(|rule| strategy["headers"] = json!(rule));
            spec["vaultAuthGlobalRef"] = json!({ "name": "g", "mergeStrategy": strategy });
            spec
        })
        .boxed()
}

fn any_global() -> BoxedStrategy<Value> {
    let mut members = vec![
        ("defaultAuthMethod", method_name()),
        ("defaultMount", text("g").boxed()),
        ("defaultVaultNamespace", text("g").boxed()),
        ("vaultConnectionRef", text("g").boxed()),
        ("params", entries("g").boxed()),
        ("headers", entries("g").boxed()),
    ];
    members.extend(BLOCKS.map(|block| (block.0, block_of("g", block, true))));
    object(members)
}

/// The table of the merge, on JSON: `None` where there is no result.
fn by_the_table(auth: &Value, global: &Value) -> Option<Value> {
    let is_empty = |v: &Value| match v {
        Value::Null => true,
        Value::String(s) => s.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    let first = |values: &[&Value]| values.iter().find(|v| !is_empty(v)).map_or(Value::Null, |v| (*v).clone());
    let method = first(&[&auth["method"], &global["defaultAuthMethod"]]);
    let method = method.as_str()?;
    let of_method = &global[method];
    let mut block = json!({});
    if auth[method].is_null() && of_method.is_null() {
        return None;
    }
    let (_, texts, list) = BLOCKS.iter().find(|b| b.0 == method)?;
    let names = texts.iter().copied().chain(*list).chain(list.map(|_| "tokenExpirationSeconds"));
    for name in names {
        block[name] = first(&[&auth[method][name], &of_method[name]]);
    }
    let map = |name: &str| match auth["vaultAuthGlobalRef"]["mergeStrategy"][name].as_str().unwrap_or("none") {
        "none" => auth[name].clone(),
        "replace" => first(&[&auth[name], &of_method[name], &global[name]]),
        _ => {
            let mut all = json!({});
            for part in [&global[name], &of_method[name], &auth[name]] {
                part.as_object().into_iter().flatten().for_each(|(k, v)| all[k] = v.clone());
            }
            all
        }
    };
    let mount = first(&[&auth["mount"], &of_method["mount"], &global["defaultMount"]]);
    mount.as_str()?;
    let mut result = auth.clone();
    result["method"] = json!(method);
    result["mount"] = mount;
    result["namespace"] = first(&[&auth["namespace"], &of_method["namespace"], &global["defaultVaultNamespace"]]);
    result["vaultConnectionRef"] = first(&[&auth["vaultConnectionRef"], &global["vaultConnectionRef"]]);
    result["params"] = map("params");
    result["headers"] = map("headers");
    result[method] = block;
    Some(result)
}

/// As the type reads it: empty texts and maps are unset.
fn normal(mut spec: Value) -> Value {
    let blocks = spec.as_object_mut().into_iter().flat_map(Map::values_mut);
    blocks.filter_map(Value::as_object_mut).for_each(|block| block.retain(|_, v| !v.is_null()));
    spec.as_object_mut().into_iter().for_each(|spec| spec.retain(|_, v| !v.is_null()));
    serde_json::to_value(serde_json::from_value::<crate::api::VaultAuthSpec>(spec).expect("a spec")).expect("JSON")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_merge_is_what_the_table_says(auth in any_auth(), global in any_global()) {
        let found = merge_all(auth.clone(), &[("app", "g", global.clone())], true).ok();
        let found = found.map(|m| serde_json::to_value(&m.spec).expect("JSON"));
        prop_assert_eq!(found, by_the_table(&auth, &global).map(normal));
    }
}
