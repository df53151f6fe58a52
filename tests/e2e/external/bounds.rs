//! What is large or takes long has its limits, and no other object waits for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::hostile::{GET, allowed, cluster_store, of_store, others_are_served, start_healthy, vault_store};
use super::{SERVED, external_secret, row, wait_failure, wait_synced};
use test_support::http_server::{Answer, Request, serve};
use test_support::kube_client::encoded;
use test_support::{Tenant, eventually};

#[test]
fn what_takes_long_is_cut_off_and_holds_up_no_other() {
    let tenant = Tenant::new("es-long");
    let operator = tenant.operator(SERVED);
    start_healthy(&tenant);
    let many: serde_json::Map<String, Value> =
        (0..20_000).map(|i| (format!("k{i}"), json!({ "a": { "b": [i, "x"] }, "c": "y" }))).collect();
    tenant.put("large", json!({ "json": Value::Object(many).to_string(), "text": "x".repeat(300_000) }));
    tenant.put("small", json!({ "password": "hunter-small", "json": "{\"a\":[1,2,3]}" }));
    let large = |i: usize, property: Option<&str>| {
        let mut line = row(&tenant, &format!("r{i}"), "large", property.unwrap_or(""));
        if property.is_none() {
            line["remoteRef"].as_object_mut().expect("an object").remove("property");
        }
        line
    };
    let rows = |property: Option<&str>| json!({ "data": (0..1000).map(|i| large(i, property)).collect::<Vec<_>>() });
    let template = |text: &str| {
        let target = json!({ "template": { "data": { "k": text } } });
        json!({ "target": target, "data": [row(&tenant, "password", "small", "password")] })
    };
    let nested = "{{ range until 9999 }}{{ range until 9999 }}{{ range until 9999 }}{{ end }}{{ end }}{{ end }}";
    let endless = "{{ define \"x\" }}{{ template \"x\" . }}{{ end }}{{ template \"x\" . }}";
    let regexp = json!({ "dataFrom": [{
        "extract": { "key": tenant.path("small") },
        "rewrite": [{ "regexp": { "source": "(.*){1000}{1000}", "target": "" } }],
    }] });
    let cases = [
        ("whole", rows(None), ""),
        ("wild", rows(Some("json.*.a.*.*")), ""),
        ("query", rows(Some("json.@this|#(a.b.#(0>5))#")), ""),
        ("nested", template(nested), "could not apply template"),
        ("endless", template(endless), "could not apply template"),
        ("long", template("{{ repeat 999999999 \"x\" }}"), "could not apply template"),
        ("regexp", regexp, "regexp"),
        ("key", json!({ "data": [row(&tenant, "a/b", "small", "password")] }), "a/b"),
        ("mib", template("{{ repeat 70000 .password }}{{ repeat 70000 \"sixteen letters.\" }}"), ""),
        (
            "account",
            json!({
                "target": { "template": { "type": "kubernetes.io/service-account-token" } },
                "data": [row(&tenant, "password", "small", "password")],
            }),
            "service-account",
        ),
    ];
    // What the schema refuses is not for the operator.
    let taken: Vec<_> = (cases.iter())
        .filter(|(name, spec, _)| {
            (0..4).all(|copy| {
                tenant.try_apply(&external_secret(&tenant, &format!("{name}-{copy}"), spec.clone())).is_ok()
            })
        })
        .collect();
    for round in 1..10 {
        others_are_served(&tenant, round);
    }
    let names: Vec<&str> = taken.iter().map(|(name, ..)| *name).collect();
    assert!(
        ["whole", "wild", "query", "nested", "endless", "long", "mib"].iter().all(|name| names.contains(name)),
        "{names:?}"
    );
    for (name, _, text) in taken {
        for copy in 0..4 {
            let name = format!("{name}-{copy}");
            wait_failure(&tenant, &name, &["could not ", text]);
            assert!(tenant.get("secret", &name).is_err(), "{name}");
        }
    }
    tenant.assert_nothing_leaked(&operator, &["hunter-small"]);
}

#[test]
fn a_thousand_rows_of_one_secret_are_one_read() {
    let tenant = Tenant::new("es-rows");
    let reads = Arc::new(AtomicUsize::new(0));
    let count = reads.clone();
    let cluster = serve(Arc::new(move |request: &Request| {
        if request.path.contains("selfsubject") {
            return allowed();
        }
        // Without the right to watch, nothing but the object's interval has it read again.
        if request.path.contains('?') {
            return Answer::refusal(403, r#"{"kind":"Status","message":"forbidden","code":403}"#);
        }
        count.fetch_add(1, Ordering::SeqCst);
        let data = encoded(&[("k", "v"), ("json", r#"{"a":{"b":"c"}}"#)]);
        Answer::json(&json!({ "kind": "Secret", "metadata": { "name": "one" }, "data": data }))
    }));
    let _operator = tenant.operator(SERVED);
    start_healthy(&tenant);
    tenant.put("nested", json!({ "a": { "b": "c" }, "filler": "x".repeat(5_000) }));
    tenant.apply(&cluster_store(&tenant, "far", &cluster));
    let line =
        |i: usize| json!({ "secretKey": format!("r{i}"), "remoteRef": { "key": "one", "property": "json.a.b" } });
    let data: Vec<Value> = (0..1000).map(line).collect();
    let spec = json!({ "refreshInterval": "1h", "data": data });
    tenant.apply(&of_store(&tenant, "of-cluster", "far", spec));
    let data: Vec<Value> = (0..1000).map(|i| row(&tenant, &format!("r{i}"), "nested", "a.b")).collect();
    tenant.apply(&external_secret(&tenant, "of-vault", json!({ "data": data })));
    for name in ["of-cluster", "of-vault"] {
        tenant.wait_value(name, "r999", "c");
        wait_synced(&tenant, name);
    }
    assert_eq!(reads.load(Ordering::SeqCst), 1, "rows of one Secret");
}

#[test]
fn rows_are_read_several_at_a_time_and_each_once() {
    let tenant = Tenant::new("es-rows");
    let (under_way, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let asked: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let (seen, at_once) = (asked.clone(), most.clone());
    let host = serve(Arc::new(move |request: &Request| {
        let Some((_, name)) = request.path.split_once("/data/") else {
            return Answer::refusal(404, r#"{"errors":[]}"#);
        };
        let name = name.split('?').next().unwrap_or(name);
        *seen.lock().unwrap().entry(name.to_owned()).or_default() += 1;
        at_once.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(50));
        under_way.fetch_sub(1, Ordering::SeqCst);
        if name.starts_with("denied") {
            return Answer::refusal(403, r#"{"errors":["permission denied"]}"#);
        }
        let value = if name.starts_with("heavy") { "x".repeat(100 << 10) } else { name.to_owned() };
        Answer::json(&json!({ "data": { "data": { "k": value }, "metadata": { "version": 1 } } }))
    }));
    let _operator = tenant.operator(SERVED);
    start_healthy(&tenant);
    let spec = |data: Vec<Value>| json!({ "refreshInterval": "1h", "data": data });
    let row_of = |key: String, name: String| json!({ "secretKey": key, "remoteRef": { "key": name, "property": "k" } });
    // Two keys of each.
    let good = (0..60).map(|i| row_of(format!("k{i}"), format!("s{}", i % 30)));
    tenant.apply(&vault_store(&tenant, "far", &host));
    tenant.apply(&of_store(&tenant, "good", "far", spec(good.collect())));
    wait_synced(&tenant, "good");
    assert_eq!(tenant.get("secret", "good").unwrap()["data"].as_object().map(serde_json::Map::len), Some(60));
    let counts: Vec<usize> = asked.lock().unwrap().values().copied().collect();
    assert_eq!(counts, [1; 30], "each secret is read once");
    assert!((2..=8).contains(&most.load(Ordering::SeqCst)), "{most:?} requests at the same time");

    // The first of the rows that fail is told of, and nothing after it is asked for.
    let rows = ["a", "b", "denied-1", "c"].map(str::to_owned).into_iter().chain((0..30).map(|i| format!("x{i}")));
    tenant.apply(&of_store(&tenant, "bad", "far", spec(rows.map(|name| row_of(name.clone(), name)).collect())));
    wait_failure(&tenant, "bad", &[GET, "denied-1"]);
    assert!(!asked.lock().unwrap().contains_key("x10"), "{asked:?}");

    // What is large is read once, too.
    let rows = (0..9).map(|i| row_of(format!("k{i}"), format!("heavy-{i}")));
    let spec = json!({ "refreshInterval": "2s", "data": rows.collect::<Vec<_>>() });
    tenant.apply(&of_store(&tenant, "heavy", "far", spec));
    wait_synced(&tenant, "heavy");
    let count = || (0..9).map(|i| asked.lock().unwrap()[&format!("heavy-{i}")]).collect::<Vec<_>>();
    let before = count();
    std::thread::sleep(Duration::from_secs(8));
    let reads: Vec<usize> = count().iter().zip(&before).map(|(now, before)| now - before).collect();
    let (least, most) = (reads.iter().min().unwrap(), reads.iter().max().unwrap());
    assert!(*least > 1 && most - least <= 1, "{reads:?}");
}

#[test]
fn a_find_has_bounds() {
    let tenant = Tenant::new("es-find");
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let server = |count: usize| {
        let (under_way, most) = (under_way.clone(), most.clone());
        serve(Arc::new(move |request: &Request| {
            if request.method == "LIST" || request.path.contains("list=true") {
                let keys: Vec<String> = (0..count).map(|i| format!("s{i}")).collect();
                return Answer::json(&json!({ "data": { "keys": keys } }));
            }
            if !request.path.contains("/data/s") {
                return Answer::refusal(404, r#"{"errors":[]}"#);
            }
            most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            under_way.fetch_sub(1, Ordering::SeqCst);
            Answer::json(&json!({ "data": { "data": { "k": "v" }, "metadata": { "version": 1 } } }))
        }))
    };
    let folders = serve(Arc::new(|request: &Request| match request.path.contains("metadata") {
        true => Answer::json(&json!({ "data": { "keys": ["again/", "twice/"] } })),
        false => Answer::json(&json!({ "data": { "data": {} } })),
    }));
    let operator = tenant.operator(SERVED);
    start_healthy(&tenant);
    let find = json!({ "dataFrom": [{ "find": { "name": { "regexp": "." } } }] });
    for (name, host) in [("some", server(500)), ("many", server(12_000)), ("folders", folders)] {
        tenant.apply(&vault_store(&tenant, name, &host));
        tenant.apply(&of_store(&tenant, name, name, find.clone()));
    }
    others_are_served(&tenant, 1);
    wait_failure(&tenant, "many", &[GET, "name less with find.path"]);
    wait_failure(&tenant, "folders", &[GET, "name less with find.path"]);
    wait_synced(&tenant, "some");
    assert_eq!(tenant.get("secret", "some").unwrap()["data"].as_object().map(serde_json::Map::len), Some(500));
    assert!((2..=8).contains(&most.load(Ordering::SeqCst)), "{most:?} requests at the same time");
    others_are_served(&tenant, 2);
    // A thousand more that fail are no load for others.
    eventually("the log stays short", || {
        let lines = operator.log().lines().count();
        if lines < 2_000 { Ok(()) } else { Err(format!("{lines} lines")) }
    });
}
