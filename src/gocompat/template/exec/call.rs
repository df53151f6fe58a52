//! Calls: the arguments, their number and their types.

use std::sync::Arc;

use super::super::builtins::{self, Builtin};
use super::super::node::{self, OperandKind};
use super::super::operand::Operand;
use super::super::strconv::quote_text;
use super::super::types::{Kind, Type};
use super::super::value::functions::{Function, Method};
use super::super::value::{CallError, Object, Str, Value};
use super::{At, Result, State};

/// What a function is called with: the operands after it, and what the pipeline brings.
#[derive(Default)]
pub(super) struct Arguments<'s> {
    pub args: &'s [node::Operand],
    pub last: Option<Operand>,
}

impl Arguments<'_> {
    pub fn is_empty(&self) -> bool {
        self.args.is_empty() && self.last.is_none()
    }
}

/// What is called.
pub(super) enum Callee {
    Builtin(&'static Builtin),
    Function(&'static Function),
    Method(&'static Method, Arc<dyn Object>),
    Number(&'static NumberMethod, Str),
}

/// A method of `json.Number`.
pub(super) struct NumberMethod {
    pub name: &'static str,
    call: fn(&Str) -> std::result::Result<Value, CallError>,
}

pub(super) static NUMBER_METHODS: [NumberMethod; 3] = [
    NumberMethod { name: "Float64", call: number_float },
    NumberMethod { name: "Int64", call: number_int },
    NumberMethod { name: "String", call: |number| Ok(Value::Str(number.clone())) },
];

fn number_float(number: &Str) -> std::result::Result<Value, CallError> {
    let float = number.to_text().parse::<f64>().ok();
    match float.filter(|f| f.is_finite()) {
        Some(float) => Ok(Value::Float(float)),
        None => Err(number_error("ParseFloat", number, float.is_some())),
    }
}

fn number_int(number: &Str) -> std::result::Result<Value, CallError> {
    let text = number.to_text();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    text.parse().map(Value::int64).map_err(|_| number_error("ParseInt", number, all_digits))
}

fn number_error(function: &str, number: &Str, is_number: bool) -> CallError {
    let why = if is_number { "value out of range" } else { "invalid syntax" };
    let text = quote_text(&number.to_text());
    CallError::secret(
        format!("strconv.{function}: parsing {text}: {why}"),
        format!("strconv.{function}: parsing <redacted>: {why}"),
    )
}

impl Callee {
    fn params(&self) -> (&'static [Type], Option<Type>) {
        match self {
            Callee::Builtin(builtin) => (builtin.params, builtin.variadic),
            Callee::Function(function) => (function.params, function.variadic),
            Callee::Method(method, _) => (method.params, method.variadic),
            Callee::Number(..) => (&[], None),
        }
    }

    fn param(&self, index: usize) -> Type {
        let (params, variadic) = self.params();
        params.get(index).copied().or(variadic).unwrap_or(Type::Any)
    }
}

impl<'s> State<'s, '_> {
    pub(super) fn eval_function(
        &mut self,
        dot: &Operand,
        name: &'s str,
        node: At<'s>,
        arguments: Arguments<'s>,
    ) -> Result<Operand> {
        let callee = match self.set.functions.get(name) {
            Some(function) => Callee::Function(function),
            None => match builtins::find(name) {
                Some(builtin) => Callee::Builtin(builtin),
                None => return self.fail(format!("{} is not a defined function", quote_text(name))),
            },
        };
        self.eval_call(dot, &callee, node, name, arguments)
    }

    pub(super) fn eval_call(
        &mut self,
        dot: &Operand,
        callee: &Callee,
        node: At<'s>,
        name: &'s str,
        arguments: Arguments<'s>,
    ) -> Result<Operand> {
        let Arguments { args, last } = arguments;
        self.check_count(callee, name, args.len(), last.is_some())?;
        let logic = matches!(callee, Callee::Builtin(_)) && matches!(name, "and" | "or");
        let mut values = Vec::with_capacity(args.len() + 1);
        for (i, arg) in args.iter().enumerate() {
            let value = self.eval_arg(dot, Some(callee.param(i)), arg)?;
            if logic && value.value().is_true() == (name == "or") {
                return Ok(value);
            }
            values.push(value);
        }
        let constant = last.is_none() && args.iter().all(|arg| arg.is_constant() && !is_dot(arg));
        // Only the error of `call` names what is called.
        let is_call = matches!(callee, Callee::Builtin(_)) && name == "call";
        let mut callee_name = if is_call { args.first().map(ToString::to_string) } else { None };
        if let Some(last) = last {
            if is_call {
                callee_name.get_or_insert_with(|| reflect_string(&last));
            }
            values.push(self.assign(last, callee.param(args.len()))?);
        }
        if logic {
            return Ok(values.pop().unwrap_or(Operand::Invalid));
        }
        self.context.set_constant_arguments(constant);
        let counted = self.context.begin_call(values.iter().map(Operand::value));
        let called = counted.and_then(|()| match callee {
            Callee::Builtin(builtin) => {
                if is_call {
                    values.insert(0, Operand::Plain(Value::str(callee_name.unwrap_or_default())));
                }
                (builtin.call)(self.context, values)
            }
            Callee::Function(function) => {
                let values = typed(values, callee);
                (function.call)(self.context, &values).map(Operand::result)
            }
            Callee::Method(method, object) => {
                let values = typed(values, callee);
                (method.call)(self.context, object.as_ref(), &values).map(Operand::result)
            }
            Callee::Number(method, number) => (method.call)(number).map(Operand::result),
        });
        self.context.end_call();
        let called = called.and_then(|mut value| {
            if let Operand::Plain(value) | Operand::Interface(value) = &mut value {
                self.context.account(value)?;
            }
            Ok(value)
        });
        called.map_err(|error| {
            self.at = node;
            let text = |text: &str| format!("error calling {name}: {text}");
            self.error(&CallError::secret(text(error.go_text()), text(error.shown())))
        })
    }

    fn check_count(&self, callee: &Callee, name: &str, args: usize, last: bool) -> Result<()> {
        let (params, variadic) = callee.params();
        let (want, got) = (params.len(), args + usize::from(last));
        match variadic {
            // Go counts only the written arguments here.
            Some(_) if got < want => {
                self.fail(format!("wrong number of args for {name}: want at least {want} got {args}"))
            }
            None if got != want => self.fail(format!("wrong number of args for {name}: want {want} got {got}")),
            _ => Ok(()),
        }
    }
}

fn is_dot(arg: &node::Operand) -> bool {
    matches!(arg.kind, OperandKind::Dot)
}

fn typed(values: Vec<Operand>, callee: &Callee) -> Vec<Value> {
    values.into_iter().enumerate().map(|(i, value)| value.argument(callee.param(i))).collect()
}

/// `reflect.Value.String`
fn reflect_string(value: &Operand) -> String {
    match value.value() {
        Value::Nil => "<invalid Value>".to_owned(),
        value => match (value.as_string(), value.kind()) {
            (Some(text), Kind::String) => text.to_text(),
            _ => format!("<{} Value>", value.type_name()),
        },
    }
}
