//! Lists and maps, shared and changed in place as Go's are.
#![expect(clippy::mutable_key_type, reason = "a key is ordered by its bytes, which do not change; its account is not")]

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::types::Type;
use super::account::{Account, Lease};
use super::{Str, Value};

/// A Go slice. Clones share its elements.
#[derive(Clone)]
pub struct List {
    elem: Type,
    cell: Option<Arc<ListCell>>,
}

struct ListCell {
    items: Mutex<Vec<Value>>,
    lease: Option<Lease>,
}

/// What a list or map takes besides its elements.
const CONTAINER_BYTES: usize = 128;

/// A Go map with string keys, in the order in which Go prints and ranges over it. Clones share its entries.
#[derive(Clone)]
pub struct Map {
    elem: Type,
    cell: Option<Arc<MapCell>>,
}

struct MapCell {
    entries: Mutex<BTreeMap<Str, Value>>,
    lease: Mutex<Option<Lease>>,
}

/// An entry of a map. Its nodes may be half empty.
const ENTRY_BYTES: usize = 2 * (size_of::<Str>() + size_of::<Value>()) + 16;

impl List {
    /// A slice of this element type.
    pub fn new(elem: Type, items: Vec<Value>) -> List {
        List { elem, cell: Some(Arc::new(ListCell { items: Mutex::new(items), lease: None })) }
    }

    /// A `[]interface {}`.
    pub fn any(items: Vec<Value>) -> List {
        List::new(Type::Any, items)
    }

    /// A `[]string`.
    pub fn strings<S: Into<Str>>(items: impl IntoIterator<Item = S>) -> List {
        List::new(Type::String, items.into_iter().map(|s| Value::Str(s.into())).collect())
    }

    /// A nil slice, which JSON writes as `null`.
    pub fn nil(elem: Type) -> List {
        List { elem, cell: None }
    }

    /// The type of the elements.
    pub fn elem(&self) -> Type {
        self.elem
    }

    /// The type of the slice.
    pub fn go_type(&self) -> Type {
        Type::List(intern(self.elem))
    }

    /// Whether this is the nil slice.
    pub fn is_nil(&self) -> bool {
        self.cell.is_none()
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        self.cell.as_ref().map_or(0, |cell| cell.items.lock().len())
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at this place.
    pub fn get(&self, index: usize) -> Option<Value> {
        self.cell.as_ref().and_then(|cell| cell.items.lock().get(index).cloned())
    }

    /// The elements as they are now.
    pub fn items(&self) -> Vec<Value> {
        self.cell.as_ref().map_or_else(Vec::new, |cell| cell.items.lock().clone())
    }

    /// The elements from `from` up to `to`, both cut to the length.
    pub fn range(&self, from: usize, to: usize) -> Vec<Value> {
        self.cell.as_ref().map_or_else(Vec::new, |cell| {
            let items = cell.items.lock();
            let to = to.min(items.len());
            items[from.min(to)..to].to_vec()
        })
    }

    /// Gives the slice other elements, which every other holder of it sees (`sortAlpha` sorts a `[]string` in place).
    pub fn replace(&self, items: Vec<Value>) {
        if let Some(cell) = &self.cell {
            let old = std::mem::replace(&mut *cell.items.lock(), items);
            drop(old);
        }
    }

    pub(super) fn address(&self) -> usize {
        self.cell.as_ref().map_or(0, |cell| Arc::as_ptr(cell) as usize)
    }

    /// Counts what a list holds that nothing else holds yet, and gives its elements to be counted.
    pub(super) fn account<'v>(&'v mut self, account: &Account, pending: &mut Vec<&'v mut Value>) {
        let Some(cell) = self.cell.as_mut().and_then(Arc::get_mut) else { return };
        let items = cell.items.get_mut();
        cell.lease.get_or_insert_with(|| account.lease(CONTAINER_BYTES + items.len() * size_of::<Value>()));
        pending.extend(items.iter_mut());
    }

    /// The elements that are lists or maps.
    pub(super) fn containers(&self) -> Vec<Value> {
        self.cell
            .as_ref()
            .map_or_else(Vec::new, |cell| cell.items.lock().iter().filter(|v| nests(v)).cloned().collect())
    }
}

impl Map {
    /// An empty map of this element type.
    pub fn new(elem: Type) -> Map {
        Map { elem, cell: Some(Arc::new(MapCell { entries: Mutex::default(), lease: Mutex::default() })) }
    }

    /// An empty `map[string]interface {}`.
    pub fn any() -> Map {
        Map::new(Type::Any)
    }

    /// A `map[string]string`.
    pub fn strings<K: Into<Str>, V: Into<Str>>(entries: impl IntoIterator<Item = (K, V)>) -> Map {
        let map = Map::new(Type::String);
        for (key, value) in entries {
            map.insert(key, Value::Str(value.into()));
        }
        map
    }

    /// A nil map.
    pub fn nil(elem: Type) -> Map {
        Map { elem, cell: None }
    }

    /// The type of the values.
    pub fn elem(&self) -> Type {
        self.elem
    }

    /// The type of the map.
    pub fn go_type(&self) -> Type {
        Type::Map(intern(self.elem))
    }

    /// Whether this is the nil map.
    pub fn is_nil(&self) -> bool {
        self.cell.is_none()
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.cell.as_ref().map_or(0, |cell| cell.entries.lock().len())
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Value> {
        self.cell.as_ref().and_then(|cell| cell.entries.lock().get(key.as_ref()).cloned())
    }

    /// Whether there is such a key.
    pub fn contains(&self, key: impl AsRef<[u8]>) -> bool {
        self.cell.as_ref().is_some_and(|cell| cell.entries.lock().contains_key(key.as_ref()))
    }

    /// Adds or replaces an entry. Only for a map that the template has not seen yet: one that it has goes through
    /// [`Context::set`](super::Context::set), which keeps maps from holding themselves. Nothing happens to
    /// the nil map.
    pub fn insert(&self, key: impl Into<Str>, value: Value) {
        if let Some(cell) = &self.cell {
            let old = cell.entries.lock().insert(key.into(), value);
            drop(old);
        }
    }

    /// Takes an entry out.
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Option<Value> {
        self.cell.as_ref().and_then(|cell| cell.entries.lock().remove(key.as_ref()))
    }

    /// The entries as they are now, sorted by key.
    pub fn entries(&self) -> Vec<(Str, Value)> {
        self.cell
            .as_ref()
            .map_or_else(Vec::new, |cell| cell.entries.lock().iter().map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    /// The keys as they are now, sorted.
    pub fn keys(&self) -> Vec<Str> {
        self.cell.as_ref().map_or_else(Vec::new, |cell| cell.entries.lock().keys().cloned().collect())
    }

    /// Whether both share their entries; equal maps may not.
    pub fn same(&self, other: &Map) -> bool {
        self.address() == other.address()
    }

    pub(super) fn address(&self) -> usize {
        self.cell.as_ref().map_or(0, |cell| Arc::as_ptr(cell) as usize)
    }

    /// Counts what a map holds that nothing else holds yet, and gives its values to be counted.
    pub(super) fn account<'v>(&'v mut self, account: &Account, pending: &mut Vec<&'v mut Value>) {
        let Some(cell) = self.cell.as_mut().and_then(Arc::get_mut) else { return };
        let entries = cell.entries.get_mut();
        let bytes = || CONTAINER_BYTES + entries.keys().map(Map::entry_bytes).sum::<usize>();
        cell.lease.get_mut().get_or_insert_with(|| account.lease(bytes()));
        pending.extend(entries.values_mut());
    }

    /// What an entry with this key takes, without the value.
    pub(super) fn entry_bytes(key: &Str) -> usize {
        ENTRY_BYTES + key.own_bytes()
    }

    /// Adds or replaces an entry, which is counted for as long as the map lives.
    pub(super) fn set(&self, account: &Account, key: Str, value: Value) {
        if let Some(cell) = &self.cell {
            let bytes = Map::entry_bytes(&key);
            let old = cell.entries.lock().insert(key, value);
            if old.is_none() {
                cell.lease.lock().get_or_insert_with(|| account.lease(0)).grow(bytes);
            }
            drop(old);
        }
    }

    /// The values that are lists or maps.
    pub(super) fn containers(&self) -> Vec<Value> {
        self.cell
            .as_ref()
            .map_or_else(Vec::new, |cell| cell.entries.lock().values().filter(|v| nests(v)).cloned().collect())
    }
}

fn nests(value: &Value) -> bool {
    matches!(value, Value::List(_) | Value::Map(_))
}

/// A `&'static` of a type that occurs as the element of a list or map.
fn intern(elem: Type) -> &'static Type {
    use super::super::types::{IntKind, UintKind};
    const MAPS: &Type = &Type::ANY_MAP;
    const LISTS: &Type = &Type::ANY_LIST;
    match elem {
        Type::Any | Type::Reflect | Type::Complex => &Type::Any,
        Type::Bool => &Type::Bool,
        Type::Int(IntKind::Int) => &Type::Int(IntKind::Int),
        Type::Int(IntKind::Int64) => &Type::Int(IntKind::Int64),
        Type::Uint(UintKind::Uint8) => &Type::Uint(UintKind::Uint8),
        Type::Uint(UintKind::Uint32) => &Type::Uint(UintKind::Uint32),
        Type::Uint(UintKind::Uint64) => &Type::Uint(UintKind::Uint64),
        Type::Float64 => &Type::Float64,
        Type::String => &Type::String,
        Type::JsonNumber => &Type::JsonNumber,
        Type::Duration => &Type::Duration,
        Type::List(&Type::String) => &Type::STRINGS,
        Type::List(_) => LISTS,
        Type::Map(&Type::String) => &Type::STRING_MAP,
        Type::Map(_) => MAPS,
        Type::Named(..) => &Type::Any,
    }
}

/// Drops nested values one after the other and not one inside the other: a template can nest them deeper than the
/// stack reaches.
fn drop_flat(mut pending: Vec<Value>) {
    while let Some(value) = pending.pop() {
        match value {
            Value::List(List { cell: Some(cell), .. }) => {
                if let Some(mut cell) = Arc::into_inner(cell) {
                    pending.append(cell.items.get_mut());
                }
            }
            Value::Map(Map { cell: Some(cell), .. }) => {
                if let Some(mut cell) = Arc::into_inner(cell) {
                    let entries = std::mem::take(cell.entries.get_mut());
                    pending.extend(entries.into_values());
                }
            }
            _ => {}
        }
    }
}

impl Drop for ListCell {
    fn drop(&mut self) {
        let items = std::mem::take(self.items.get_mut());
        if items.iter().any(nests) {
            drop_flat(items);
        }
    }
}

impl Drop for MapCell {
    fn drop(&mut self) {
        let entries = std::mem::take(self.entries.get_mut());
        if entries.values().any(nests) {
            drop_flat(entries.into_values().collect());
        }
    }
}
