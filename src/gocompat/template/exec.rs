//! Walks a template and writes what it says (`text/template/exec.go`).

use super::error::TemplateError;
use super::format::print_action;
use super::node::{self, Branch, Command, Node, Pipe, Tree};
use super::operand::Operand;
use super::set::Set;
use super::strconv::{quote_text, to_text};
use super::types::Type;
use super::value::{CallError, Context, Environment, Limits, Str, Value};

mod call;
mod eval;

type Result<T> = std::result::Result<T, TemplateError>;

/// How deep actions, pipelines and templates may be nested in sum while they run: what the stack of a thread carries.
const MAX_FRAMES: usize = 400;

/// An error quotes no more of a value than this.
const MAX_QUOTED_BYTES: usize = 4096;

/// What an error is about.
#[derive(Clone, Copy)]
enum At<'s> {
    Nothing,
    Pipe(&'s Pipe),
    Command(&'s Command),
    Operand(&'s node::Operand),
    Call(&'s node::Call),
}

/// Where a walk goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

struct State<'s, 'e> {
    set: &'s Set,
    context: &'e mut Context,
    out: Vec<u8>,
    /// The template that is being executed, and its variables.
    tree: &'s Tree,
    vars: Vec<(&'s str, Operand)>,
    at: At<'s>,
    /// How deep templates have called templates.
    depth: usize,
    frames: usize,
}

impl Set {
    /// Executes the template of this name with `data` as its dot, and gives what it writes.
    ///
    /// Maps in `data` that the template changes stay changed, as in VSO, where all templates of an object share their
    /// input.
    ///
    /// # Errors
    /// What Go says, or which of the limits is reached.
    pub fn execute(&self, name: &str, data: &Value, limits: &Limits) -> Result<Vec<u8>> {
        self.execute_in(name, data, &mut Context::new(limits, &Environment::default()))
    }

    /// [`Set::execute`] with what the templates before have left of the limits.
    ///
    /// # Errors
    /// As [`Set::execute`].
    pub fn execute_in(&self, name: &str, data: &Value, context: &mut Context) -> Result<Vec<u8>> {
        let Some(tree) = self.trees.get(name) else {
            let name = quote_text(name);
            return Err(TemplateError::new(format!("template: no template {name} associated with template \"\"")));
        };
        let dot = match data {
            Value::Nil => Operand::Invalid,
            data => Operand::Plain(data.clone()),
        };
        let vars = vec![("$", dot.clone())];
        let mut state = State { set: self, context, out: Vec::new(), tree, vars, at: At::Nothing, depth: 0, frames: 0 };
        state.walk(&dot, &tree.root)?;
        Ok(state.out)
    }
}

impl<'s> State<'s, '_> {
    /// An error at where the execution is.
    fn error(&self, error: &CallError) -> TemplateError {
        let (pos, context) = match self.at {
            At::Nothing => (0, String::new()),
            At::Pipe(pipe) => (pipe.pos, pipe.to_string()),
            At::Command(command) => (command.pos, command.to_string()),
            At::Operand(operand) => (operand.pos, operand.to_string()),
            At::Call(call) => (call.pos, call.to_string()),
        };
        let before = self.tree.text.get(..pos).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        let column = pos - before.rfind('\n').map_or(0, |newline| newline + 1);
        let place = match self.at {
            At::Nothing => format!("template: {}: ", self.tree.name),
            _ => format!(
                "template: {}:{line}:{column}: executing {} at <{context}>: ",
                self.tree.source,
                quote_text(&self.tree.name)
            ),
        };
        TemplateError::with_shown(format!("{place}{}", error.go_text()), format!("{place}{}", error.shown()))
    }

    fn fail<T>(&self, text: impl Into<String>) -> Result<T> {
        Err(self.error(&CallError::new(text)))
    }

    /// An error whose text in Go ends with a value.
    fn fail_with_value<T>(&mut self, before: &str, value: &Value, after: &str) -> Result<T> {
        let printed = print_action(self.context, value).unwrap_or_else(|_| b"...".to_vec());
        let text = format!("{before}{}{after}", to_text(printed.get(..MAX_QUOTED_BYTES).unwrap_or(&printed)));
        Err(self.error(&CallError::secret(text, format!("{before}<redacted>{after}"))))
    }

    fn check<T>(&self, result: std::result::Result<T, CallError>) -> Result<T> {
        result.map_err(|error| self.error(&error))
    }

    fn step(&mut self) -> Result<()> {
        let counted = self.context.step(1);
        self.check(counted)
    }

    /// Counts a frame of the stack for as long as `run` runs.
    fn nested<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.frames >= MAX_FRAMES {
            return self.fail("template is nested too deep");
        }
        self.frames += 1;
        let result = run(self);
        self.frames -= 1;
        result
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let counted = self.context.write(bytes.len());
        self.check(counted)?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn walk(&mut self, dot: &Operand, nodes: &'s [Node]) -> Result<Flow> {
        for node in nodes {
            self.step()?;
            let flow = match node {
                Node::Text(text) => {
                    self.write(text)?;
                    Flow::Next
                }
                Node::Action(pipe) => {
                    self.action(dot, pipe)?;
                    Flow::Next
                }
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
                Node::If(branch) => self.nested(|s| s.walk_if_or_with(dot, branch, false))?,
                Node::With(branch) => self.nested(|s| s.walk_if_or_with(dot, branch, true))?,
                Node::Range(branch) => self.nested(|s| s.walk_range(dot, branch))?,
                Node::Template(call) => {
                    self.nested(|s| s.walk_template(dot, call))?;
                    Flow::Next
                }
            };
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn action(&mut self, dot: &Operand, pipe: &'s Pipe) -> Result<()> {
        let value = self.eval_pipeline(dot, pipe)?;
        if !pipe.decl.is_empty() {
            return Ok(());
        }
        match value.value() {
            Value::Nil => self.write(b"<no value>"),
            Value::Str(text) => self.write(text),
            value => {
                let printed = print_action(self.context, value);
                self.context.end_call();
                let printed = self.check(printed)?;
                self.write(&printed)
            }
        }
    }

    fn walk_if_or_with(&mut self, dot: &Operand, branch: &'s Branch, with: bool) -> Result<Flow> {
        let mark = self.vars.len();
        let mut taken = branch.else_list.as_deref().map(|list| (None, list));
        for arm in &branch.arms {
            let value = self.eval_pipeline(dot, &arm.pipe)?;
            if value.value().is_true() {
                taken = Some((with.then_some(value), &arm.list));
                break;
            }
        }
        let flow = match taken {
            Some((value, list)) => self.walk(value.as_ref().unwrap_or(dot), list)?,
            None => Flow::Next,
        };
        self.vars.truncate(mark);
        Ok(flow)
    }

    fn walk_range(&mut self, dot: &Operand, branch: &'s Branch) -> Result<Flow> {
        // A `range` has one arm.
        let Some(arm) = branch.arms.first() else { return Ok(Flow::Next) };
        let start = self.vars.len();
        let value = self.eval_pipeline(dot, &arm.pipe)?.into_value();
        let mark = self.vars.len();
        let mut ran = false;
        let mut iterate = |state: &mut Self, index: Operand, element: Operand| -> Result<Flow> {
            ran = true;
            state.iteration(&arm.pipe, index, element.clone())?;
            let flow = state.walk(&element, &arm.list)?;
            state.vars.truncate(mark);
            state.step()?;
            Ok(flow)
        };
        match &value {
            Value::Int(..) | Value::Uint(..) | Value::Duration(_) => {
                if arm.pipe.decl.len() > 1 {
                    return self.fail_with_value("can't use ", &value, " to iterate over more than one variable");
                }
                let end = match &value {
                    Value::Int(i, _) | Value::Duration(i) => u64::try_from(*i).unwrap_or(0),
                    Value::Uint(u, _) => *u,
                    _ => 0,
                };
                for i in 0..end {
                    let element = match &value {
                        Value::Int(_, kind) => Value::Int(i as i64, *kind),
                        Value::Uint(_, kind) => Value::Uint(i, *kind),
                        _ => Value::Duration(i as i64),
                    };
                    if iterate(self, Operand::Invalid, Operand::Plain(element))? == Flow::Break {
                        break;
                    }
                }
            }
            Value::List(list) => {
                // Go takes the length before the first turn, and each element when its turn comes.
                for i in 0..list.len() {
                    let element = Operand::element(list.get(i).unwrap_or(Value::Nil), list.elem());
                    if iterate(self, Operand::Plain(Value::int(i as i64)), element)? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Bytes(bytes) => {
                for (i, byte) in bytes.iter().enumerate() {
                    let element = Value::Uint(u64::from(*byte), super::UintKind::Uint8);
                    if iterate(self, Operand::Plain(Value::int(i as i64)), Operand::Plain(element))? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                // The entries as they are now, held for as long as the loop goes on.
                let held = self.context.hold(map.len().saturating_mul(size_of::<(Str, Value)>()));
                let _held = self.check(held)?;
                for (key, element) in map.entries() {
                    let element = Operand::element(element, map.elem());
                    if iterate(self, Operand::Plain(Value::Str(key)), element)? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Nil => {}
            // VSO cuts the value off here too.
            other => return self.fail_with_value("range can't iterate over ", other, ""),
        }
        let flow = match &branch.else_list {
            Some(list) if !ran => self.walk(dot, list)?,
            _ => Flow::Next,
        };
        self.vars.truncate(start);
        Ok(flow)
    }

    /// Sets the variables of a `range` for one iteration.
    fn iteration(&mut self, pipe: &'s Pipe, index: Operand, element: Operand) -> Result<()> {
        match (pipe.decl.as_slice(), pipe.assign) {
            ([name], true) => self.set_var(name, element),
            ([first, second, ..], true) => {
                self.set_var(first, index)?;
                self.set_var(second, element)
            }
            (names, _) => {
                // The pipeline has just declared them: they are the last.
                let values = if names.len() > 1 { vec![index, element] } else { vec![element] };
                let declared = self.vars.len() - names.len().min(self.vars.len());
                for ((_, value), new) in self.vars[declared..].iter_mut().zip(values) {
                    *value = new;
                }
                Ok(())
            }
        }
    }

    fn walk_template(&mut self, dot: &Operand, call: &'s node::Call) -> Result<()> {
        self.at = At::Call(call);
        let Some(tree) = self.set.trees.get(&call.name) else {
            return self.fail(format!("template {} not defined", quote_text(&call.name)));
        };
        if self.depth >= self.context.max_depth() {
            return self.fail(format!("exceeded maximum template depth ({})", self.context.max_depth()));
        }
        let dot = match &call.pipe {
            Some(pipe) => self.eval_pipeline(dot, pipe)?,
            None => Operand::Invalid,
        };
        // A template sees none of the variables of its caller.
        let vars = std::mem::replace(&mut self.vars, vec![("$", dot.clone())]);
        let caller = std::mem::replace(&mut self.tree, tree);
        self.depth += 1;
        self.walk(&dot, &tree.root)?;
        self.depth -= 1;
        self.tree = caller;
        self.vars = vars;
        Ok(())
    }

    fn set_var(&mut self, name: &str, value: Operand) -> Result<()> {
        match self.vars.iter_mut().rev().find(|(n, _)| *n == name) {
            Some((_, old)) => {
                *old = value;
                Ok(())
            }
            None => self.fail(format!("undefined variable: {name}")),
        }
    }

    fn var(&self, name: &str) -> Result<Operand> {
        match self.vars.iter().rev().find(|(n, _)| *n == name) {
            Some((_, value)) => Ok(value.clone()),
            None => self.fail(format!("undefined variable: {name}")),
        }
    }

    /// Whether the operand can be given to a parameter of this type.
    fn assign(&self, value: Operand, to: Type) -> Result<Operand> {
        self.check(value.assign(to))
    }
}
