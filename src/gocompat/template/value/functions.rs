//! The functions that templates call: their signatures, and what they are given.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::super::types::Type;
use super::collections::Map;
use super::{Object, Str, Value};

/// Why a function could not give a value.
///
/// Go's text may quote the value (`strconv.ParseInt: parsing "hunter2": invalid syntax`), and values are secrets. So
/// there are two texts: the one that Go prints, which only tests see, and one that may be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct CallError {
    text: String,
    shown: Option<String>,
}

impl CallError {
    /// An error whose text holds no value.
    pub fn new(text: impl Into<String>) -> CallError {
        CallError { text: text.into(), shown: None }
    }

    /// An error whose text in Go quotes a value, and what to show instead.
    pub fn secret(text: impl Into<String>, shown: impl Into<String>) -> CallError {
        CallError { text: text.into(), shown: Some(shown.into()) }
    }

    /// Go's text. May hold a secret: for tests.
    pub fn go_text(&self) -> &str {
        &self.text
    }

    /// The text to show.
    pub fn shown(&self) -> &str {
        self.shown.as_deref().unwrap_or(&self.text)
    }
}

impl std::fmt::Debug for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CallError").field(&self.shown()).finish()
    }
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.shown())
    }
}

impl std::error::Error for CallError {}

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
    pub call: fn(&mut Context<'_>, &[Value]) -> Result<Value, CallError>,
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
    pub call: fn(&mut Context<'_>, &dyn Object, &[Value]) -> Result<Value, CallError>,
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

/// What a template may use up. A template that wants more is an error, not a hung or killed process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Wall time of one execution.
    pub time: Duration,
    /// Nodes walked and values looked at.
    pub steps: u64,
    /// Bytes of output.
    pub output: usize,
    /// Bytes that functions allocate, in sum: what has been let go of counts too.
    pub memory: usize,
    /// How deep templates may call templates.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            time: Duration::from_secs(5),
            steps: 5_000_000,
            // A Secret holds one MiB.
            output: 4 << 20,
            memory: 64 << 20,
            depth: 100,
        }
    }
}

/// Where the functions that are not deterministic get their input from.
#[derive(Clone, Copy)]
pub struct Environment {
    /// The clock.
    pub now: fn() -> SystemTime,
    /// Fills the slice with random bytes.
    pub random: fn(&mut [u8]),
}

impl Default for Environment {
    fn default() -> Self {
        Environment { now: SystemTime::now, random: |bytes| rand::Rng::fill_bytes(&mut rand::rng(), bytes) }
    }
}

/// What a function is given besides its arguments.
pub struct Context<'a> {
    environment: &'a Environment,
    deadline: Option<Instant>,
    steps: u64,
    memory: usize,
    constant_arguments: bool,
}

impl<'a> Context<'a> {
    /// For one execution.
    pub fn new(limits: &Limits, environment: &'a Environment) -> Context<'a> {
        Context {
            environment,
            deadline: Instant::now().checked_add(limits.time),
            steps: limits.steps,
            memory: limits.memory,
            constant_arguments: false,
        }
    }

    /// The time now.
    pub fn now(&self) -> SystemTime {
        (self.environment.now)()
    }

    /// Fills the slice with random bytes.
    pub fn random(&mut self, bytes: &mut [u8]) {
        (self.environment.random)(bytes);
    }

    /// A random number.
    pub fn random_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.random(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Counts work. To be called by every loop whose length a template chooses.
    pub fn step(&mut self, count: u64) -> Result<(), CallError> {
        let before = self.steps;
        self.steps = before.checked_sub(count).ok_or_else(|| CallError::new("template takes too many steps"))?;
        // The clock is asked once in 1024 steps.
        if before >> 10 != self.steps >> 10 { self.check_time() } else { Ok(()) }
    }

    /// An error once the time is up.
    pub fn check_time(&self) -> Result<(), CallError> {
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(CallError::new("template takes too long")),
            _ => Ok(()),
        }
    }

    /// Counts bytes about to be allocated. To be called *before* making anything whose size a template chooses:
    /// `repeat`, `until`, `indent`, `wrap` ... An element of a list counts as 32 bytes ([`Context::reserve_items`]).
    pub fn reserve(&mut self, bytes: usize) -> Result<(), CallError> {
        self.memory = self.memory.checked_sub(bytes).ok_or_else(|| CallError::new("template needs too much memory"))?;
        self.step(bytes as u64 / 256)
    }

    /// Counts elements of a list about to be made.
    pub fn reserve_items(&mut self, items: usize) -> Result<(), CallError> {
        self.reserve(items.saturating_mul(32))
    }

    /// How many more bytes [`Context::reserve`] would grant.
    pub fn memory_left(&self) -> usize {
        self.memory
    }

    /// Whether every argument of the call is a constant in the template's text, so that an error may quote them
    /// (`fail "no user"`).
    pub fn constant_arguments(&self) -> bool {
        self.constant_arguments
    }

    pub(in crate::gocompat::template) fn set_constant_arguments(&mut self, constant: bool) {
        self.constant_arguments = constant;
    }

    /// Sets an entry of a map that the template has seen. A map that would come to hold itself is an error: Go prints
    /// such a map until the process dies.
    pub fn set(&mut self, map: &Map, key: impl Into<Str>, value: Value) -> Result<(), CallError> {
        if map.is_nil() {
            return Err(CallError::new("assignment to entry in nil map"));
        }
        let mut seen = HashSet::new();
        let mut pending = vec![value.clone()];
        while let Some(value) = pending.pop() {
            let (address, children) = match &value {
                Value::List(list) => (list.address(), list.containers()),
                Value::Map(inner) if inner.same(map) => return Err(CallError::new("map would hold itself")),
                Value::Map(inner) => (inner.address(), inner.containers()),
                _ => continue,
            };
            if seen.insert(address) {
                self.step(1 + children.len() as u64)?;
                pending.extend(children);
            }
        }
        self.reserve(64)?;
        map.insert(key, value);
        Ok(())
    }
}
