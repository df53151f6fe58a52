//! The names and expressions that a workload lists of a kind.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use super::expressions::{Expression, Expressions, Refusal};
use crate::gocompat::regexp::MAX_AUTOMATON_BYTES;

/// Names and expressions that a workload may list of a kind.
const MAX_NAMES: usize = 100;
/// What the expressions of a list may compile to.
const MAX_COMPILED_BYTES: usize = 256 << 10;
/// Longest name of a Secret or ConfigMap.
const MAX_NAME_BYTES: usize = 253;

/// What is known when a list is read.
#[derive(Clone, Copy)]
pub(super) struct Known<'k> {
    pub expressions: &'k Expressions,
    /// That of the workload.
    pub namespace: &'k str,
    /// The list of the workload, as it was before.
    pub before: Option<&'k Arc<List>>,
}

/// What a workload lists.
#[derive(Debug, Default)]
pub(super) struct List {
    /// The hash of the text.
    hash: u64,
    pub names: BTreeSet<String>,
    pub expressions: Vec<Arc<Expression>>,
    /// What is wrong with it.
    pub complaints: Vec<String>,
    /// Others may leave room for more of it.
    is_cut: bool,
}

impl List {
    /// The list of an annotation, which is read anew when its text is another one.
    pub fn of(annotation: &str, text: &str, known: Known<'_>) -> Arc<Self> {
        let mut hasher = DefaultHasher::new();
        (annotation, text).hash(&mut hasher);
        let hash = hasher.finish();
        if let Some(before) = known.before.filter(|before| before.hash == hash && !before.is_cut) {
            return before.clone();
        }
        let mut list = Self { hash, ..Self::default() };
        list.read(annotation, text, known);
        Arc::new(list)
    }

    /// Whether a name is listed.
    pub fn contains(&self, name: &str) -> bool {
        self.names.contains(name) || self.expressions.iter().any(|expression| expression.is_match(name))
    }

    fn read(&mut self, annotation: &str, text: &str, known: Known<'_>) {
        let all = items(annotation, text, &mut self.complaints);
        let mut left = MAX_COMPILED_BYTES;
        for item in all {
            let shown = &item[..item.floor_char_boundary(MAX_NAME_BYTES)];
            let mut complain = |what: &str, why: &str| {
                self.complaints.push(format!("annotation {annotation}: {shown:?} {what}: {why}"));
            };
            if is_plain(item) {
                if item.len() > MAX_NAME_BYTES {
                    complain("is ignored", "no name is so long");
                } else {
                    self.names.insert(item.to_owned());
                }
                continue;
            }
            let took = match known.expressions.compile(known.namespace, &format!("^{item}$")) {
                Ok(expression) => {
                    let bytes = expression.bytes;
                    if bytes <= left {
                        self.expressions.push(expression);
                    }
                    bytes
                }
                Err(Refusal::Wrong(why)) => {
                    complain("is ignored", &why);
                    0
                }
                Err(Refusal::TooLarge) => {
                    complain("is ignored", &format!("compiled, it needs more than {MAX_AUTOMATON_BYTES} bytes"));
                    MAX_AUTOMATON_BYTES
                }
                Err(Refusal::NoRoom(why)) => {
                    complain("and the rest are ignored", &why);
                    self.is_cut = true;
                    return;
                }
            };
            match left.checked_sub(took) {
                Some(rest) => left = rest,
                None => {
                    let why = format!("compiled, the expressions need more than {MAX_COMPILED_BYTES} bytes");
                    complain("and the rest are ignored", &why);
                    return;
                }
            }
        }
    }
}

/// Whether this is a name and no expression.
fn is_plain(item: &str) -> bool {
    item.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// The items of an annotation, up to [`MAX_NAMES`].
pub(super) fn items<'t>(annotation: &str, text: &'t str, complaints: &mut Vec<String>) -> Vec<&'t str> {
    let mut all = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let items = all.by_ref().take(MAX_NAMES).collect();
    if all.next().is_some() {
        complaints.push(format!("annotation {annotation} lists more than {MAX_NAMES} names: the rest is ignored"));
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(expressions: &Expressions, namespace: &str, before: Option<&Arc<List>>, text: &str) -> Arc<List> {
        List::of("reload", text, Known { expressions, namespace, before })
    }

    fn bytes(list: &List) -> usize {
        list.expressions.iter().map(|expression| expression.bytes).sum()
    }

    #[test]
    fn a_list_keeps_no_more_than_it_may_and_says_what_it_does_not_keep() {
        let all = Expressions::default();
        for (item, kept) in [
            ("app-N-.*", 100),
            (r"app-N\.example\.com", 100),
            ("app-N-[a-z0-9]{5}", 60),
            ("(dev|test|prod)-N-.*-tls", 40),
            (r"\pL{5}N", 40),
            ("[ab]*a[ab]{8}xN", 0),
            ("[ab]*a[ab]{14}xN", 0),
            ("[a-z]{900}N", 0),
            (".*aN", 40),
            ("(a|b|c).*x{100}N", 0),
        ] {
            let text: Vec<String> = (0..100).map(|n| item.replace('N', &n.to_string())).collect();
            let found = list(&all, item, None, &text.join(","));
            let (number, bytes) = (found.expressions.len(), bytes(&found));
            println!("{item}: {number} expressions of {bytes} bytes, {} complaints", found.complaints.len());
            assert!(number >= kept && bytes <= MAX_COMPILED_BYTES, "{item}: {number} of {bytes} bytes");
            assert_eq!(number < 100, !found.complaints.is_empty(), "{item}: {:?}", found.complaints);
            assert!(
                found.complaints.len() <= 2 + MAX_COMPILED_BYTES / MAX_AUTOMATON_BYTES,
                "{item}: no more are tried"
            );
            // A search has nothing to keep: the expressions are not even mutable.
            for _ in 0..10 {
                assert!(!found.contains(&"ab".repeat(126)), "{item}");
            }
        }
    }

    #[test]
    fn a_list_is_read_again_when_its_text_is_another_one() {
        let all = Expressions::default();
        let first = list(&all, "ns", None, "app-.*, (, b");
        assert_eq!((first.expressions.len(), first.complaints.len()), (1, 1));
        assert!(Arc::ptr_eq(&first, &list(&all, "ns", Some(&first), "app-.*, (, b")), "an equal text");
        let other = list(&all, "ns", Some(&first), "app-.*, b");
        assert!(!Arc::ptr_eq(&first, &other) && other.complaints.is_empty());
        assert!(Arc::ptr_eq(&first.expressions[0], &other.expressions[0]), "an equal expression");
    }

    #[test]
    fn what_others_have_left_no_room_for_is_read_when_they_are_gone() {
        let all = Expressions::default();
        let item = |number: usize| {
            let digits = format!("{number:016b}").replace('0', "a").replace('1', "b");
            format!("[ab]{}{digits}", "a".repeat(300))
        };
        let text = |list: usize| (0..30).map(|n| item(30 * list + n)).collect::<Vec<_>>().join(",");
        let mut others: Vec<Arc<List>> = (0..10).map(|number| list(&all, "ns", None, &text(number))).collect();
        let cut = list(&all, "ns", None, "web-.*,web");
        assert!(cut.is_cut && cut.complaints[0].contains("of the namespace"), "{:?}", cut.complaints);
        assert!(!list(&all, "other", None, "web-.*,web").is_cut, "another namespace has room");
        others.clear();
        let whole = list(&all, "ns", Some(&cut), "web-.*,web");
        assert!(whole.complaints.is_empty() && whole.contains("web") && whole.contains("web-1"));
    }

    #[test]
    fn a_name_that_none_can_have_is_not_kept() {
        let found = list(&Expressions::default(), "ns", None, &format!("{},a", "n".repeat(MAX_NAME_BYTES + 1)));
        assert_eq!(found.names, BTreeSet::from(["a".to_owned()]));
        assert!(found.complaints[0].contains("no name is so long"), "{:?}", found.complaints);
    }
}
