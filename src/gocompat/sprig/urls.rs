//! `urlParse` and `urlJoin`.

use super::args::{Answer, bytes, function, lossy, map, nil_dereference, string};
use super::url::{Url, User};
use crate::gocompat::template::{CallError, Context, Function, Kind, Map, Type, Value};

pub(super) static FUNCTIONS: &[Function] =
    &[function!("urlJoin", [Type::ANY_MAP], join), function!("urlParse", [Type::String], parse)];

fn parse(ctx: &mut Context, args: &[Value]) -> Answer {
    let text = bytes(args, 0);
    // Each part is a copy, and an error quotes the text.
    ctx.reserve(text.len().saturating_mul(16) + 1024)?;
    let url = Url::parse(text)
        .map_err(|error| CallError::secret(format!("unable to parse url: {}", lossy(&error)), "unable to parse url"))?;
    let dict = Map::any();
    dict.insert("hostname", string(url.hostname()));
    dict.insert("userinfo", string(url.user.as_ref().map(User::to_bytes).unwrap_or_default()));
    dict.insert("scheme", string(url.scheme));
    dict.insert("host", string(url.host));
    dict.insert("path", string(url.path));
    dict.insert("query", string(url.query));
    dict.insert("opaque", string(url.opaque));
    dict.insert("fragment", string(url.fragment));
    Ok(Value::Map(dict))
}

fn part(dict: &Map, key: &str) -> Result<Vec<u8>, CallError> {
    match dict.get(key) {
        None => Ok(Vec::new()),
        Some(Value::Nil) => Err(nil_dereference()),
        Some(value) if value.kind() == Kind::String => Ok(value.as_bytes().unwrap_or_default().to_vec()),
        Some(value) => Err(CallError::new(format!(
            "unable to parse {key} key, must be of type string, but {} found",
            value.kind().name()
        ))),
    }
}

fn join(ctx: &mut Context, args: &[Value]) -> Answer {
    let dict = map(args, 0);
    let parts = ["scheme", "host", "path", "query", "opaque", "fragment", "userinfo"];
    let length: usize = parts.iter().filter_map(|key| dict.get(key)?.len()).fold(0, usize::saturating_add);
    ctx.step_bytes(length.saturating_mul(4))?;
    ctx.reserve(length.saturating_mul(16))?;
    let mut url = Url {
        scheme: part(&dict, "scheme")?,
        host: part(&dict, "host")?,
        path: part(&dict, "path")?,
        query: part(&dict, "query")?,
        opaque: part(&dict, "opaque")?,
        fragment: part(&dict, "fragment")?,
        ..Url::default()
    };
    let userinfo = part(&dict, "userinfo")?;
    if !userinfo.is_empty() {
        let text = [b"proto://", userinfo.as_slice(), b"@host"].concat();
        let parsed = Url::parse(&text).map_err(|error| {
            let text = format!("unable to parse userinfo in dict: {}", lossy(&error));
            CallError::secret(text, "unable to parse userinfo in dict")
        })?;
        url.user = parsed.user;
    }
    Ok(string(url.to_bytes()))
}
