//! What a function is given besides its arguments: the clock, random numbers, and what is left of the limits.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::account::{Account, Lease};
use super::call_error::CallError;
use super::collections::Map;
use super::{Str, Value};

/// What all templates and filters of an object together may use up. An object that wants more is an error, not a hung
/// or killed process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Wall time.
    pub time: Duration,
    /// Nodes walked, values looked at, and bytes gone through: one step is about half a microsecond.
    pub steps: u64,
    /// Bytes of output.
    pub output: usize,
    /// Bytes that values hold at one time. While a buffer grows the process may hold more than twice as many.
    pub memory: usize,
    /// How deep templates may call templates.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            time: Duration::from_secs(2),
            steps: 5_000_000,
            // A Secret holds one MiB.
            output: 1 << 20,
            memory: 6 << 20,
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

/// Bytes that a function goes through in one step, at the speed of the slowest.
const BYTES_PER_STEP: u64 = 32;
/// What an object such as a version takes besides its texts.
const OBJECT_BYTES: usize = 256;

/// What is left for the rendering of one object.
pub struct Context {
    environment: Environment,
    limits: Limits,
    deadline: Option<Instant>,
    steps: u64,
    output: usize,
    account: Account,
    /// What the function that runs now has reserved.
    reserved: usize,
    /// What is held to the end.
    kept: Lease,
    constant_arguments: bool,
}

impl Context {
    /// For the rendering of one object, which begins now.
    pub fn new(limits: &Limits, environment: &Environment) -> Context {
        let account = Account::default();
        Context {
            environment: *environment,
            limits: *limits,
            deadline: Instant::now().checked_add(limits.time),
            steps: limits.steps,
            output: limits.output,
            kept: account.lease(0),
            account,
            reserved: 0,
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

    /// Counts work. To be called by every loop whose length a template chooses, before the work is done.
    pub fn step(&mut self, count: u64) -> Result<(), CallError> {
        let before = self.steps;
        let Some(left) = before.checked_sub(count) else {
            // Nothing that follows is granted either.
            self.steps = 0;
            let limit = self.limits.steps;
            return Err(CallError::limit(format!(
                "template takes too many steps: all templates and filters of an object have {limit} together; let them \
                 do less, or spread them over several objects"
            )));
        };
        self.steps = left;
        // The clock is asked once in 1024 steps.
        if before >> 10 != left >> 10 { self.check_time() } else { Ok(()) }
    }

    /// Counts going through so many bytes once.
    pub fn step_bytes(&mut self, bytes: usize) -> Result<(), CallError> {
        self.step(bytes as u64 / BYTES_PER_STEP)
    }

    /// Counts work that grows with the square of the length of a text: little for what people write.
    pub fn step_square(&mut self, bytes: usize) -> Result<(), CallError> {
        let bytes = bytes as u64;
        self.step(bytes.saturating_mul(bytes) / 4096)
    }

    /// An error once the time is up.
    pub fn check_time(&self) -> Result<(), CallError> {
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => {
                let limit = self.limits.time;
                Err(CallError::limit(format!(
                    "template takes too long: all templates and filters of an object have {limit:?} together; let them \
                     do less, or spread them over several objects"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Does work whose steps have been counted, and which does not use up the time: how long a key takes to be found is
    /// a matter of luck.
    pub(crate) fn untimed<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let result = work();
        self.deadline = self.deadline.and_then(|deadline| deadline.checked_add(begin.elapsed()));
        result
    }

    /// Counts bytes about to be allocated, until the function is done. To be called *before* making anything whose size
    /// a template chooses: `repeat`, `until`, `indent`, `wrap` ... As many bytes as the arguments have are counted
    /// already.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), CallError> {
        self.check_room(bytes)?;
        self.reserved += bytes;
        self.step(bytes as u64 / 256)
    }

    /// Counts elements of a list about to be made.
    pub fn reserve_items(&mut self, items: usize) -> Result<(), CallError> {
        self.reserve(items.saturating_mul(size_of::<Value>()))
    }

    /// Counts elements of a list of new texts about to be made, besides the bytes of the texts.
    pub fn reserve_texts(&mut self, texts: usize) -> Result<(), CallError> {
        self.reserve(texts.saturating_mul(size_of::<Value>() + Str::OVERHEAD))
    }

    /// Counts bytes for as long as the lease lives.
    pub(in crate::gocompat::template) fn hold(&mut self, bytes: usize) -> Result<Lease, CallError> {
        self.check_room(bytes)?;
        Ok(self.account.lease(bytes))
    }

    fn check_room(&self, bytes: usize) -> Result<(), CallError> {
        if bytes > self.memory_left() {
            let limit = self.limits.memory;
            return Err(CallError::limit(format!(
                "template needs too much memory: the values of all templates of an object may hold {limit} bytes at a \
                 time; make them smaller, or spread them over several objects"
            )));
        }
        Ok(())
    }

    /// How many more bytes [`Context::reserve`] would grant.
    pub fn memory_left(&self) -> usize {
        self.limits.memory.saturating_sub(self.account.used()).saturating_sub(self.reserved)
    }

    /// How many steps are left.
    pub fn steps_left(&self) -> u64 {
        self.steps
    }

    /// Counts bytes about to be written to a Secret.
    pub(in crate::gocompat::template) fn write(&mut self, bytes: usize) -> Result<(), CallError> {
        let Some(left) = self.output.checked_sub(bytes) else {
            let limit = self.limits.output;
            return Err(CallError::limit(format!(
                "template writes more than {limit} bytes: that is what all templates of an object may write together; \
                 spread them over several objects"
            )));
        };
        self.output = left;
        Ok(())
    }

    pub(in crate::gocompat::template) fn max_depth(&self) -> usize {
        self.limits.depth
    }

    /// Counts a call: going through the texts among its arguments, and as many bytes for what is made of them.
    pub(in crate::gocompat::template) fn begin_call<'v>(
        &mut self,
        args: impl Iterator<Item = &'v Value>,
    ) -> Result<(), CallError> {
        let bytes: usize = args.filter_map(Value::as_bytes).map(<[u8]>::len).sum();
        self.step(1)?;
        self.step_bytes(bytes)?;
        self.reserve(bytes)
    }

    /// What the function has reserved is free again, or belongs to its result.
    pub(crate) fn end_call(&mut self) {
        self.reserved = 0;
    }

    /// Counts what a new value holds, until the value is dropped. What an older value shares is counted there.
    pub fn account(&mut self, value: &mut Value) -> Result<(), CallError> {
        let mut pending = vec![value];
        while let Some(value) = pending.pop() {
            match value {
                Value::Str(text) | Value::JsonNumber(text) | Value::Bytes(text) => text.account(&self.account),
                Value::List(list) => list.account(&self.account, &mut pending),
                Value::Map(map) => map.account(&self.account, &mut pending),
                Value::Object(object) if Arc::strong_count(object) == 1 => {
                    let texts =
                        object.fields().iter().filter_map(|(.., field)| field.as_bytes()).map(<[u8]>::len).sum();
                    // Nothing tells when an object is dropped.
                    self.kept.grow(OBJECT_BYTES.saturating_add(texts));
                }
                _ => continue,
            }
            self.check_room(pending.len().saturating_mul(size_of::<&mut Value>()))?;
        }
        Ok(())
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
    pub fn set(&mut self, map: &Map, key: impl Into<Str>, mut value: Value) -> Result<(), CallError> {
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
        drop((seen, pending));
        self.account(&mut value)?;
        let key = key.into();
        self.check_room(Map::entry_bytes(&key))?;
        map.set(&self.account, key, value);
        Ok(())
    }
}
