//! The functions and the dot of `hack/golden/lang_vectors.go`.

use std::sync::Arc;

use super::super::format::sprint;
use super::super::{
    CallError, Context, Function, Functions, IntKind, Kind, List, Map, Method, Object, Record, Type, UintKind, Value,
};

type Called = Result<Value, CallError>;

const fn function(
    name: &'static str,
    params: &'static [Type],
    variadic: Option<Type>,
    call: fn(&mut Context, &[Value]) -> Called,
) -> Function {
    Function { name, params, variadic, call, volatile: false }
}

fn first(_: &mut Context, args: &[Value]) -> Called {
    Ok(args[0].clone())
}

fn len(_: &mut Context, args: &[Value]) -> Called {
    Ok(Value::int(args[0].len().unwrap() as i64))
}

fn text(args: &[Value]) -> &[u8] {
    args[0].as_bytes().unwrap()
}

const INT: Type = Type::INT;
const ANY: Type = Type::Any;
const STR: Type = Type::String;

static FUNCTIONS: [Function; 27] = [
    function("list", &[], Some(ANY), |_, args| {
        // Without arguments reflect gives a variadic function a slice that is empty and not nil.
        Ok(List::any(args.to_vec()).into())
    }),
    function("dict", &[], Some(ANY), |context, args| {
        let map = Map::any();
        for pair in args.chunks_exact(2) {
            map.insert(sprint(context, &pair[..1])?, pair[1].clone());
        }
        Ok(map.into())
    }),
    function("set", &[Type::ANY_MAP, STR, ANY], None, |context, args| {
        let (Value::Map(map), Value::Str(key)) = (&args[0], &args[1]) else { panic!() };
        context.set(map, key.clone(), args[2].clone())?;
        Ok(args[0].clone())
    }),
    function("strs", &[], Some(STR), |_, args| Ok(List::new(STR, args.to_vec()).into())),
    function("ints", &[], Some(INT), |_, args| Ok(List::new(INT, args.to_vec()).into())),
    function("bytes", &[STR], None, |_, args| Ok(Value::Bytes(text(args).into()))),
    function("i64", &[Type::Int(IntKind::Int64)], None, first),
    function("u8", &[Type::Uint(UintKind::Uint8)], None, |_, args| match args[0] {
        Value::Uint(u, kind) => Ok(Value::Uint(u & 0xff, kind)),
        _ => panic!(),
    }),
    function("u64", &[Type::Uint(UintKind::Uint64)], None, first),
    function("f64", &[Type::Float64], None, first),
    function("takestr", &[STR], None, first),
    function("takebool", &[Type::Bool], None, first),
    function("takemap", &[Type::ANY_MAP], None, len),
    function("takelist", &[Type::ANY_LIST], None, len),
    function("takestrs", &[Type::STRINGS], None, len),
    function("takeany", &[ANY], None, first),
    function("two", &[STR, INT], None, |context, args| sprint(context, args).map(Value::str)),
    function("zero", &[], None, |_, _| Ok(Value::Int(0, IntKind::Int))),
    function("nilany", &[], None, |_, _| Ok(Value::Nil)),
    function("nillist", &[], None, |_, _| Ok(List::nil(ANY).into())),
    function("nilmap", &[], None, |_, _| Ok(Map::nil(ANY).into())),
    function("jnum", &[STR], None, |_, args| Ok(Value::JsonNumber(text(args).into()))),
    function("dur", &[Type::Int(IntKind::Int64)], None, |_, args| match args[0] {
        Value::Int(i, _) => Ok(Value::Duration(i)),
        _ => panic!(),
    }),
    function("point", &[], None, |_, _| Ok(Value::Object(Arc::new(Point)))),
    function("labels", &[], None, |_, _| Ok(Map::strings([("a", "1"), ("b", "<2>")]).into())),
    function("fail", &[STR], None, |context, args| {
        let text = String::from_utf8_lossy(text(args));
        Err(if context.constant_arguments() { CallError::new(text) } else { CallError::secret(text, "failed") })
    }),
    function("cut", &[STR, INT], None, |_, args| {
        let Value::Int(n, _) = args[1] else { panic!() };
        let text = text(args);
        match usize::try_from(n).ok().and_then(|n| text.get(..n)) {
            Some(cut) => Ok(Value::str(cut)),
            None if n < 0 => Err(CallError::new(format!("runtime error: slice bounds out of range [:{n}]"))),
            None => Err(CallError::new(format!(
                "runtime error: slice bounds out of range [:{n}] with length {}",
                text.len()
            ))),
        }
    }),
];

pub fn functions() -> Functions {
    Functions::new().with(&FUNCTIONS)
}

struct Named;

impl Object for Named {
    fn type_name(&self) -> &'static str {
        "main.Stringer"
    }

    fn kind(&self) -> Kind {
        Kind::Struct
    }

    fn string(&self) -> Option<Vec<u8>> {
        Some(b"I am <named>".to_vec())
    }

    fn fields(&self) -> Vec<(&'static str, bool, Value)> {
        vec![("A", true, Value::int(7))]
    }

    fn method(&self, name: &str) -> Option<&'static Method> {
        static STRING: Method = Method {
            name: "String",
            params: &[],
            variadic: None,
            call: |_, object, _| Ok(Value::str(object.string().unwrap())),
        };
        (name == "String").then_some(&STRING)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

struct Point;

impl Object for Point {
    fn type_name(&self) -> &'static str {
        "*main.Point"
    }

    fn fields(&self) -> Vec<(&'static str, bool, Value)> {
        vec![("X", true, Value::int(1)), ("Y", true, Value::Nil)]
    }

    fn method(&self, name: &str) -> Option<&'static Method> {
        static ADD: Method = Method {
            name: "Add",
            params: &[INT],
            variadic: Some(STR),
            call: |context, _, args| {
                let more = Value::int(args.len() as i64 - 1);
                sprint(context, &[Value::int(1), args[0].clone(), more]).map(Value::str)
            },
        };
        (name == "Add").then_some(&ADD)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

const DATA: &str = r#"{
 "str": "hello", "empty": "", "utf8": "héllo, 世界\u2028\u0007<&>\"'", "num": 42, "big": 12345678901234567890123, "float": 1.50,
 "exp": 1e21, "neg": -7, "yes": true, "no": false, "nil": null, "list": [1, "two", null, [3, 4.5], {"k": "v"}],
 "elist": [], "map": {"b": 2, "a": "x", "nil": null, "c": {"d": [true]}}, "emap": {}, "multi": "a\nb\tc"
}"#;

pub fn root() -> Value {
    let secrets = Value::from_json(&serde_json::from_str(DATA).unwrap());
    let Value::Map(map) = &secrets else { panic!() };
    // serde_json writes this exponent another way.
    map.insert("exp", Value::JsonNumber("1e21".into()));
    map.insert("bin", Value::str(&b"\x00\xff\xfeA\xe4\xb8"[..]));
    let fields = ["Secrets", "Labels", "Wrap", "Named"];
    let root = Record::new(
        "*main.Root",
        vec![
            ("Secrets", secrets),
            ("Labels", Map::strings([("app", "web"), ("tier", "db")]).into()),
            ("Wrap", Value::Object(Arc::new(Record::nil("*main.Root", &fields).with_unexported("hidden", Value::Nil)))),
            ("Named", Value::Object(Arc::new(Named))),
        ],
    );
    Value::Object(Arc::new(root.with_unexported("hidden", Value::int(0))))
}
