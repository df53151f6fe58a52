//! What the executor computes with: Go's `reflect.Value`.
//!
//! Whether a value was found inside an `interface {}` shows in error texts, and a nil found there is another thing than
//! a map entry that is missing.

use super::types::Type;
use super::value::CallError;
use super::value::Value;

/// The result of an expression. (`reflect.Value`)
#[derive(Clone, Debug)]
pub(super) enum Operand {
    /// No value: of a key that a map does not have.
    Invalid,
    /// An `interface {}` that is nil.
    NilInterface,
    /// An `interface {}` with something in it: an element of a `map[string]interface {}`.
    Interface(Value),
    /// A value of a type of its own.
    Plain(Value),
}

impl Operand {
    /// An element of a list or map whose elements are of type `elem`.
    pub fn element(value: Value, elem: Type) -> Operand {
        match (value, elem) {
            (Value::Nil, _) => Operand::NilInterface,
            (value, Type::Any) => Operand::Interface(value),
            (value, _) => Operand::Plain(value),
        }
    }

    /// What a function that is declared to give `interface {}` or a type of its own has given.
    pub fn result(value: Value) -> Operand {
        match value {
            Value::Nil => Operand::NilInterface,
            value => Operand::Plain(value),
        }
    }

    /// What is inside the interface, if this is one. (`indirectInterface`)
    pub fn unwrapped(self) -> Operand {
        match self {
            Operand::Interface(value) => Operand::Plain(value),
            Operand::NilInterface => Operand::Invalid,
            other => other,
        }
    }

    /// The value, nil if there is none.
    pub fn value(&self) -> &Value {
        match self {
            Operand::Interface(value) | Operand::Plain(value) => value,
            Operand::Invalid | Operand::NilInterface => &Value::Nil,
        }
    }

    pub fn into_value(self) -> Value {
        match self {
            Operand::Interface(value) | Operand::Plain(value) => value,
            Operand::Invalid | Operand::NilInterface => Value::Nil,
        }
    }

    /// `Type().String()`. Go panics where there is no value; callers have made sure.
    pub fn type_name(&self) -> String {
        match self {
            Operand::Interface(_) | Operand::NilInterface => Type::Any.to_string(),
            _ => self.value().type_name(),
        }
    }

    /// As an argument of this type, or what is wrong with that. (`validateType`)
    pub fn assign(self, to: Type) -> Result<Operand, CallError> {
        if to == Type::Reflect || matches!((&self, to), (Operand::NilInterface, Type::Any)) {
            return Ok(self);
        }
        match &self {
            Operand::Invalid if to.can_be_nil() => Ok(Operand::Invalid),
            Operand::Invalid => Err(CallError::new(format!("invalid value; expected {to}"))),
            Operand::NilInterface => {
                Err(CallError::new(format!("wrong type for value; expected {to}; got {}", Type::Any)))
            }
            Operand::Interface(value) | Operand::Plain(value) => {
                if to == Type::Any || value.go_type() == Some(to) {
                    return Ok(self);
                }
                let got = value.type_name();
                Err(CallError::new(format!("wrong type for value; expected {to}; got {got}")))
            }
        }
    }

    /// As a function takes the argument: nil lists and maps have a type.
    pub fn argument(self, of: Type) -> Value {
        match (self.into_value(), of) {
            (Value::Nil, Type::List(elem)) => super::List::nil(*elem).into(),
            (Value::Nil, Type::Map(elem)) => super::Map::nil(*elem).into(),
            (value, _) => value,
        }
    }
}
