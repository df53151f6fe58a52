//! From the entries of `spec.data` and `spec.dataTo` to what is pushed to one store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::room::{Room, json_bytes};
use super::{Payload, PushRow, PushSource};
use crate::api::external_secrets::push_secret::{
    PushConversionStrategy, PushData, PushDataTo, PushMatch, PushRemoteRef, PushRewrite, PushSecretSpec,
};
use crate::api::external_secrets::rewrite::Rewrite;
use crate::external_secret::template::KeyTemplates;
use crate::external_secret::{Data, keys, rewrite};
use crate::gocompat::regexp::{Groups, Pattern, PatternError};
use crate::gocompat::template::{Context, Environment, Limits};

/// A store that is pushed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushStore {
    /// Whether it is pushed to at all.
    pub is_named: bool,
    /// Which entries of `spec.dataTo` mean it.
    pub data_to: Vec<bool>,
}

/// What is pushed to a store.
#[derive(Debug, Default)]
pub struct Expansion {
    /// What can be pushed.
    pub rows: Vec<PushRow>,
    /// What cannot, by the entry that says where if that is known, and why.
    pub failures: Vec<(Option<PushData>, String)>,
}

/// The place of an entry in a store, as the status names it.
pub fn place(remote: &PushRemoteRef) -> String {
    match &remote.property {
        Some(property) => format!("{}/{property}", remote.remote_key),
        None => remote.remote_key.clone(),
    }
}

/// What is pushed to each of the stores. No entry that cannot be pushed holds up another.
///
/// # Errors
/// If it is more than the status can record: then nothing may be pushed, for it would never be found again.
pub fn expand(
    spec: &PushSecretSpec,
    sources: &[Arc<PushSource>],
    stores: &[PushStore],
) -> Result<Vec<Expansion>, String> {
    let sources: Vec<Converted<'_>> = sources.iter().map(Converted::new).collect();
    let mut context = Context::new(&Limits::default(), &Environment::default());
    // An entry that finds no room is not made: what is built stays small, too.
    let mut room = Room::beside(spec);
    let expansions = stores.iter().map(|store| of_store(&mut context, &mut room, spec, &sources, store)).collect();
    room.check().map(|()| expansions)
}

/// A Secret, and its keys as the strategies make them.
struct Converted<'a> {
    source: &'a Arc<PushSource>,
    as_is: Arc<Data>,
    reversed: Result<Arc<Data>, String>,
}

impl<'a> Converted<'a> {
    fn new(source: &'a Arc<PushSource>) -> Self {
        let as_is = Arc::new(source.data.clone());
        let changes = source.data.keys().any(|key| key.contains("_U"));
        let reversed = if changes {
            keys::reverse_unicode(source.data.clone()).map(Arc::new).map_err(|error| error.to_string())
        } else {
            Ok(as_is.clone())
        };
        Self { source, as_is, reversed }
    }

    fn data(&self, strategy: Option<&PushConversionStrategy>) -> Result<&Arc<Data>, String> {
        match strategy {
            None | Some(PushConversionStrategy::None) => Ok(&self.as_is),
            Some(PushConversionStrategy::ReverseUnicode) => self.reversed.as_ref().map_err(Clone::clone),
            Some(PushConversionStrategy::Unknown(name)) => Err(format!("conversionStrategy {name:?} is not known")),
        }
    }
}

fn of_store(
    context: &mut Context,
    room: &mut Room,
    spec: &PushSecretSpec,
    sources: &[Converted<'_>],
    store: &PushStore,
) -> Expansion {
    let mut expansion = Expansion::default();
    if !store.is_named {
        return expansion;
    }
    let mut found: Vec<PushRow> = vec![];
    for entry in &spec.data {
        let metadata = entry.metadata.as_ref().map_or(0, json_bytes);
        if room.take_entry(&entry.r#match.remote_ref, entry.r#match.secret_key.as_deref(), metadata).is_err() {
            return Expansion::default();
        }
        match of_entry(entry, sources) {
            Ok(row) => found.push(row),
            Err(why) => expansion.failures.push((Some(entry.clone()), why)),
        }
    }
    let explicit: BTreeSet<&str> = spec.data.iter().filter_map(|entry| entry.r#match.secret_key.as_deref()).collect();
    for (index, entry) in spec.data_to.iter().enumerate() {
        if !store.data_to.get(index).copied().unwrap_or(false) {
            continue;
        }
        for source in sources {
            match of_keys(context, room, entry, source, &explicit) {
                Ok(rows) => found.extend(rows),
                Err(why) => expansion.failures.push((None, format!("spec.dataTo[{index}]: {why}"))),
            }
        }
    }
    expansion.rows = found;
    expansion.refuse_repeated(|entry| place(&entry.r#match.remote_ref));
    expansion
}

impl Expansion {
    /// Of rows that lead to one place, none is pushed. `place_of` says where an entry leads.
    pub fn refuse_repeated<P: Ord>(&mut self, place_of: impl Fn(&PushData) -> P) {
        let mut count = BTreeMap::<P, usize>::new();
        for row in &self.rows {
            *count.entry(place_of(&row.entry)).or_default() += 1;
        }
        let (repeated, rows) =
            std::mem::take(&mut self.rows).into_iter().partition(|row| count.get(&place_of(&row.entry)) > Some(&1));
        self.rows = rows;
        let mut told = BTreeSet::new();
        for PushRow { entry, .. } in repeated {
            if told.insert(place_of(&entry)) {
                let why = format!("{:?} is pushed to more than once", place(&entry.r#match.remote_ref));
                self.failures.push((Some(entry), why));
            }
        }
    }
}

/// An entry of `spec.data`. Of several Secrets one may have the key.
fn of_entry(entry: &PushData, sources: &[Converted<'_>]) -> Result<PushRow, String> {
    let mut rows = vec![];
    for source in sources {
        let data = source.data(entry.conversion_strategy.as_ref())?;
        let payload = match &entry.r#match.secret_key {
            None => Some(Payload::all(data)),
            Some(key) => Payload::one(data, key),
        };
        rows.extend(payload.map(|payload| row(entry.clone(), payload, source.source)));
    }
    let key = entry.r#match.secret_key.as_deref().unwrap_or("");
    match rows.len() {
        0 => Err(format!("secret key {key} does not exist")),
        1 => Ok(rows.remove(0)),
        _ => {
            let names: Vec<&str> = rows.iter().map(|row| row.source.name.as_str()).collect();
            Err(format!("several Secrets would be pushed there: {}", names.join(", ")))
        }
    }
}

/// An entry of `spec.dataTo`: one row for all keys, or one for each.
fn of_keys(
    context: &mut Context,
    room: &mut Room,
    entry: &PushDataTo,
    source: &Converted<'_>,
    explicit: &BTreeSet<&str>,
) -> Result<Vec<PushRow>, String> {
    let data = source.data(entry.conversion_strategy.as_ref())?;
    let selected = selected(context, entry, data)?;
    let metadata = entry.metadata.as_ref().map_or(0, json_bytes);
    let mut made = |secret_key: Option<String>, remote_key: String| {
        let remote_ref = PushRemoteRef { remote_key, property: None };
        room.take_entry(&remote_ref, secret_key.as_deref(), metadata)?;
        Ok::<_, String>(PushData {
            r#match: PushMatch { secret_key, remote_ref },
            metadata: entry.metadata.clone(),
            conversion_strategy: entry.conversion_strategy.clone(),
        })
    };
    if let Some(remote_key) = &entry.remote_key {
        if selected.is_empty() {
            return Ok(vec![]);
        }
        let payload = Payload::some(data, selected);
        return Ok(vec![row(made(None, remote_key.clone())?, payload, source.source)]);
    }
    // The key is the value, so that it is known what a name was made of.
    let names: Data = selected.iter().map(|key| (key.clone(), key.clone().into_bytes())).collect();
    let operations: Vec<Rewrite> = entry.rewrite.iter().map(operation).collect();
    let mut templates = KeyTemplates::default();
    let mut transform = |context: &mut Context, text: &str, key: &str| templates.transform(context, text, key);
    let count = names.len();
    let renamed = rewrite::apply(context, &mut transform, &operations, names).map_err(|error| error.to_string())?;
    if renamed.len() < count {
        return Err("rewrite makes two keys one".to_owned());
    }
    let keys = renamed.into_iter().map(|(name, key)| (name, String::from_utf8_lossy(&key).into_owned()));
    let rows = keys.filter(|(_, key)| !explicit.contains(key.as_str())).filter_map(|(name, key)| {
        let payload = Payload::one(data, &key)?;
        Some(made(Some(key), name).map(|entry| row(entry, payload, source.source)))
    });
    rows.collect()
}

fn selected(context: &mut Context, entry: &PushDataTo, data: &Data) -> Result<BTreeSet<String>, String> {
    let Some(regexp) = entry.r#match.as_ref().and_then(|keys| keys.regexp.as_deref()) else {
        return Ok(data.keys().cloned().collect());
    };
    let pattern = Pattern::compile(context, regexp.as_bytes(), Groups::Ignored).map_err(|error| {
        let why = match error {
            PatternError::Syntax(why) => why,
            PatternError::Limit(error) => error.shown().to_owned(),
        };
        format!("match.regexp {regexp:?}: {why}")
    })?;
    Ok(data.keys().filter(|key| pattern.regex().is_match(key.as_bytes())).cloned().collect())
}

fn operation(rewrite: &PushRewrite) -> Rewrite {
    Rewrite { merge: None, regexp: rewrite.regexp.clone(), transform: rewrite.transform.clone() }
}

fn row(entry: PushData, payload: Payload, source: &Arc<PushSource>) -> PushRow {
    // The schema of the status has a default for it, too: what is written there has to be what is read there.
    let strategy = entry.conversion_strategy.clone().unwrap_or_default();
    let metadata = entry.metadata.map(without_nulls);
    let entry = PushData { conversion_strategy: Some(strategy), metadata, ..entry };
    PushRow { entry, payload, source: source.clone() }
}

/// A merge patch writes no null. Values are nested no deeper than the API server allows.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(members.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(name: &str, entries: &[(&str, &str)]) -> Arc<PushSource> {
        let data = entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
        Arc::new(PushSource { name: name.to_owned(), data, ..PushSource::default() })
    }

    /// Each row as `PLACE=KEYS`, and the failures.
    fn expanded(spec: serde_json::Value, sources: &[Arc<PushSource>]) -> (Vec<String>, Vec<String>) {
        let spec: PushSecretSpec = serde_json::from_value(spec).unwrap();
        let stores = [PushStore { is_named: true, data_to: vec![true; spec.data_to.len()] }];
        let expansion = expand(&spec, sources, &stores).unwrap().remove(0);
        let shown = |row: &PushRow| {
            let keys: Vec<&str> = row.payload.entries().map(|(key, _)| key.as_str()).collect();
            format!("{}={}", place(&row.entry.r#match.remote_ref), keys.join("+"))
        };
        let rows = expansion.rows.iter().map(shown).collect();
        (rows, expansion.failures.into_iter().map(|(_, why)| why).collect())
    }

    fn entry(key: Option<&str>, remote: &str, property: Option<&str>) -> serde_json::Value {
        json!({ "match": { "secretKey": key, "remoteRef": { "remoteKey": remote, "property": property } } })
    }

    #[test]
    fn entries_name_keys_and_places() {
        let one = [source("one", &[("a", "1"), ("b", "2"), ("x_U0040_y", "3")])];
        let rows = |data: serde_json::Value| expanded(json!({ "data": data }), &one);
        let (found, failed) = rows(json!([
            entry(Some("a"), "k", Some("p")),
            entry(Some("gone"), "k", Some("q")),
            entry(None, "whole", None),
            entry(None, "bundle", Some("all")),
        ]));
        assert_eq!(found, ["k/p=a", "whole=a+b+x_U0040_y", "bundle/all=a+b+x_U0040_y"]);
        assert_eq!(failed, ["secret key gone does not exist"]);
        let mut reversed = entry(Some("x@y"), "k", Some("p"));
        reversed["conversionStrategy"] = json!("ReverseUnicode");
        assert_eq!(rows(json!([reversed])).0, ["k/p=x@y"]);
        let (found, failed) = rows(json!([entry(Some("a"), "k", None), entry(Some("b"), "k", None)]));
        assert_eq!((found.len(), failed), (0, vec!["\"k\" is pushed to more than once".to_owned()]));
    }

    #[test]
    fn of_several_secrets_one_may_have_the_key() {
        let two = [source("one", &[("a", "1"), ("c", "1")]), source("two", &[("b", "2"), ("c", "2")])];
        let data = json!([
            entry(Some("a"), "k", Some("a")),
            entry(Some("b"), "k", Some("b")),
            entry(Some("c"), "k", Some("c"))
        ]);
        let (found, failed) = expanded(json!({ "data": data }), &two);
        assert_eq!(found, ["k/a=a", "k/b=b"]);
        assert_eq!(failed, ["several Secrets would be pushed there: one, two"]);
    }

    #[test]
    fn keys_are_pushed_together_or_each_for_itself() {
        let one = [source("one", &[("db_host", "h"), ("db_user", "u"), ("other", "o")])];
        let to = |entry: serde_json::Value| expanded(json!({ "dataTo": [entry] }), &one);
        assert_eq!(to(json!({ "remoteKey": "all" })).0, ["all=db_host+db_user+other"]);
        let bundle = json!({ "remoteKey": "db", "match": { "regexp": "^db_" } });
        assert_eq!(to(bundle).0, ["db=db_host+db_user"]);
        let none = json!({ "remoteKey": "db", "match": { "regexp": "^nothing" } });
        assert_eq!(to(none), (vec![], vec![]));
        let rewrite = json!([{ "regexp": { "source": "^db_", "target": "app/" } },
            { "transform": { "template": "{{ .value | upper }}" } }]);
        let each = json!({ "match": { "regexp": "^db_" }, "rewrite": rewrite });
        assert_eq!(to(each).0, ["APP/HOST=db_host", "APP/USER=db_user"]);
        let same = json!({ "rewrite": [{ "regexp": { "source": ".*", "target": "x" } }] });
        assert_eq!(to(same).1, ["spec.dataTo[0]: rewrite makes two keys one"]);
        let wrong = json!({ "match": { "regexp": "(" } });
        assert!(to(wrong).1[0].starts_with("spec.dataTo[0]: match.regexp \"(\": "));
        let spec = json!({
            "data": [entry(Some("other"), "mine", Some("p"))],
            "dataTo": [{ "match": { "regexp": "^o" } }],
        });
        assert_eq!(expanded(spec, &one).0, ["mine/p=other"], "what is named wins");
    }

    #[test]
    fn what_the_status_cannot_record_is_not_pushed() {
        let one = [source("one", &[("a", "1"), ("b", "2"), ("c", "3")])];
        let expands = |spec: serde_json::Value, stores: usize| {
            let spec: PushSecretSpec = serde_json::from_value(spec).unwrap();
            let store = PushStore { is_named: true, data_to: vec![true; spec.data_to.len()] };
            expand(&spec, &one, &vec![store; stores]).map(|all| all.iter().map(|of| of.rows.len()).sum::<usize>())
        };
        let noted = |mut entry: serde_json::Value, bytes: usize| {
            entry["metadata"] = json!({ "note": "n".repeat(bytes) });
            entry
        };
        let data = |count: usize, bytes: usize| -> serde_json::Value {
            let entries = (0..count).map(|i| noted(entry(Some("a"), "k", Some(&format!("p{i}"))), bytes));
            json!({ "data": entries.collect::<Vec<_>>() })
        };
        assert_eq!(expands(data(120, 100), 3), Ok(360));
        assert!(expands(data(120, 6_000), 3).unwrap_err().contains("more than the status can record"));
        assert!(expands(data(100, 100), 1_000).is_err());
        let each = |bytes| json!({ "dataTo": [noted(json!({}), bytes)] });
        assert_eq!(expands(each(10_000), 10), Ok(30));
        assert!(expands(each(10_000), 30).is_err());
        assert!(expands(each(500_000), 1).is_err());
    }

    #[test]
    fn a_copy_says_nothing_of_the_owner_of_the_source() {
        let map = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), String::new())).collect();
        let labels = map(&["app", "app.kubernetes.io/managed-by", "app.kubernetes.io/name"]);
        let annotations = map(&[
            "kubectl.kubernetes.io/last-applied-configuration",
            "meta.helm.sh/release-name",
            "argocd.argoproj.io/tracking-id",
            "reconcile.external-secrets.io/data-hash",
            "note",
        ]);
        let source = PushSource::new("s".to_owned(), Data::new(), labels, annotations, None);
        assert_eq!(source.labels.keys().collect::<Vec<_>>(), ["app", "app.kubernetes.io/name"]);
        assert_eq!(source.annotations.keys().collect::<Vec<_>>(), ["note"]);
    }

    #[test]
    fn no_text_quotes_a_value() {
        let one = source("one", &[("a", "hunter22")]);
        let data = Arc::new(one.data.clone());
        let payload = Payload::all(&data);
        for text in ["refused: hunter22", "data: aHVudGVyMjI=", "data: aHVudGVyMj"] {
            assert!(payload.is_quoted_in(text), "{text}");
        }
        assert!(!payload.is_quoted_in("refused: key \"a\""));
        assert!(!format!("{payload:?} {one:?}").contains("hunter22"));
    }
}
