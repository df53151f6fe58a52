//! The functions that templates call: their signatures.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::types::Type;
use super::call_error::CallError;
use super::context::Context;
use super::{Object, Value};

/// A function that templates can call.
pub struct Function {
    /// Its name in a template.
    pub name: &'static str,
    /// The types of the parameters, without a variadic last one.
    pub params: &'static [Type],
    /// The type of each further argument, if the function takes any number of them.
    pub variadic: Option<Type>,
    /// The function. The executor has checked number and types of the arguments. Where a list or map was wanted, a
    /// missing value arrives as the nil list or map; where `interface {}` was wanted, as [`Value::Nil`].
    pub call: fn(&mut Context, &[Value]) -> Result<Value, CallError>,
    /// Whether equal arguments may give another value each time: it draws random numbers or looks at the clock.
    pub volatile: bool,
}

impl Function {
    /// The function as one that is volatile.
    pub(crate) const fn volatile(mut self) -> Function {
        self.volatile = true;
        self
    }
}

/// A method of an [`Object`].
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// The types of the parameters, without a variadic last one.
    pub params: &'static [Type],
    /// The type of each further argument.
    pub variadic: Option<Type>,
    /// The method.
    pub call: fn(&mut Context, &dyn Object, &[Value]) -> Result<Value, CallError>,
}

/// The functions of a template set, by name. They win over the language's own (sprig's `slice` does).
#[derive(Clone, Default)]
pub struct Functions(Arc<BTreeMap<&'static str, &'static Function>>);

impl Functions {
    /// No functions but the language's own.
    pub fn new() -> Functions {
        Functions::default()
    }

    /// Adds functions; of two with one name the later wins.
    pub fn with(mut self, functions: &'static [Function]) -> Functions {
        Arc::make_mut(&mut self.0).extend(functions.iter().map(|f| (f.name, f)));
        self
    }

    /// The function of this name.
    pub fn get(&self, name: &str) -> Option<&'static Function> {
        self.0.get(name).copied()
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }
}
