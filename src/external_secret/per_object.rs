//! Annotations of a Secret with a text for each ExternalSecret that fills it, by its name: several may merge into one
//! Secret. The value is a JSON object.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The text of one ExternalSecret.
pub fn get(secret: &ObjectMeta, annotation: &str, name: &str) -> Option<String> {
    all(secret, annotation).remove(name)
}

/// Writes into the Secret `next`, which takes the place of `now`, the text of one ExternalSecret, or takes it off.
/// Those of others stay.
pub fn set(now: Option<&ObjectMeta>, next: &mut ObjectMeta, annotation: &str, name: &str, text: Option<String>) {
    let mut texts = now.map(|now| all(now, annotation)).unwrap_or_default();
    texts.remove(name);
    texts.extend(text.map(|text| (name.to_owned(), text)));
    write(next, annotation, &texts);
}

/// Takes off the Secret the texts of ExternalSecrets that do not fill it any more.
pub fn retain(secret: &mut ObjectMeta, annotation: &str, fills: impl Fn(&str) -> bool) {
    let mut texts = all(secret, annotation);
    texts.retain(|name, _| fills(name));
    write(secret, annotation, &texts);
}

/// Writes the texts of all ExternalSecrets into a Secret.
pub fn write(next: &mut ObjectMeta, annotation: &str, texts: &BTreeMap<String, String>) {
    let annotations = next.annotations.get_or_insert_default();
    annotations.remove(annotation);
    if !texts.is_empty()
        && let Ok(texts) = serde_json::to_string(texts)
    {
        annotations.insert(annotation.to_owned(), texts);
    }
}

/// The texts of all ExternalSecrets, by name. What another client has made of it that is no such object counts as
/// nothing.
pub fn all(secret: &ObjectMeta, annotation: &str) -> BTreeMap<String, String> {
    let text = secret.annotations.as_ref().and_then(|annotations| annotations.get(annotation));
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_its_text() {
        let mut secret = ObjectMeta::default();
        let text = |secret: &ObjectMeta| secret.annotations.as_ref().and_then(|all| all.get("a").cloned());
        let mut write = |name: &str, value: Option<&str>| {
            let now = secret.clone();
            set(Some(&now), &mut secret, "a", name, value.map(str::to_owned));
            (get(&secret, "a", "one"), get(&secret, "a", "two"), text(&secret))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(write("one", Some("1")), (some("1"), None, some(r#"{"one":"1"}"#)));
        assert_eq!(write("two", Some("2")), (some("1"), some("2"), some(r#"{"one":"1","two":"2"}"#)));
        assert_eq!(write("one", None), (None, some("2"), some(r#"{"two":"2"}"#)));
        assert_eq!(write("three", Some("3")).2, some(r#"{"three":"3","two":"2"}"#));
        retain(&mut secret, "a", |name| name == "three");
        assert_eq!(text(&secret), some(r#"{"three":"3"}"#));
        retain(&mut secret, "a", |_| false);
        assert_eq!(text(&secret), None);
        for foreign in ["", "abc", "[1]", r#"{"one":1}"#] {
            let mut secret = ObjectMeta { annotations: Some([("a".into(), foreign.into())].into()), ..<_>::default() };
            assert_eq!(get(&secret, "a", "one"), None, "{foreign}");
            set(Some(&secret.clone()), &mut secret, "a", "one", some("1"));
            assert_eq!(text(&secret), some(r#"{"one":"1"}"#));
        }
    }
}
