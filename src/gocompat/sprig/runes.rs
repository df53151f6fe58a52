//! Text as Go's `range` over a string and its `unicode` package see it.
//!
//! Go maps case one rune to one rune (`ß` stays `ß` in `upper`), and its classes are general categories, where Rust's
//! `char` has full mappings and derived properties.

use std::sync::OnceLock;

use regex::Regex;

/// The rune that stands for a byte that is not UTF-8.
pub(super) const RUNE_ERROR: char = '\u{FFFD}';

/// The runes with the number of bytes each takes; a byte that is not UTF-8 is U+FFFD with width 1.
pub(super) fn runes(bytes: &[u8]) -> impl Iterator<Item = (char, usize)> + '_ {
    bytes.utf8_chunks().flat_map(|chunk| {
        chunk
            .valid()
            .chars()
            .map(|c| (c, c.len_utf8()))
            .chain(std::iter::repeat_n((RUNE_ERROR, 1), chunk.invalid().len()))
    })
}

/// Go's `string([]rune(s))` with each rune mapped.
pub(super) fn map_runes(bytes: &[u8], mut f: impl FnMut(char) -> char) -> Vec<u8> {
    let mut out = String::with_capacity(bytes.len());
    out.extend(runes(bytes).map(|(c, _)| f(c)));
    out.into_bytes()
}

/// Case pairs younger than the Unicode version of Go's tables (15.0).
fn too_young(c: char) -> bool {
    matches!(u32::from(c), 0x19B | 0x264 | 0x1C89..=0x1C8A | 0xA7CB..=0xA7CF | 0xA7D2..=0xA7D5 | 0xA7DA..=0xA7DC
        | 0x10D50..=0x10D85 | 0x16EA0..=0x16ED3)
}

fn only(mut mapped: impl Iterator<Item = char>, c: char) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// `unicode.ToUpper`
pub(super) fn to_upper(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_uppercase();
    }
    match u32::from(c) {
        // These have a capital whose full mapping is two letters.
        u @ (0x1F80..=0x1F87 | 0x1F90..=0x1F97 | 0x1FA0..=0x1FA7) => char::from_u32(u + 8).unwrap_or(c),
        0x1FB3 => '\u{1FBC}',
        0x1FC3 => '\u{1FCC}',
        0x1FF3 => '\u{1FFC}',
        _ if too_young(c) => c,
        _ => only(c.to_uppercase(), c),
    }
}

/// `unicode.ToLower`
pub(super) fn to_lower(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    match c {
        '\u{130}' => 'i',
        _ if too_young(c) => c,
        _ => only(c.to_lowercase(), c),
    }
}

/// `unicode.ToTitle`: upper case, but for the digraphs that have a title form and for Georgian, which has none.
pub(super) fn to_title(c: char) -> char {
    match c {
        '\u{1C4}'..='\u{1C6}' => '\u{1C5}',
        '\u{1C7}'..='\u{1C9}' => '\u{1C8}',
        '\u{1CA}'..='\u{1CC}' => '\u{1CB}',
        '\u{1F1}'..='\u{1F3}' => '\u{1F2}',
        '\u{10D0}'..='\u{10FF}' => c,
        _ => to_upper(c),
    }
}

/// A general category; only asked for what is not ASCII.
struct Category(OnceLock<Option<Regex>>, &'static str);

impl Category {
    const fn new(pattern: &'static str) -> Category {
        Category(OnceLock::new(), pattern)
    }

    fn has(&self, c: char) -> bool {
        let regex = self.0.get_or_init(|| Regex::new(self.1).ok());
        regex.as_ref().is_some_and(|regex| regex.is_match(c.encode_utf8(&mut [0; 4])))
    }
}

/// `unicode.IsUpper`
pub(super) fn is_upper(c: char) -> bool {
    static LU: Category = Category::new(r"\p{Lu}");
    if c.is_ascii() { c.is_ascii_uppercase() } else { !too_young(c) && LU.has(c) }
}

/// `unicode.IsLower`
pub(super) fn is_lower(c: char) -> bool {
    static LL: Category = Category::new(r"\p{Ll}");
    if c.is_ascii() {
        c.is_ascii_lowercase()
    } else {
        (!too_young(c) || matches!(u32::from(c), 0x19B | 0x264)) && LL.has(c)
    }
}

/// `unicode.IsTitle`
pub(super) fn is_title(c: char) -> bool {
    static LT: Category = Category::new(r"\p{Lt}");
    !c.is_ascii() && LT.has(c)
}

/// `unicode.IsLetter`
pub(super) fn is_letter(c: char) -> bool {
    static L: Category = Category::new(r"\p{L}");
    if c.is_ascii() { c.is_ascii_alphabetic() } else { L.has(c) }
}

/// `unicode.IsPunct`
pub(super) fn is_punct(c: char) -> bool {
    static P: Category = Category::new(r"\p{P}");
    // ASCII symbols ($ + < = > ^ ` | ~) are not punctuation.
    if c.is_ascii() { c.is_ascii_punctuation() && !"$+<=>^`|~".contains(c) } else { P.has(c) }
}

/// `unicode.IsNumber`
pub(super) fn is_number(c: char) -> bool {
    static N: Category = Category::new(r"\p{N}");
    if c.is_ascii() { c.is_ascii_digit() } else { N.has(c) }
}

/// `unicode.IsSpace`
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace()
}

/// `strings.TrimFunc` with a test of runes.
pub(super) fn trim_matches(bytes: &[u8], test: impl Fn(char) -> bool) -> &[u8] {
    let mut start = 0;
    for (c, width) in runes(bytes) {
        if !test(c) {
            break;
        }
        start += width;
    }
    let mut end = bytes.len();
    while end > start {
        let (c, width) = last_rune(&bytes[start..end]);
        if !test(c) {
            break;
        }
        end -= width;
    }
    &bytes[start..end]
}

/// The last rune, decoded from the end, with its width; a byte that is not UTF-8 is U+FFFD with width 1.
fn last_rune(bytes: &[u8]) -> (char, usize) {
    for width in 1..=bytes.len().min(4) {
        let tail = &bytes[bytes.len() - width..];
        // A byte that continues a rune is none by itself.
        if tail[0] & 0xC0 != 0x80 {
            let rune = std::str::from_utf8(tail).ok().and_then(|text| text.chars().next());
            return rune.map_or((RUNE_ERROR, 1), |c| (c, width));
        }
    }
    (RUNE_ERROR, 1)
}
