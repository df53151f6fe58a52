//! An expression that names of Kubernetes are compared with.
//!
//! Names are short and ASCII, and such an expression is kept. So it is an automaton that is complete when it is
//! compiled: a search takes one step for each byte of the name, and keeps nothing.

use regex_automata::Input;
use regex_automata::dfa::{Automaton as _, StartKind, dense, sparse};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind};

use super::pattern::MAX_NESTING;
use super::{Translated, translate};

/// Longest expression, in bytes.
const MAX_PATTERN_BYTES: usize = 1000;
/// Classes such as `\pL` in an expression: each is a table of some KiB while it is compiled.
const MAX_PROPERTIES: usize = 10;
/// What an expression may compile to, in bytes.
pub(crate) const MAX_AUTOMATON_BYTES: usize = 16 << 10;
/// What it may take before it is an automaton.
const MAX_STATES_BYTES: usize = 64 << 10;
/// What making it an automaton may take.
const MAX_SCRATCH_BYTES: usize = 256 << 10;

/// Why there is no automaton.
#[derive(Debug)]
pub(crate) enum NamePatternError {
    /// It is no expression, or one that was not tried. With what is wrong.
    Syntax(String),
    /// It was tried, and needs more than [`MAX_AUTOMATON_BYTES`], or more than it may on the way there.
    TooLarge,
}

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct NamePattern(sparse::DFA<Vec<u8>>);

impl NamePattern {
    /// Compiles an expression.
    pub(crate) fn compile(pattern: &str) -> Result<Self, NamePatternError> {
        let syntax = |why: String| Err(NamePatternError::Syntax(why));
        if pattern.len() > MAX_PATTERN_BYTES {
            return syntax(format!("it is longer than {MAX_PATTERN_BYTES} bytes"));
        }
        let Translated { pattern, properties, .. } =
            translate(pattern.as_bytes(), false).map_err(NamePatternError::Syntax)?;
        if properties > MAX_PROPERTIES {
            return syntax(format!("it names more than {MAX_PROPERTIES} classes of Unicode"));
        }
        // The translation is valid.
        let Ok(parsed) = ParserBuilder::new().utf8(false).nest_limit(MAX_NESTING).build().parse(&pattern) else {
            return syntax(format!("it is nested deeper than {MAX_NESTING} levels"));
        };
        let states = thompson::Compiler::new()
            .configure(
                thompson::Config::new()
                    .utf8(false)
                    .which_captures(WhichCaptures::None)
                    .nfa_size_limit(Some(MAX_STATES_BYTES)),
            )
            .build_from_hir(&ascii(parsed))
            .map_err(|_| NamePatternError::TooLarge)?;
        let automaton = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .accelerate(false)
                    .start_kind(StartKind::Unanchored)
                    .dfa_size_limit(Some(MAX_AUTOMATON_BYTES))
                    .determinize_size_limit(Some(MAX_SCRATCH_BYTES)),
            )
            .build_from_nfa(&states)
            .map_err(|_| NamePatternError::TooLarge)?;
        let automaton = automaton.to_sparse().map_err(|_| NamePatternError::TooLarge)?;
        if automaton.memory_usage() > MAX_AUTOMATON_BYTES {
            return Err(NamePatternError::TooLarge);
        }
        Ok(Self(automaton))
    }

    /// Whether the expression is found in a name.
    pub(crate) fn is_match(&self, name: &str) -> bool {
        self.0.try_search_fwd(&Input::new(name).earliest(true)).is_ok_and(|found| found.is_some())
    }

    /// What is kept of it.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.0.memory_usage()
    }
}

/// An expression that finds in ASCII texts what the other one does: classes of Unicode are hundreds of states.
fn ascii(expression: Hir) -> Hir {
    match expression.into_kind() {
        HirKind::Class(Class::Unicode(mut class)) => {
            class.intersect(&ClassUnicode::new([ClassUnicodeRange::new('\0', '\x7f')]));
            Hir::class(Class::Unicode(class))
        }
        HirKind::Class(class @ Class::Bytes(_)) => Hir::class(class),
        HirKind::Repetition(mut repetition) => {
            *repetition.sub = ascii(*repetition.sub);
            Hir::repetition(repetition)
        }
        HirKind::Capture(group) => ascii(*group.sub),
        HirKind::Concat(parts) => Hir::concat(parts.into_iter().map(ascii).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.into_iter().map(ascii).collect()),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Empty => Hir::empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Groups, Pattern};
    use super::*;
    use crate::gocompat::template::{Context, Environment, Limits};

    const NAMES: [&str; 14] = [
        "",
        "a",
        "b",
        "ab",
        "app-1",
        "app-12",
        "my-app",
        "my-app-1",
        "a.b",
        "a-b",
        "k",
        "tls.example.com",
        "0",
        "x-app-1y",
    ];

    #[test]
    fn names_are_found_as_by_a_search_in_any_text() {
        for pattern in [
            "^$",
            "^a$",
            "^a|b$",
            "^app-.*$",
            "^app-[0-9]{1,3}$",
            r"^app-\d+$",
            r"^\w+$",
            r"^[\w.]+$",
            r"app\b",
            r"\Ba",
            "^(?i)APP-1$",
            "(?i)\u{212a}",
            r"^\pL+$",
            r"^\PL+$",
            "^[^a]$",
            "^[[:alpha:]]+$",
            "ä|^b$",
            "^(?:a|b|)$",
            "^(a(b)?)+$",
            r"^\Qa.b\E$",
            "^.?$",
            "(?s)^.+$",
            "(?m)^ab$",
            r"\Aa\z",
            "^(?U)a+b*$",
            "[ab]*b",
            "^[ä]$",
            "^$a",
        ] {
            let mut context = Context::new(&Limits::default(), &Environment::default());
            let Ok(other) = Pattern::compile(&mut context, pattern.as_bytes(), Groups::Ignored) else {
                panic!("{pattern}")
            };
            let found = NamePattern::compile(pattern).unwrap();
            for name in NAMES {
                assert_eq!(found.is_match(name), other.regex().is_match(name.as_bytes()), "{pattern} in {name:?}");
            }
        }
    }

    #[test]
    fn an_expression_is_small_or_there_is_none() {
        for fits in ["^app-.*$", "^[a-z0-9-]{1,253}$", r"^\pL{1,5}$", "^(dev|test|prod)-[a-z]+-tls$", r"^[\pL\pN]+$"] {
            let bytes = NamePattern::compile(fits).unwrap().bytes();
            assert!(bytes <= MAX_AUTOMATON_BYTES + size_of::<NamePattern>(), "{fits}: {bytes}");
        }
        for large in ["^[ab]*a[ab]{14}x$", "^((a{100}){100}){100}$", "^(x?){1000}$", "^[a-z]{1,1000}[0-9]$"] {
            assert!(matches!(NamePattern::compile(large), Err(NamePatternError::TooLarge)), "{large}");
        }
        for (wrong, why) in [
            ("(", "missing closing )".to_owned()),
            (&*"a".repeat(2000), "longer than".to_owned()),
            (&*r"\pL".repeat(11), "classes of Unicode".to_owned()),
            (&*format!("{}a{}", "(".repeat(300), ")".repeat(300)), "nested deeper".to_owned()),
        ] {
            match NamePattern::compile(wrong) {
                Err(NamePatternError::Syntax(text)) => assert!(text.contains(&why), "{wrong}: {text}"),
                other => panic!("{wrong}: {other:?}"),
            }
        }
    }
}
