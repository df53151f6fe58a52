//! Go's `net/url`: parsing and printing.

use super::args::{find, rfind};
use crate::gocompat::template::strconv::quote;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Path,
    Host,
    Zone,
    UserPassword,
    Fragment,
}

/// A user, and the password if one was given, even an empty one.
pub(super) struct User {
    name: Vec<u8>,
    password: Option<Vec<u8>>,
}

impl User {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = escape(&self.name, Mode::UserPassword);
        if let Some(password) = &self.password {
            out.push(b':');
            out.extend(escape(password, Mode::UserPassword));
        }
        out
    }
}

/// A URL in its parts, decoded but for the query and the opaque part.
#[derive(Default)]
pub(super) struct Url {
    pub(super) scheme: Vec<u8>,
    pub(super) opaque: Vec<u8>,
    pub(super) user: Option<User>,
    pub(super) host: Vec<u8>,
    pub(super) path: Vec<u8>,
    pub(super) query: Vec<u8>,
    pub(super) fragment: Vec<u8>,
}

fn should_escape(c: u8, mode: Mode) -> bool {
    if c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b'~') {
        return false;
    }
    match mode {
        Mode::Host | Mode::Zone => !b"!$&'()*+,;=:[]<>\"".contains(&c),
        Mode::Path => !b"$&+,/:;=@".contains(&c),
        Mode::UserPassword => !b"$&+,;=".contains(&c),
        Mode::Fragment => !b"$&+,/:;=?@!()*".contains(&c),
    }
}

fn escape(text: &[u8], mode: Mode) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        if should_escape(*byte, mode) {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.push(*byte);
        }
    }
    out
}

type Error = Vec<u8>;

fn error(text: &str) -> Error {
    text.as_bytes().to_vec()
}

fn bad_escape(text: &[u8]) -> Error {
    [b"invalid URL escape ", quote(&text[..text.len().min(3)], false).as_slice()].concat()
}

fn hex(byte: Option<&u8>) -> Option<u8> {
    byte.and_then(|b| char::from(*b).to_digit(16)).and_then(|digit| u8::try_from(digit).ok())
}

fn unescape(text: &[u8], mode: Mode) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let byte = text[at];
        if byte != b'%' {
            if matches!(mode, Mode::Host | Mode::Zone) && byte.is_ascii() && should_escape(byte, mode) {
                return Err([b"invalid character ", quote(&[byte], false).as_slice(), b" in host name"].concat());
            }
            out.push(byte);
            at += 1;
            continue;
        }
        let (Some(high), Some(low)) = (hex(text.get(at + 1)), hex(text.get(at + 2))) else {
            return Err(bad_escape(&text[at..]));
        };
        let value = high << 4 | low;
        let percent = value == b'%';
        // In a host only bytes beyond ASCII may be escaped, in a zone what a host may hold, and a blank.
        let refused = match mode {
            Mode::Host => high < 8 && !percent,
            Mode::Zone => !percent && value != b' ' && should_escape(value, Mode::Host),
            _ => false,
        };
        if refused {
            return Err(bad_escape(&text[at..]));
        }
        out.push(value);
        at += 3;
    }
    Ok(out)
}

fn valid_port(port: &[u8]) -> bool {
    match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn cut(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|b| *b == separator) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

fn parse_host(scheme: &[u8], host: &[u8]) -> Result<Vec<u8>, Error> {
    let bad_port = |port: &[u8]| [b"invalid port ", quote(port, false).as_slice(), b" after host"].concat();
    match rfind(host, b'[') {
        Some(0) => {
            let Some(close) = rfind(host, b']') else { return Err(error("missing ']' in host")) };
            let port = &host[close + 1..];
            if !valid_port(port) {
                return Err(bad_port(port));
            }
            let port = unescape(port, Mode::Host)?;
            let name = &host[1..close];
            let name = match find(name, b"%25") {
                Some(zone) => [unescape(&name[..zone], Mode::Host)?, unescape(&name[zone..], Mode::Zone)?].concat(),
                None => unescape(name, Mode::Host)?,
            };
            check_address(&name)?;
            return Ok([b"[", name.as_slice(), b"]", port.as_slice()].concat());
        }
        Some(_) => return Err(error("invalid IP-literal")),
        None => {}
    }
    if let Some(first) = host.iter().position(|b| *b == b':') {
        let last = rfind(host, b':').unwrap_or(first);
        // Database URLs name several hosts; web URLs do not.
        let port = &host[if matches!(scheme, b"http" | b"https") { first } else { last }..];
        if !valid_port(port) {
            return Err(bad_port(port));
        }
    }
    unescape(host, Mode::Host)
}

fn check_address(name: &[u8]) -> Result<(), Error> {
    let text = std::str::from_utf8(name).unwrap_or_default();
    let (address, zone) = text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)));
    if zone.is_none() && address.parse::<core::net::Ipv4Addr>().is_ok() {
        return Err(error("invalid IP-literal"));
    }
    if address.parse::<core::net::Ipv6Addr>().is_err() || zone == Some("") {
        return Err([b"invalid host: ParseAddr(", quote(name, false).as_slice(), b"): unable to parse IP"].concat());
    }
    Ok(())
}

fn valid_userinfo(text: &[u8]) -> bool {
    text.iter().all(|b| b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(b))
}

impl Url {
    /// `url.Parse`; the error is Go's text.
    pub(super) fn parse(text: &[u8]) -> Result<Url, Error> {
        let quoted = |url: &[u8], cause: Error| [b"parse ", quote(url, false).as_slice(), b": ", &cause].concat();
        let (before, fragment) = cut(text, b'#');
        let mut url = Url::parse_before_fragment(before).map_err(|cause| quoted(before, cause))?;
        if let Some(fragment) = fragment {
            url.fragment = unescape(fragment, Mode::Fragment).map_err(|cause| quoted(text, cause))?;
        }
        Ok(url)
    }

    fn parse_before_fragment(text: &[u8]) -> Result<Url, Error> {
        let mut url = Url::default();
        if text.iter().any(|b| *b < b' ' || *b == 0x7F) {
            return Err(error("net/url: invalid control character in URL"));
        }
        if text == b"*" {
            url.path = text.to_vec();
            return Ok(url);
        }
        let (scheme, rest) = scheme(text)?;
        url.scheme = scheme.to_ascii_lowercase();
        let (mut rest, query) = cut(rest, b'?');
        url.query = query.unwrap_or_default().to_vec();
        if !rest.starts_with(b"/") {
            if !url.scheme.is_empty() {
                url.opaque = rest.to_vec();
                return Ok(url);
            }
            if cut(rest, b'/').0.contains(&b':') {
                return Err(error("first path segment in URL cannot contain colon"));
            }
        }
        if rest.starts_with(b"//") && (!url.scheme.is_empty() || !rest.starts_with(b"///")) {
            let end = rest[2..].iter().position(|b| *b == b'/').map_or(rest.len(), |slash| slash + 2);
            let (authority, path) = (&rest[2..end], &rest[end..]);
            rest = path;
            url.authority(authority)?;
        }
        url.path = unescape(rest, Mode::Path)?;
        Ok(url)
    }

    fn authority(&mut self, authority: &[u8]) -> Result<(), Error> {
        let Some(at) = rfind(authority, b'@') else {
            self.host = parse_host(&self.scheme, authority)?;
            return Ok(());
        };
        self.host = parse_host(&self.scheme, &authority[at + 1..])?;
        let userinfo = &authority[..at];
        if !valid_userinfo(userinfo) {
            return Err(error("net/url: invalid userinfo"));
        }
        let (name, password) = cut(userinfo, b':');
        let name = unescape(name, Mode::UserPassword)?;
        let password = password.map(|password| unescape(password, Mode::UserPassword)).transpose()?;
        self.user = Some(User { name, password });
        Ok(())
    }

    /// The host without port and brackets.
    pub(super) fn hostname(&self) -> &[u8] {
        let host = self.host.as_slice();
        let host = rfind(host, b':').filter(|colon| valid_port(&host[*colon..])).map_or(host, |colon| &host[..colon]);
        host.strip_prefix(b"[").and_then(|inner| inner.strip_suffix(b"]")).unwrap_or(host)
    }

    /// `URL.String` of a URL that was made of parts.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.scheme.clone();
        if !self.scheme.is_empty() {
            out.push(b':');
        }
        if self.opaque.is_empty() {
            if !self.host.is_empty() || self.user.is_some() || !self.scheme.is_empty() && !self.path.is_empty() {
                out.extend_from_slice(b"//");
                if let Some(user) = &self.user {
                    out.extend(user.to_bytes());
                    out.push(b'@');
                }
                out.extend(escape(&self.host, Mode::Host));
            }
            let path = if self.path == b"*" { self.path.clone() } else { escape(&self.path, Mode::Path) };
            if !path.is_empty() && !path.starts_with(b"/") && !self.host.is_empty() {
                out.push(b'/');
            }
            // A first segment with a colon would be taken for a scheme.
            if out.is_empty() && cut(&path, b'/').0.contains(&b':') {
                out.extend_from_slice(b"./");
            }
            out.extend(path);
        } else {
            out.extend_from_slice(&self.opaque);
        }
        if !self.query.is_empty() {
            out.push(b'?');
            out.extend_from_slice(&self.query);
        }
        if !self.fragment.is_empty() {
            out.push(b'#');
            out.extend(escape(&self.fragment, Mode::Fragment));
        }
        out
    }
}

fn scheme(text: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    for (i, byte) in text.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if i > 0 => {}
            b':' if i == 0 => return Err(error("missing protocol scheme")),
            b':' => return Ok((&text[..i], &text[i + 1..])),
            _ => break,
        }
    }
    Ok((b"", text))
}
