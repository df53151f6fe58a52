//! The functions of the language itself (`text/template/funcs.go`). `and` and `or` are with the executor: they do not
//! evaluate more than they need.

use super::format::{sprint, sprintf, sprintln};
use super::operand::Operand;
use super::types::{Type, UintKind};
use super::value::collections::List;
use super::value::{CallError, Context};
use super::value::{Str, Value};

mod compare;
mod escape;

type Result<T> = std::result::Result<T, CallError>;

/// A function of the language.
pub(super) struct Builtin {
    pub name: &'static str,
    pub params: &'static [Type],
    pub variadic: Option<Type>,
    pub call: fn(&mut Context, Vec<Operand>) -> Result<Operand>,
}

const REFLECT: Type = Type::Reflect;

const fn builtin(
    name: &'static str,
    params: &'static [Type],
    variadic: Option<Type>,
    call: fn(&mut Context, Vec<Operand>) -> Result<Operand>,
) -> Builtin {
    Builtin { name, params, variadic, call }
}

static BUILTINS: [Builtin; 19] = [
    builtin("and", &[REFLECT], Some(REFLECT), unreachable_logic),
    builtin("call", &[REFLECT], Some(REFLECT), call),
    builtin("eq", &[REFLECT], Some(REFLECT), |c, args| compare::eq(c, &args).map(of_bool)),
    builtin("ge", &[REFLECT, REFLECT], None, |_, args| compare::ge(&args).map(of_bool)),
    builtin("gt", &[REFLECT, REFLECT], None, |c, args| compare::gt(c, &args).map(of_bool)),
    builtin("html", &[], Some(Type::Any), |c, args| escape::html(c, args).map(of_text)),
    builtin("index", &[REFLECT], Some(REFLECT), index),
    builtin("js", &[], Some(Type::Any), |c, args| escape::js(c, args).map(of_text)),
    builtin("le", &[REFLECT, REFLECT], None, |c, args| compare::le(c, &args).map(of_bool)),
    builtin("len", &[REFLECT], None, |_, args| length(&args)),
    builtin("lt", &[REFLECT, REFLECT], None, |_, args| compare::lt(&args).map(of_bool)),
    builtin("ne", &[REFLECT, REFLECT], None, |c, args| compare::eq(c, &args).map(|equal| of_bool(!equal))),
    builtin("not", &[REFLECT], None, |_, args| Ok(of_bool(!args.iter().all(|arg| arg.value().is_true())))),
    builtin("or", &[REFLECT], Some(REFLECT), unreachable_logic),
    builtin("print", &[], Some(Type::Any), |c, args| sprint(c, &values(args)).map(of_text)),
    builtin("printf", &[Type::String], Some(Type::Any), printf),
    builtin("println", &[], Some(Type::Any), |c, args| sprintln(c, &values(args)).map(of_text)),
    builtin("slice", &[REFLECT], Some(REFLECT), slice),
    builtin("urlquery", &[], Some(Type::Any), |c, args| escape::urlquery(c, args).map(of_text)),
];

/// The function of the language that has this name.
pub(super) fn find(name: &str) -> Option<&'static Builtin> {
    BUILTINS.binary_search_by_key(&name, |builtin| builtin.name).ok().map(|at| &BUILTINS[at])
}

fn of_bool(b: bool) -> Operand {
    Operand::Plain(Value::Bool(b))
}

fn of_text(text: Vec<u8>) -> Operand {
    Operand::Plain(Value::Str(text.into()))
}

fn values(args: Vec<Operand>) -> Vec<Value> {
    args.into_iter().map(Operand::into_value).collect()
}

fn unreachable_logic(_: &mut Context, _: Vec<Operand>) -> Result<Operand> {
    Err(CallError::new("not a function"))
}

fn printf(context: &mut Context, args: Vec<Operand>) -> Result<Operand> {
    let args = values(args);
    let (format, args) = match args.split_first() {
        Some((Value::Str(format), args)) => (format.clone(), args),
        _ => return Err(CallError::new("no format")),
    };
    sprintf(context, &format, args).map(of_text)
}

/// `call`: there are no functions among the values, so there is nothing to call. The executor puts the name first.
fn call(_: &mut Context, args: Vec<Operand>) -> Result<Operand> {
    match args.get(1).map(Operand::value) {
        None | Some(Value::Nil) => Err(CallError::new("call of nil")),
        Some(value) => {
            let name = args[0].value().as_string().map(Str::to_text).unwrap_or_default();
            let of_type = format!("of type {}", value.type_name());
            Err(CallError::secret(format!("non-function {name} {of_type}"), format!("non-function {of_type}")))
        }
    }
}

/// `len`. Go's `len` sees the difference between nil in an interface and no value at all.
fn length(args: &[Operand]) -> Result<Operand> {
    match args.first() {
        Some(Operand::NilInterface) => Err(CallError::new("len of nil pointer")),
        None | Some(Operand::Invalid) => Err(CallError::new("reflect: call of reflect.Value.Type on zero Value")),
        Some(Operand::Interface(value) | Operand::Plain(value)) => match value.len() {
            Some(len) => Ok(Operand::Plain(Value::int(len as i64))),
            None if value.is_nil() => Err(CallError::new("len of nil pointer")),
            None => Err(CallError::new(format!("len of type {}", value.type_name().trim_start_matches('*')))),
        },
    }
}

/// `indexArg`
fn index_arg(context: &Context, index: &Value, cap: usize) -> Result<usize> {
    let at = match index {
        Value::Int(i, _) | Value::Duration(i) => *i,
        Value::Uint(u, _) => *u as i64,
        Value::Nil => return Err(CallError::new("cannot index slice/array with nil")),
        other => return Err(CallError::new(format!("cannot index slice/array with type {}", other.type_name()))),
    };
    match usize::try_from(at) {
        Ok(at) if at <= cap => Ok(at),
        _ => {
            let text = format!("index out of range: {at}");
            let constant = context.constant_arguments();
            Err(if constant { CallError::new(text) } else { CallError::secret(text, "index out of range: <redacted>") })
        }
    }
}

fn index(context: &mut Context, args: Vec<Operand>) -> Result<Operand> {
    let mut args = args.into_iter().map(Operand::unwrapped);
    let mut item = match args.next() {
        None | Some(Operand::Invalid) => return Err(CallError::new("index of untyped nil")),
        Some(item) => item,
    };
    for index in args {
        if let Operand::NilInterface = item {
            return Err(CallError::new("index of nil pointer"));
        }
        let value = item.into_value();
        item = match &value {
            Value::List(list) => {
                let at = index_arg(context, index.value(), list.len())?;
                let element = list.get(at).ok_or_else(|| CallError::new("reflect: slice index out of range"))?;
                Operand::element(element, list.elem())
            }
            Value::Bytes(bytes) => byte(context, bytes, index.value(), "reflect: slice index out of range")?,
            Value::Str(text) | Value::JsonNumber(text) => {
                byte(context, text, index.value(), "reflect: string index out of range")?
            }
            Value::Map(map) => {
                let key = map_key(&index)?;
                match map.get(key) {
                    Some(value) => Operand::element(value, map.elem()),
                    None => zero(map.elem()),
                }
            }
            Value::Nil => return Err(CallError::new("index of nil pointer")),
            value if value.is_nil() => return Err(CallError::new("index of nil pointer")),
            value => {
                let name = value.type_name();
                return Err(CallError::new(format!("can't index item of type {}", name.trim_start_matches('*'))));
            }
        };
    }
    Ok(item)
}

fn byte(context: &Context, bytes: &[u8], index: &Value, range_error: &str) -> Result<Operand> {
    let at = index_arg(context, index, bytes.len())?;
    let byte = bytes.get(at).ok_or_else(|| CallError::new(range_error))?;
    Ok(Operand::Plain(Value::Uint(u64::from(*byte), UintKind::Uint8)))
}

/// `prepareArg` for the only type of key there is.
fn map_key(index: &Operand) -> Result<&Str> {
    match index.value() {
        Value::Str(key) => Ok(key),
        Value::Nil => Err(CallError::new("value is nil; should be of type string")),
        other => Err(CallError::new(format!("value has type {}; should be string", other.type_name()))),
    }
}

/// The zero value of a type of elements.
fn zero(elem: Type) -> Operand {
    Operand::Plain(match elem {
        Type::Bool => Value::Bool(false),
        Type::Int(kind) => Value::Int(0, kind),
        Type::Uint(kind) => Value::Uint(0, kind),
        Type::Float64 => Value::Float(0.0),
        Type::Complex => Value::Complex(0.0, 0.0),
        Type::String => Value::str(""),
        Type::JsonNumber => Value::JsonNumber("".into()),
        Type::Duration => Value::Duration(0),
        Type::List(elem) => List::nil(*elem).into(),
        Type::Map(elem) => super::Map::nil(*elem).into(),
        Type::Any | Type::Reflect | Type::Named(..) => return Operand::NilInterface,
    })
}

fn slice(context: &mut Context, args: Vec<Operand>) -> Result<Operand> {
    let mut args = args.into_iter();
    let item = match args.next().map(Operand::unwrapped) {
        None | Some(Operand::Invalid) => return Err(CallError::new("slice of untyped nil")),
        Some(item) => item.into_value(),
    };
    let indexes: Vec<Operand> = args.collect();
    if indexes.len() > 3 {
        return Err(CallError::new(format!("too many slice indexes: {}", indexes.len())));
    }
    let len = match &item {
        Value::Str(_) | Value::JsonNumber(_) if indexes.len() == 3 => {
            return Err(CallError::new("cannot 3-index slice a string"));
        }
        Value::Str(text) | Value::JsonNumber(text) | Value::Bytes(text) => text.len(),
        Value::List(list) => list.len(),
        value if value.is_nil() => return Err(CallError::new("slice of nil pointer")),
        value => {
            let name = value.type_name();
            return Err(CallError::new(format!("can't slice item of type {}", name.trim_start_matches('*'))));
        }
    };
    let mut bounds = [0, len, len];
    for (bound, index) in bounds.iter_mut().zip(&indexes) {
        // Unlike `index`, Go does not look into interfaces here.
        if let Operand::Interface(_) | Operand::NilInterface = index {
            return Err(CallError::new("cannot index slice/array with type interface {}"));
        }
        *bound = index_arg(context, index.value(), len)?;
    }
    let [from, to, cap] = bounds;
    let wrong = |low: usize, high: usize| {
        let text = format!("invalid slice index: {low} > {high}");
        Err(CallError::secret(text, "invalid slice index: <redacted>"))
    };
    if from > to {
        return wrong(from, to);
    }
    if to > cap {
        return wrong(to, cap);
    }
    Ok(Operand::Plain(match &item {
        Value::Str(text) => Value::str(&text[from..to]),
        Value::JsonNumber(text) => Value::JsonNumber(text[from..to].into()),
        Value::Bytes(bytes) => Value::Bytes(bytes[from..to].into()),
        Value::List(list) if list.is_nil() => item,
        Value::List(list) => {
            context.reserve_items(to - from)?;
            List::new(list.elem(), list.range(from, to)).into()
        }
        _ => item,
    }))
}
