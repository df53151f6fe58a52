//! Which templates call a function that gives another value each time.

use std::collections::BTreeSet;

use super::node::{Branch, Node, Operand, OperandKind, Pipe};
use super::set::Set;

impl Set {
    /// Whether the template of this name calls, itself or through the templates that it calls, a function that is
    /// [volatile](super::Function::volatile). A call counts also where no input leads to it.
    pub fn is_volatile(&self, name: &str) -> bool {
        Search { set: self, seen: BTreeSet::new() }.template(name)
    }
}

struct Search<'s> {
    set: &'s Set,
    /// Templates that were looked into: they may call each other.
    seen: BTreeSet<&'s str>,
}

impl<'s> Search<'s> {
    fn template(&mut self, name: &str) -> bool {
        let Some((name, tree)) = self.set.trees.get_key_value(name) else { return false };
        self.seen.insert(name) && self.list(&tree.root)
    }

    fn list(&mut self, nodes: &'s [Node]) -> bool {
        nodes.iter().any(|node| match node {
            Node::Text(_) | Node::Break | Node::Continue => false,
            Node::Action(pipe) => self.pipe(pipe),
            Node::If(branch) | Node::Range(branch) | Node::With(branch) => self.branch(branch),
            Node::Template(call) => call.pipe.as_ref().is_some_and(|pipe| self.pipe(pipe)) || self.template(&call.name),
        })
    }

    fn branch(&mut self, branch: &'s Branch) -> bool {
        branch.arms.iter().any(|arm| self.pipe(&arm.pipe) || self.list(&arm.list))
            || branch.else_list.as_ref().is_some_and(|list| self.list(list))
    }

    fn pipe(&mut self, pipe: &Pipe) -> bool {
        pipe.commands.iter().flat_map(|command| &command.args).any(|operand| self.operand(operand))
    }

    fn operand(&mut self, operand: &Operand) -> bool {
        match &operand.kind {
            OperandKind::Identifier(name) => self.set.functions.get(name).is_some_and(|function| function.volatile),
            OperandKind::Pipe(pipe) => self.pipe(pipe),
            OperandKind::Chain { operand, .. } => self.operand(operand),
            OperandKind::Bool(_)
            | OperandKind::Dot
            | OperandKind::Nil
            | OperandKind::Number(_)
            | OperandKind::String { .. }
            | OperandKind::Field(_)
            | OperandKind::Variable(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Function, Functions, Value};
    use super::*;

    static DICE: &[Function] = &[Function {
        name: "dice",
        params: &[],
        variadic: Some(super::super::Type::Any),
        call: |_, _| Ok(Value::int(4)),
        volatile: true,
    }];

    fn volatile(sources: &[(&str, &str)]) -> bool {
        Set::parse(sources, &Functions::new().with(DICE)).unwrap().is_volatile("main")
    }

    #[test]
    fn a_call_is_found_wherever_it_stands() {
        for text in [
            "{{ dice }}",
            "{{ dice .x }}",
            "{{ .x | dice }}",
            "{{ \"x\" | dice | len }}",
            "{{ print 1 (len (print dice)) }}",
            "{{ (dice .x).y }}",
            "{{ $x := dice }}",
            "{{ if dice }}{{ end }}",
            "{{ if .x }}{{ dice }}{{ end }}",
            "{{ if .x }}{{ else if dice }}{{ end }}",
            "{{ if .x }}{{ else if .y }}{{ dice }}{{ end }}",
            "{{ if .x }}{{ else }}{{ dice }}{{ end }}",
            "{{ range dice }}{{ end }}",
            "{{ range .x }}{{ with .y }}{{ dice }}{{ end }}{{ else }}{{ end }}",
            "{{ range .x }}{{ break }}{{ else }}{{ dice }}{{ end }}",
            "{{ with .x }}{{ else with dice }}{{ end }}",
            "{{ block \"b\" . }}{{ dice }}{{ end }}",
            "{{ block \"b\" dice }}{{ end }}",
            "{{ define \"a\" }}{{ dice }}{{ end }}{{ template \"a\" }}",
            "{{ define \"a\" }}{{ template \"b\" }}{{ end }}{{ define \"b\" }}{{ dice }}{{ end }}{{ template \"a\" }}",
            "{{ define \"a\" }}{{ if .x }}{{ template \"a\" . }}{{ end }}{{ dice }}{{ end }}{{ template \"a\" }}",
        ] {
            assert!(volatile(&[("main", text)]), "{text}");
        }
        assert!(volatile(&[("other", "{{ dice }}"), ("main", "{{ template \"other\" . }}")]));
    }

    #[test]
    fn what_is_no_call_does_not_count() {
        for text in [
            "",
            "dice",
            "{{ \"dice\" }}",
            "{{ `{{ dice }}` }}",
            "{{/* dice */}}",
            "{{ .dice }}{{ .x.dice }}{{ $dice := 1 }}{{ $dice }}",
            "{{ $.dice }}{{ (print .x).dice }}",
            "{{ template \"dice\" }}",
            "{{ define \"dice\" }}x{{ end }}{{ template \"dice\" }}",
            "{{ define \"a\" }}{{ template \"a\" }}{{ end }}{{ template \"a\" }}",
            "{{ define \"never called\" }}{{ dice }}{{ end }}",
            "{{ define \"a\" }}{{ dice }}{{ end }}{{ define \"b\" }}{{ template \"a\" }}{{ end }}",
        ] {
            assert!(!volatile(&[("main", text)]), "{text}");
        }
        assert!(!volatile(&[("other", "{{ dice }}"), ("main", "x")]), "a template that is not called");
        assert!(
            !volatile(&[("a", "{{ dice }}"), ("a", "x"), ("main", "{{ template \"a\" }}")]),
            "one that is replaced"
        );
    }
}
