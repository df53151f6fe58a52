//! Pipelines, commands, fields and constants.

use super::super::node::{self, Command, Number, OperandKind, Pipe};
use super::super::operand::Operand;
use super::super::strconv::quote_text;
use super::super::types::{IntKind, Kind, Type};
use super::super::value::{Object, Value};
use super::call::{Arguments, Callee, NUMBER_METHODS};
use super::{At, Result, State};

impl<'s> State<'s, '_> {
    pub(super) fn eval_pipeline(&mut self, dot: &Operand, pipe: &'s Pipe) -> Result<Operand> {
        self.at = At::Pipe(pipe);
        let mut value = None;
        for command in &pipe.commands {
            self.step()?;
            value = Some(self.nested(|state| state.eval_command(dot, command, value))?.unwrapped());
        }
        let value = value.unwrap_or(Operand::Invalid);
        for name in &pipe.decl {
            if pipe.assign {
                self.set_var(name, value.clone())?;
            } else {
                self.vars.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    fn eval_command(&mut self, dot: &Operand, command: &'s Command, last: Option<Operand>) -> Result<Operand> {
        let Some((first, args)) = command.args.split_first() else { return Ok(Operand::Invalid) };
        match &first.kind {
            OperandKind::Field(fields) => self.eval_fields(dot, dot.clone(), first, fields, Arguments { args, last }),
            OperandKind::Chain { operand, fields } => {
                self.eval_chain(dot, first, operand, fields, Arguments { args, last })
            }
            OperandKind::Identifier(name) => {
                self.at = At::Operand(first);
                self.eval_function(dot, name, At::Command(command), Arguments { args, last })
            }
            OperandKind::Pipe(pipe) => {
                self.not_a_function(first, args, last.as_ref())?;
                self.eval_pipeline(dot, pipe)
            }
            OperandKind::Variable(names) => self.eval_variable(dot, first, names, Arguments { args, last }),
            _ => {
                self.at = At::Operand(first);
                self.not_a_function(first, args, last.as_ref())?;
                match &first.kind {
                    OperandKind::Nil => self.fail("nil is not a command"),
                    _ => self.eval_constant(dot, first),
                }
            }
        }
    }

    fn not_a_function(&self, first: &node::Operand, args: &[node::Operand], last: Option<&Operand>) -> Result<()> {
        if args.is_empty() && last.is_none() {
            return Ok(());
        }
        self.fail(format!("can't give argument to non-function {first}"))
    }

    /// The value of a constant or of dot where any type will do.
    fn eval_constant(&mut self, dot: &Operand, operand: &'s node::Operand) -> Result<Operand> {
        self.at = At::Operand(operand);
        match &operand.kind {
            OperandKind::Bool(b) => Ok(Operand::Plain(Value::Bool(*b))),
            OperandKind::Dot => Ok(dot.clone()),
            OperandKind::Number(number) => self.ideal_constant(number),
            OperandKind::String { text, .. } => Ok(Operand::Plain(Value::Str(text.clone()))),
            _ => self.fail(format!("can't handle assignment of {operand} to empty interface argument")),
        }
    }

    /// A number whose type only its syntax tells.
    fn ideal_constant(&self, number: &Number) -> Result<Operand> {
        let text = number.text.as_str();
        let is_hex = text.starts_with("0x") || text.starts_with("0X");
        let is_hex_int = text.len() > 2 && is_hex && !text.contains(['p', 'P']);
        let looks_float = !is_hex_int && !text.starts_with('\'') && text.contains(['.', 'e', 'E', 'p', 'P']);
        Ok(Operand::Plain(match number {
            Number { complex: Some((re, im)), .. } => Value::Complex(*re, *im),
            Number { float: Some(float), .. } if looks_float => Value::Float(*float),
            Number { int: Some(int), .. } => Value::int(*int),
            Number { uint: Some(_), .. } => return self.fail(format!("{text} overflows int")),
            _ => return Ok(Operand::Invalid),
        }))
    }

    fn eval_chain(
        &mut self,
        dot: &Operand,
        node: &'s node::Operand,
        operand: &'s node::Operand,
        fields: &'s [String],
        arguments: Arguments<'s>,
    ) -> Result<Operand> {
        self.at = At::Operand(node);
        if let OperandKind::Nil = operand.kind {
            return self.fail(format!("indirection through explicit nil in {node}"));
        }
        let receiver = self.eval_arg(dot, None, operand)?;
        self.eval_field_chain(dot, receiver, node, fields, arguments)
    }

    fn eval_variable(
        &mut self,
        dot: &Operand,
        node: &'s node::Operand,
        names: &'s [String],
        arguments: Arguments<'s>,
    ) -> Result<Operand> {
        self.at = At::Operand(node);
        let Some((name, fields)) = names.split_first() else { return Ok(Operand::Invalid) };
        let value = self.var(name)?;
        if fields.is_empty() {
            if arguments.is_empty() {
                return Ok(value);
            }
            return self.fail(format!("can't give argument to non-function {node}"));
        }
        self.eval_field_chain(dot, value, node, fields, arguments)
    }

    fn eval_fields(
        &mut self,
        dot: &Operand,
        receiver: Operand,
        node: &'s node::Operand,
        fields: &'s [String],
        arguments: Arguments<'s>,
    ) -> Result<Operand> {
        self.at = At::Operand(node);
        self.eval_field_chain(dot, receiver, node, fields, arguments)
    }

    fn eval_field_chain(
        &mut self,
        dot: &Operand,
        mut receiver: Operand,
        node: &'s node::Operand,
        fields: &'s [String],
        arguments: Arguments<'s>,
    ) -> Result<Operand> {
        let Some((last, path)) = fields.split_last() else { return Ok(receiver) };
        for field in path {
            receiver = self.eval_field(dot, field, node, Arguments::default(), receiver)?;
        }
        // Only the last can be a method with arguments.
        self.eval_field(dot, last, node, arguments, receiver)
    }

    fn eval_field(
        &mut self,
        dot: &Operand,
        name: &'s str,
        node: &'s node::Operand,
        arguments: Arguments<'s>,
        receiver: Operand,
    ) -> Result<Operand> {
        let type_name = match &receiver {
            Operand::Invalid if self.set.missing_key_is_error => {
                return self.fail(format!("nil data; no entry for key {}", quote_text(name)));
            }
            Operand::Invalid => return Ok(Operand::Invalid),
            Operand::NilInterface => return self.fail(format!("nil pointer evaluating interface {{}}.{name}")),
            receiver => receiver.type_name(),
        };
        match receiver.value() {
            Value::Object(object) => {
                if let Some(method) = object.method(name) {
                    let callee = Callee::Method(method, object.clone());
                    return self.eval_call(dot, &callee, At::Operand(node), name, arguments);
                }
                self.struct_field(object.as_ref(), name, &type_name, &arguments)
            }
            Value::JsonNumber(number) => match NUMBER_METHODS.iter().find(|method| method.name == name) {
                Some(method) => {
                    let callee = Callee::Number(method, number.clone());
                    self.eval_call(dot, &callee, At::Operand(node), name, arguments)
                }
                None => self.no_field(name, &type_name),
            },
            Value::Map(map) => {
                if !arguments.is_empty() {
                    return self.fail(format!("{name} is not a method but has arguments"));
                }
                match map.get(name) {
                    Some(value) => Ok(Operand::element(value, map.elem())),
                    None if self.set.missing_key_is_error => {
                        self.fail(format!("map has no entry for key {}", quote_text(name)))
                    }
                    None => Ok(Operand::Invalid),
                }
            }
            _ => self.no_field(name, &type_name),
        }
    }

    fn no_field<T>(&self, name: &str, type_name: &str) -> Result<T> {
        self.fail(format!("can't evaluate field {name} in type {type_name}"))
    }

    fn struct_field(
        &mut self,
        object: &dyn Object,
        name: &str,
        type_name: &str,
        arguments: &Arguments<'s>,
    ) -> Result<Operand> {
        let field = object.fields().into_iter().find(|(field, ..)| *field == name);
        match field {
            None => self.no_field(name, type_name),
            Some(_) if object.is_nil() => self.fail(format!("nil pointer evaluating {type_name}.{name}")),
            Some((_, false, _)) => self.fail(format!("{name} is an unexported field of struct type {type_name}")),
            Some(_) if !arguments.is_empty() => {
                self.fail(format!("{name} has arguments but cannot be invoked as function"))
            }
            Some((_, true, value)) => Ok(Operand::result(value)),
        }
    }

    /// The value of an argument for a parameter of this type; any type if there is none.
    pub(super) fn eval_arg(&mut self, dot: &Operand, to: Option<Type>, arg: &'s node::Operand) -> Result<Operand> {
        self.at = At::Operand(arg);
        let value = match &arg.kind {
            OperandKind::Dot => dot.clone(),
            OperandKind::Nil => {
                return match to {
                    Some(to) if !to.can_be_nil() => self.fail(format!("cannot assign nil to {to}")),
                    Some(Type::Reflect) => Ok(Operand::Invalid),
                    _ => Ok(Operand::NilInterface),
                };
            }
            OperandKind::Field(fields) => self.eval_fields(dot, dot.clone(), arg, fields, Arguments::default())?,
            OperandKind::Variable(names) => self.eval_variable(dot, arg, names, Arguments::default())?,
            OperandKind::Pipe(pipe) => self.eval_pipeline(dot, pipe)?,
            OperandKind::Identifier(name) => self.eval_function(dot, name, At::Operand(arg), Arguments::default())?,
            OperandKind::Chain { operand, fields } => {
                self.eval_chain(dot, arg, operand, fields, Arguments::default())?
            }
            OperandKind::Bool(_) | OperandKind::Number(_) | OperandKind::String { .. } => {
                return self.typed_constant(dot, to.unwrap_or(Type::Any), arg);
            }
        };
        match to {
            Some(to) => self.assign(value, to),
            None => Ok(value),
        }
    }

    /// A constant for a parameter of this type.
    fn typed_constant(&mut self, dot: &Operand, to: Type, arg: &'s node::Operand) -> Result<Operand> {
        let number = match &arg.kind {
            OperandKind::Number(number) => Some(number),
            _ => None,
        };
        let value = match (to, to.kind()) {
            (Type::Any | Type::Reflect, _) => return self.eval_constant(dot, arg),
            (_, Kind::Bool) => match arg.kind {
                OperandKind::Bool(b) => Some(Value::Bool(b)),
                _ => return self.fail(format!("expected bool; found {arg}")),
            },
            (_, Kind::String) => match &arg.kind {
                OperandKind::String { text, .. } if to == Type::JsonNumber => Some(Value::JsonNumber(text.clone())),
                OperandKind::String { text, .. } => Some(Value::Str(text.clone())),
                _ => return self.fail(format!("expected string; found {arg}")),
            },
            (_, kind) if kind.is_int() => match (number.and_then(|n| n.int), to) {
                (Some(int), Type::Duration) => Some(Value::Duration(int)),
                (Some(int), Type::Int(kind)) => Some(Value::Int(int, kind)),
                (Some(int), _) => Some(Value::Int(int, IntKind::Int)),
                (None, _) => return self.fail(format!("expected integer; found {arg}")),
            },
            (Type::Uint(kind), _) => match number.and_then(|n| n.uint) {
                Some(uint) => Some(Value::Uint(uint, kind)),
                None => return self.fail(format!("expected unsigned integer; found {arg}")),
            },
            (_, Kind::Float64) => match number.and_then(|n| n.float) {
                Some(float) => Some(Value::Float(float)),
                None => return self.fail(format!("expected float; found {arg}")),
            },
            (_, Kind::Complex128) => match number.and_then(|n| n.complex) {
                Some((re, im)) => Some(Value::Complex(re, im)),
                None => return self.fail(format!("expected complex; found {arg}")),
            },
            _ => None,
        };
        match value {
            Some(value) => Ok(Operand::Plain(value)),
            None => self.fail(format!("can't handle {arg} for arg of type {to}")),
        }
    }
}
