//! The compiled expressions of all workloads: equal ones are shared, and all together are limited.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::gocompat::regexp::{MAX_AUTOMATON_BYTES, NamePattern, NamePatternError};
use crate::util::shrink;

/// What the expressions of all workloads may compile to.
const MAX_BYTES: usize = 8 << 20;
/// What those may compile to that a namespace was the first to have: no namespace takes the room of all others.
const MAX_NAMESPACE_BYTES: usize = 1 << 20;

/// An expression that a workload lists.
#[derive(Debug)]
pub(super) struct Expression {
    pattern: NamePattern,
    /// The namespace that had it first.
    namespace: Box<str>,
    pub bytes: usize,
}

impl Expression {
    /// Whether a name matches.
    pub fn is_match(&self, name: &str) -> bool {
        self.pattern.is_match(name)
    }
}

/// Why an expression is not compiled.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is wrong.
    Wrong(String),
    /// It is too large: finding that out took room, too.
    TooLarge,
    /// The others take all the room.
    NoRoom(String),
}

/// The expressions that workloads list, by their text.
#[derive(Debug, Default)]
pub struct Expressions(Mutex<HashMap<Box<str>, Weak<Expression>>>);

impl Expressions {
    /// An expression: that of another workload, if that has an equal one.
    pub(super) fn compile(&self, namespace: &str, text: &str) -> Result<Arc<Expression>, Refusal> {
        let mut all = self.0.lock();
        if let Some(known) = all.get(text).and_then(Weak::upgrade) {
            return Ok(known);
        }
        all.retain(|_, expression| expression.strong_count() > 0);
        shrink(&mut all);
        let (mut of_all, mut of_namespace) = (0, 0);
        for expression in all.values().filter_map(Weak::upgrade) {
            of_all += expression.bytes;
            of_namespace += if *expression.namespace == *namespace { expression.bytes } else { 0 };
        }
        // Nothing is tried that may not fit.
        for (used, most, whose) in
            [(of_namespace, MAX_NAMESPACE_BYTES, "of the namespace"), (of_all, MAX_BYTES, "of all workloads")]
        {
            if used + MAX_AUTOMATON_BYTES > most {
                return Err(Refusal::NoRoom(format!("compiled, the expressions {whose} need more than {most} bytes")));
            }
        }
        let pattern = NamePattern::compile(text).map_err(|error| match error {
            NamePatternError::Syntax(why) => Refusal::Wrong(why),
            NamePatternError::TooLarge => Refusal::TooLarge,
        })?;
        let bytes = size_of::<Expression>() + pattern.bytes() + 2 * text.len();
        let expression = Arc::new(Expression { pattern, namespace: namespace.into(), bytes });
        all.insert(text.into(), Arc::downgrade(&expression));
        Ok(expression)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compiles to some KiB.
    fn large(number: usize) -> String {
        let digits = format!("{number:016b}").replace('0', "a").replace('1', "b");
        format!("^[ab]{}{digits}$", "a".repeat(300))
    }

    /// Has a namespace take what it can get.
    fn fill(all: &Expressions, namespace: &str, kept: &mut Vec<Arc<Expression>>) -> (usize, String) {
        let mut bytes = 0;
        loop {
            match all.compile(namespace, &large(kept.len())) {
                Ok(expression) => {
                    bytes += expression.bytes;
                    kept.push(expression);
                }
                Err(Refusal::NoRoom(why)) => return (bytes, why),
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn equal_expressions_are_one_and_those_of_no_workload_are_gone() {
        let all = Expressions::default();
        let one = all.compile("a", "^app-.*$").unwrap();
        assert!(Arc::ptr_eq(&one, &all.compile("b", "^app-.*$").unwrap()));
        let other = all.compile("a", "^web-.*$").unwrap();
        assert!(!Arc::ptr_eq(&one, &other) && other.is_match("web-1") && !one.is_match("web-1"));
        drop((one, other));
        let _kept = all.compile("a", "^x.*$").unwrap();
        assert_eq!(all.0.lock().len(), 1);
    }

    #[test]
    fn no_namespace_takes_all_the_room_and_what_is_given_up_is_free() {
        let (all, mut kept) = (Expressions::default(), vec![]);
        let (bytes, why) = fill(&all, "a", &mut kept);
        assert!(bytes <= MAX_NAMESPACE_BYTES && why.contains("of the namespace"), "{bytes}: {why}");
        let first = large(0);
        assert!(all.compile("a", &first).is_ok(), "it is there");
        let mut of_all = bytes;
        let mut last = why;
        for number in 0..10 {
            let (bytes, why) = fill(&all, &format!("b{number}"), &mut kept);
            (of_all, last) = (of_all + bytes, why);
        }
        assert!(of_all <= MAX_BYTES && last.contains("of all workloads"), "{of_all}: {last}");
        drop(kept);
        assert!(all.compile("a", "^app-.*$").is_ok());
    }
}
