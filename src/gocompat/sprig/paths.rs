//! Paths with slashes: Go's `path`, and `path/filepath` as on Linux.

use super::args::{bytes, function, string};
use crate::gocompat::template::{Function, Type};

const S: Type = Type::String;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("base", [S], |_, a| Ok(string(base(bytes(a, 0))))),
    function!("clean", [S], |_, a| Ok(string(clean(bytes(a, 0))))),
    function!("dir", [S], |_, a| Ok(string(dir(bytes(a, 0))))),
    function!("ext", [S], |_, a| Ok(string(ext(bytes(a, 0))))),
    function!("isAbs", [S], |_, a| Ok(bytes(a, 0).starts_with(b"/").into())),
    function!("osBase", [S], |_, a| Ok(string(base(bytes(a, 0))))),
    function!("osClean", [S], |_, a| Ok(string(clean(bytes(a, 0))))),
    function!("osDir", [S], |_, a| Ok(string(dir(bytes(a, 0))))),
    function!("osExt", [S], |_, a| Ok(string(ext(bytes(a, 0))))),
    function!("osIsAbs", [S], |_, a| Ok(bytes(a, 0).starts_with(b"/").into())),
];

fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.starts_with(b"/");
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => {
                parts.pop();
            }
            b".." if rooted => {}
            _ => parts.push(part),
        }
    }
    let joined = parts.join(&b'/');
    match (rooted, joined.is_empty()) {
        (true, _) => [b"/", joined.as_slice()].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}

fn base(path: &[u8]) -> &[u8] {
    if path.is_empty() {
        return b".";
    }
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |last| last + 1);
    match path[..end].rsplit(|b| *b == b'/').next() {
        Some(name) if !name.is_empty() => name,
        _ => b"/",
    }
}

fn dir(path: &[u8]) -> Vec<u8> {
    clean(&path[..path.iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1)])
}

fn ext(path: &[u8]) -> &[u8] {
    let name = path.iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
    path[name..].iter().rposition(|b| *b == b'.').map_or(b"", |dot| &path[name + dot..])
}
