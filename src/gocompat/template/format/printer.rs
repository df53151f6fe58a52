//! Padding, integers, floats and strings (`fmt/format.go`).

use super::super::strconv::{can_backquote, decode, is_print, quote, quote_rune, rune_count};
use super::super::value::CallError;
use super::super::value::Value;
use super::float::format_float;

/// What stands between `%` and the verb.
#[derive(Clone, Copy, Default)]
pub(super) struct Flags {
    pub minus: bool,
    pub plus: bool,
    pub sharp: bool,
    pub space: bool,
    pub zero: bool,
    /// `%+v` and `%#v` are not the other flags with a verb but formats of their own.
    pub plus_v: bool,
    pub sharp_v: bool,
    pub width: Option<usize>,
    pub precision: Option<usize>,
}

/// Go's printer. It stops writing at its limit, and what it was told to write is an error then.
pub(super) struct Printer {
    out: Vec<u8>,
    limit: usize,
    steps: u64,
    max_steps: u64,
    /// What was to be written does not fit.
    is_full: bool,
    failed: Option<CallError>,
    pub flags: Flags,
    /// Printing a value inside `%!d(...)`, where methods are not called.
    pub erroring: bool,
}

impl Printer {
    pub fn new(limit: usize, max_steps: u64) -> Printer {
        let flags = Flags::default();
        Printer { out: Vec::new(), limit, steps: 0, max_steps, is_full: false, failed: None, flags, erroring: false }
    }

    /// How many steps it took, besides the bytes that were written.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Counts looking at a value that prints itself.
    pub fn work(&mut self, value: &Value) {
        let bytes = match value {
            Value::JsonNumber(number) => number.len(),
            Value::Object(object) => object.fields().iter().filter_map(|(.., field)| field.len()).sum(),
            _ => 0,
        };
        self.steps += 1 + bytes as u64 / 32;
        if self.steps > self.max_steps {
            self.fail(CallError::limit("template takes too many steps"));
        }
    }

    pub fn finish(self) -> Result<Vec<u8>, CallError> {
        self.failed.map_or(Ok(self.out), Err)
    }

    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    pub fn fail(&mut self, error: CallError) {
        self.failed.get_or_insert(error);
    }

    fn fits(&mut self, count: usize) -> bool {
        if self.failed.is_none() && count > self.limit - self.out.len() {
            self.is_full = true;
            self.fail(CallError::limit("template needs too much memory"));
        }
        let length = self.out.len() + count;
        if self.failed.is_none() && length > self.out.capacity() {
            // Not further than the limit: the old buffer and the new one are there at once.
            let capacity = length.max(self.limit.min(2 * self.out.capacity()));
            self.out.reserve_exact(capacity - self.out.len());
        }
        self.failed.is_none()
    }

    pub fn write(&mut self, bytes: &[u8]) {
        if self.fits(bytes.len()) {
            self.out.extend_from_slice(bytes);
        }
    }

    fn padding(&mut self, count: usize) {
        if self.fits(count) {
            // Zeros on the right would change a number.
            let fill = if self.flags.zero && !self.flags.minus { b'0' } else { b' ' };
            self.out.resize(self.out.len() + count, fill);
        }
    }

    /// Writes the bytes in a field of the width.
    pub fn pad(&mut self, bytes: &[u8]) {
        let Some(width) = self.flags.width.filter(|w| *w > 0) else { return self.write(bytes) };
        let padding = width.saturating_sub(rune_count(bytes));
        if !self.flags.minus {
            self.padding(padding);
        }
        self.write(bytes);
        if self.flags.minus {
            self.padding(padding);
        }
    }

    fn pad_without_zeros(&mut self, bytes: &[u8]) {
        let zero = std::mem::replace(&mut self.flags.zero, false);
        self.pad(bytes);
        self.flags.zero = zero;
    }

    /// `fmtInteger` of `pp`: `bits` is the integer, two's complement if signed.
    pub fn int(&mut self, value: &Value, bits: u64, signed: bool, verb: char) {
        match verb {
            'v' if self.flags.sharp_v && !signed => self.hex(bits, true),
            'v' | 'd' => self.integer(bits, 10, signed, verb),
            'b' => self.integer(bits, 2, signed, verb),
            'o' | 'O' => self.integer(bits, 8, signed, verb),
            'x' | 'X' => self.integer(bits, 16, signed, verb),
            'c' => self.pad(to_char(bits).encode_utf8(&mut [0; 4]).as_bytes()),
            'q' => self.pad(&quote_rune(to_char(bits), self.flags.plus)),
            'U' => self.unicode(bits),
            _ => self.bad_verb(value, verb),
        }
    }

    /// `fmt0x64`
    pub fn hex(&mut self, bits: u64, leading_0x: bool) {
        let sharp = std::mem::replace(&mut self.flags.sharp, leading_0x);
        self.integer(bits, 16, false, 'v');
        self.flags.sharp = sharp;
    }

    fn integer(&mut self, bits: u64, base: u32, signed: bool, verb: char) {
        let flags = self.flags;
        let negative = signed && (bits as i64) < 0;
        let magnitude = if negative { bits.wrapping_neg() } else { bits };
        let mut precision = 0;
        if let Some(wanted) = flags.precision {
            precision = wanted;
            if wanted == 0 && bits == 0 {
                let zero = std::mem::replace(&mut self.flags.zero, false);
                self.padding(flags.width.unwrap_or(0));
                self.flags.zero = zero;
                return;
            }
        } else if let Some(width) = flags.width.filter(|_| flags.zero && !flags.minus) {
            precision = width.saturating_sub(usize::from(negative || flags.plus || flags.space));
        }
        let digits = match (base, verb) {
            (2, _) => format!("{magnitude:b}"),
            (8, _) => format!("{magnitude:o}"),
            (16, 'X') => format!("{magnitude:X}"),
            (16, _) => format!("{magnitude:x}"),
            _ => magnitude.to_string(),
        };
        if !self.fits(precision) {
            return;
        }
        let mut text = Vec::with_capacity(digits.len().max(precision) + 5);
        match (negative, flags.plus, flags.space) {
            (true, ..) => text.push(b'-'),
            (_, true, _) => text.push(b'+'),
            (_, _, true) => text.push(b' '),
            _ => {}
        }
        if verb == 'O' {
            text.extend_from_slice(b"0o");
        }
        let zeros = precision.saturating_sub(digits.len());
        if flags.sharp {
            match base {
                2 => text.extend_from_slice(b"0b"),
                8 if zeros == 0 && !digits.starts_with('0') => text.push(b'0'),
                16 => text.extend_from_slice(if verb == 'X' { b"0X" } else { b"0x" }),
                _ => {}
            }
        }
        text.resize(text.len() + zeros, b'0');
        text.extend_from_slice(digits.as_bytes());
        self.pad_without_zeros(&text);
    }

    /// `fmtUnicode`: `U+0078`, and `U+0078 'x'` with `#`.
    fn unicode(&mut self, bits: u64) {
        let precision = self.flags.precision.unwrap_or(0).max(4);
        if !self.fits(precision) {
            return;
        }
        let mut text = format!("U+{bits:0precision$X}");
        if self.flags.sharp
            && let Some(c) = u32::try_from(bits).ok().and_then(char::from_u32).filter(|c| is_print(*c))
        {
            text.push_str(&format!(" '{c}'"));
        }
        self.pad_without_zeros(text.as_bytes());
    }

    /// `fmtFloat` of `pp`.
    pub fn float(&mut self, value: &Value, float: f64, verb: char) {
        match verb {
            'v' => self.number(float, b'g', None),
            'b' | 'g' | 'G' | 'x' | 'X' => self.number(float, verb as u8, None),
            'f' | 'e' | 'E' => self.number(float, verb as u8, Some(6)),
            'F' => self.number(float, b'f', Some(6)),
            _ => self.bad_verb(value, verb),
        }
    }

    /// `fmtComplex`: `(1+2i)`
    pub fn complex(&mut self, value: &Value, re: f64, im: f64, verb: char) {
        if !matches!(verb, 'v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E') {
            return self.bad_verb(value, verb);
        }
        self.write(b"(");
        self.float(value, re, verb);
        let plus = std::mem::replace(&mut self.flags.plus, true);
        self.float(value, im, verb);
        self.flags.plus = plus;
        self.write(b"i)");
    }

    /// `fmtFloat` of `fmt`.
    fn number(&mut self, float: f64, verb: u8, precision: Option<usize>) {
        let precision = self.flags.precision.or(precision);
        if !self.fits(precision.unwrap_or(0)) {
            return;
        }
        let flags = self.flags;
        let mut text = format_float(float, verb, precision);
        if !matches!(text.first(), Some(b'+' | b'-')) {
            text.insert(0, b'+');
        }
        if flags.space && text[0] == b'+' && !flags.plus {
            text[0] = b' ';
        }
        if !float.is_finite() {
            // No zeros before what is no number, and no sign of NaN that the verb does not ask for. Infinity keeps its
            // sign.
            let unsigned = float.is_nan() && !flags.space && !flags.plus;
            return self.pad_without_zeros(&text[usize::from(unsigned)..]);
        }
        if flags.sharp && verb != b'b' {
            keep_zeros(&mut text, verb, precision);
        }
        if !flags.plus && text[0] == b'+' {
            return self.pad(&text[1..]);
        }
        match flags.width.filter(|width| flags.zero && !flags.minus && *width > text.len()) {
            Some(width) => {
                self.write(&text[..1]);
                self.padding(width - text.len());
                self.write(&text[1..]);
            }
            None => self.pad(&text),
        }
    }

    /// `fmtString`
    pub fn text(&mut self, value: &Value, text: &[u8], verb: char) {
        match verb {
            'v' if self.flags.sharp_v => self.quoted(text),
            'v' | 's' => self.string(text),
            'x' | 'X' => self.hex_string(text, verb == 'X'),
            'q' => self.quoted(text),
            _ => self.bad_verb(value, verb),
        }
    }

    /// `fmtS`
    pub fn string(&mut self, text: &[u8]) {
        let text = self.truncate(text);
        self.pad(text);
    }

    /// `fmtQ`
    pub fn quoted(&mut self, text: &[u8]) {
        let text = self.truncate(text);
        if !self.fits(text.len()) {
            return;
        }
        if self.flags.sharp && can_backquote(text) {
            return self.pad(&[b"`", text, b"`"].concat());
        }
        self.pad(&quote(text, self.flags.plus));
    }

    /// As many characters as the precision says.
    fn truncate<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        let Some(precision) = self.flags.precision else { return text };
        let mut end = 0;
        for _ in 0..precision {
            if end >= text.len() {
                break;
            }
            end += decode(&text[end..]).1;
        }
        &text[..end]
    }

    /// `fmtSbx`: the bytes in hexadecimal.
    pub fn hex_string(&mut self, bytes: &[u8], upper: bool) {
        let flags = self.flags;
        let bytes = &bytes[..flags.precision.unwrap_or(usize::MAX).min(bytes.len())];
        if bytes.is_empty() {
            return self.padding(flags.width.unwrap_or(0));
        }
        let width = match (flags.space, flags.sharp) {
            (true, sharp) => bytes.len() * (if sharp { 5 } else { 3 }) - 1,
            (false, true) => bytes.len() * 2 + 2,
            (false, false) => bytes.len() * 2,
        };
        let padding = flags.width.unwrap_or(0).saturating_sub(width);
        if !flags.minus {
            self.padding(padding);
        }
        if !self.fits(width) {
            return;
        }
        let digits = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
        let prefix: &[u8] = if upper { b"0X" } else { b"0x" };
        for (i, byte) in bytes.iter().enumerate() {
            if flags.space && i > 0 {
                self.out.push(b' ');
            }
            if flags.sharp && (i == 0 || flags.space) {
                self.out.extend_from_slice(prefix);
            }
            self.out.extend_from_slice(&[digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
        }
        if flags.minus {
            self.padding(padding);
        }
    }
}

/// The character of a number; U+FFFD if there is none.
fn to_char(bits: u64) -> char {
    u32::try_from(bits).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// What `#` does to a float: a decimal point in any case, and the zeros that `%g` leaves out.
fn keep_zeros(text: &mut Vec<u8>, verb: u8, precision: Option<usize>) {
    let mut digits = match verb {
        b'g' | b'G' | b'x' => precision.map_or(6, |p| p as i64),
        _ => 0,
    };
    let is_hex = matches!(verb, b'x' | b'X');
    let end =
        text.iter().position(|b| matches!(b, b'p' | b'P') || !is_hex && matches!(b, b'e' | b'E')).unwrap_or(text.len());
    let tail = text.split_off(end);
    let mut has_point = false;
    let mut nonzero = false;
    for byte in &text[1..] {
        if *byte == b'.' {
            has_point = true;
        } else {
            nonzero |= *byte != b'0';
            digits -= i64::from(nonzero);
        }
    }
    if !has_point {
        if text.len() == 2 && text[1] == b'0' {
            digits -= 1;
        }
        text.push(b'.');
    }
    text.resize(text.len() + usize::try_from(digits).unwrap_or(0), b'0');
    text.extend_from_slice(&tail);
}
