//! Go's `fmt`: what `print`, `printf`, `println` and an action write.

use std::sync::Arc;

use super::types::{Kind, UintKind};
use super::value::collections::Map;
use super::value::{CallError, Context};
use super::value::{MAX_NESTING, Object, Value};
use crate::gocompat::GoDuration;
use printer::Printer;

mod float;
mod printer;
mod printf;
#[cfg(test)]
mod tests;

pub use float::format_float;
pub(crate) use float::shortest;

/// `fmt.Sprint`: a space between two arguments of which neither is a string.
pub fn sprint(context: &mut Context, args: &[Value]) -> Result<Vec<u8>, CallError> {
    // Most values are one string.
    if let [Value::Str(text)] = args {
        context.reserve(text.len())?;
        return Ok(text.to_vec());
    }
    run(context, |printer| {
        let mut after_string = false;
        for (i, arg) in args.iter().enumerate() {
            let string = arg.as_string().is_some();
            if i > 0 && !string && !after_string {
                printer.write(b" ");
            }
            printer.arg(arg, 'v');
            after_string = string;
        }
    })
}

/// `fmt.Sprintln`
pub fn sprintln(context: &mut Context, args: &[Value]) -> Result<Vec<u8>, CallError> {
    run(context, |printer| {
        for (i, arg) in args.iter().enumerate() {
            if i > 0 {
                printer.write(b" ");
            }
            printer.arg(arg, 'v');
        }
        printer.write(b"\n");
    })
}

/// `fmt.Sprintf`
pub fn sprintf(context: &mut Context, format: &[u8], args: &[Value]) -> Result<Vec<u8>, CallError> {
    run(context, |printer| printer.printf(format, args))
}

/// What an action prints: as [`sprint`], but of what a pointer points to.
pub(super) fn print_action(context: &mut Context, value: &Value) -> Result<Vec<u8>, CallError> {
    sprint(context, &[pointed_to(value.clone())])
}

/// What a pointer points to, unless it prints itself. (`printableValue`)
pub(super) fn pointed_to(value: Value) -> Value {
    match value {
        Value::Object(object) if object.kind() == Kind::Ptr && object.string().is_none() && !object.is_nil() => {
            Value::Object(Arc::new(PointedTo(object)))
        }
        value => value,
    }
}

/// The struct behind a pointer.
struct PointedTo(Arc<dyn Object>);

impl Object for PointedTo {
    fn type_name(&self) -> &'static str {
        self.0.type_name().trim_start_matches('*')
    }

    fn kind(&self) -> Kind {
        Kind::Struct
    }

    fn fields(&self) -> Vec<(&'static str, bool, Value)> {
        self.0.fields()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self.0.as_any()
    }
}

fn run(context: &mut Context, print: impl FnOnce(&mut Printer)) -> Result<Vec<u8>, CallError> {
    context.check_time()?;
    let mut printer = Printer::new(context.memory_left(), context.steps_left());
    print(&mut printer);
    context.step(printer.steps())?;
    if printer.is_full() {
        context.reserve(usize::MAX)?;
    }
    let out = printer.finish()?;
    context.reserve(out.len())?;
    Ok(out)
}

impl Printer {
    /// `printArg`
    pub(super) fn arg(&mut self, arg: &Value, verb: char) {
        match (arg, verb) {
            (Value::Nil, 'T' | 'v') => self.pad(b"<nil>"),
            (Value::Nil, _) => self.bad_verb(arg, verb),
            (_, 'T') => self.string(arg.type_name().as_bytes()),
            (_, 'p') => self.pointer(arg, verb),
            (Value::Bytes(bytes), _) => self.bytes(arg, bytes, verb, "[]byte"),
            _ => self.value(arg, verb, 0),
        }
    }

    /// `printValue`
    fn value(&mut self, value: &Value, verb: char, depth: usize) {
        if self.has_failed() {
            return;
        }
        if depth > MAX_NESTING {
            return self.fail(CallError::limit("value is nested too deep"));
        }
        if self.method(value, verb) {
            return;
        }
        match value {
            // A nil element is a nil interface: no verb changes how that is printed.
            Value::Nil if self.flags.sharp_v => self.write(b"interface {}(nil)"),
            Value::Nil => self.write(b"<nil>"),
            Value::Bool(b) => match verb {
                't' | 'v' => self.pad(if *b { b"true" } else { b"false" }),
                _ => self.bad_verb(value, verb),
            },
            Value::Int(i, _) | Value::Duration(i) => self.int(value, *i as u64, true, verb),
            Value::Uint(u, _) => self.int(value, *u, false, verb),
            Value::Float(f) => self.float(value, *f, verb),
            Value::Complex(re, im) => self.complex(value, *re, *im, verb),
            Value::Str(s) | Value::JsonNumber(s) => self.text(value, s, verb),
            Value::Bytes(bytes) if matches!(verb, 's' | 'q' | 'x' | 'X') => self.bytes(value, bytes, verb, "[]uint8"),
            Value::Bytes(bytes) => {
                let items = bytes.iter().map(|b| Value::Uint(u64::from(*b), UintKind::Uint8));
                self.list(value, items, false, verb, depth);
            }
            Value::List(list) => self.list(value, list.items().into_iter(), list.is_nil(), verb, depth),
            Value::Map(map) => self.map(value, map, verb, depth),
            Value::Object(object) => self.object(value, object.as_ref(), verb, depth),
        }
    }

    /// `handleMethods`: whether the value's own `String` method has printed it.
    fn method(&mut self, value: &Value, verb: char) -> bool {
        if self.erroring {
            return false;
        }
        if verb == 'w' {
            // Only errors can be wrapped, and only by Errorf.
            self.bad_verb(value, verb);
            return true;
        }
        if self.flags.sharp_v || !matches!(verb, 'v' | 's' | 'x' | 'X' | 'q') {
            return false;
        }
        // A precision of zero prints nothing of a text, but the text is made each time.
        self.work(value);
        let text = match value {
            Value::JsonNumber(number) => number.to_vec(),
            Value::Duration(nanos) => GoDuration(*nanos).to_string().into_bytes(),
            Value::Object(object) if !object.is_nil() => match object.string() {
                Some(text) => text,
                None => return false,
            },
            _ => return false,
        };
        self.text(value, &text, verb);
        true
    }

    /// `fmtBytes`
    fn bytes(&mut self, value: &Value, bytes: &[u8], verb: char, type_name: &str) {
        match verb {
            'v' | 'd' if self.flags.sharp_v => {
                self.write(type_name.as_bytes());
                self.write(b"{");
                for (i, byte) in bytes.iter().enumerate() {
                    self.write(if i > 0 { b", " } else { b"" });
                    self.hex(u64::from(*byte), true);
                }
                self.write(b"}");
            }
            's' => self.string(bytes),
            'x' | 'X' => self.hex_string(bytes, verb == 'X'),
            'q' => self.quoted(bytes),
            _ => self.value(value, verb, 0),
        }
    }

    fn list(&mut self, value: &Value, items: impl Iterator<Item = Value>, nil: bool, verb: char, depth: usize) {
        let sharp_v = self.flags.sharp_v;
        if sharp_v {
            self.write(value.type_name().as_bytes());
            if nil {
                return self.write(b"(nil)");
            }
        }
        self.write(if sharp_v { b"{" } else { b"[" });
        for (i, item) in items.enumerate() {
            if i > 0 {
                self.write(if sharp_v { b", " } else { b" " });
            }
            self.value(&item, verb, depth + 1);
        }
        self.write(if sharp_v { b"}" } else { b"]" });
    }

    fn map(&mut self, value: &Value, map: &Map, verb: char, depth: usize) {
        let sharp_v = self.flags.sharp_v;
        if sharp_v {
            self.write(value.type_name().as_bytes());
            if map.is_nil() {
                return self.write(b"(nil)");
            }
            self.write(b"{");
        } else {
            self.write(b"map[");
        }
        for (i, (key, item)) in map.entries().into_iter().enumerate() {
            if i > 0 {
                self.write(if sharp_v { b", " } else { b" " });
            }
            self.value(&Value::Str(key), verb, depth + 1);
            self.write(b":");
            self.value(&item, verb, depth + 1);
        }
        self.write(if sharp_v { b"}" } else { b"]" });
    }

    fn object(&mut self, value: &Value, object: &dyn Object, verb: char, depth: usize) {
        if object.kind() == Kind::Ptr {
            if depth > 0 || object.is_nil() {
                return self.pointer(value, verb);
            }
            self.write(b"&");
        }
        self.fields(object, verb, depth);
    }

    fn fields(&mut self, object: &dyn Object, verb: char, depth: usize) {
        let (sharp_v, plus_v) = (self.flags.sharp_v, self.flags.plus_v);
        if sharp_v {
            self.write(object.type_name().trim_start_matches('*').as_bytes());
        }
        self.write(b"{");
        for (i, (name, _, item)) in object.fields().into_iter().enumerate() {
            if i > 0 {
                self.write(if sharp_v { b", " } else { b" " });
            }
            if sharp_v || plus_v {
                self.write(name.as_bytes());
                self.write(b":");
            }
            self.value(&item, verb, depth + 1);
        }
        self.write(b"}");
    }

    /// `fmtPointer`. There are no addresses here: what has one in Go prints a made-up one, as good as any.
    fn pointer(&mut self, value: &Value, verb: char) {
        let address: u64 = match value {
            Value::Bytes(_) => 0xc0_0001_0000,
            Value::List(_) | Value::Map(_) if value.is_nil() => 0,
            Value::List(_) | Value::Map(_) => 0xc0_0001_0000,
            Value::Object(object) if object.kind() == Kind::Ptr => u64::from(!object.is_nil()) * 0xc0_0001_0000,
            _ => return self.bad_verb(value, verb),
        };
        match verb {
            'v' if self.flags.sharp_v => {
                self.write(format!("({})(", value.type_name()).as_bytes());
                if address == 0 {
                    self.write(b"nil")
                } else {
                    self.hex(address, true)
                }
                self.write(b")");
            }
            'v' if address == 0 => self.pad(b"<nil>"),
            'v' | 'p' => self.hex(address, !self.flags.sharp),
            'b' | 'o' | 'd' | 'x' | 'X' => self.int(value, address, false, verb),
            _ => self.bad_verb(value, verb),
        }
    }

    /// `badVerb`: `%!d(string=abc)`
    pub(super) fn bad_verb(&mut self, value: &Value, verb: char) {
        self.write(b"%!");
        self.write(verb.encode_utf8(&mut [0; 4]).as_bytes());
        self.write(b"(");
        if let Value::Nil = value {
            self.write(b"<nil>");
        } else {
            self.write(value.type_name().as_bytes());
            self.write(b"=");
            let before = std::mem::replace(&mut self.erroring, true);
            match value {
                Value::Bytes(bytes) => self.bytes(value, bytes, 'v', "[]byte"),
                _ => self.value(value, 'v', 0),
            }
            self.erroring = before;
        }
        self.write(b")");
    }
}
