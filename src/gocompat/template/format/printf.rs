//! Format strings (`doPrintf`).

use super::super::strconv::decode;
use super::super::value::Value;
use super::printer::{Flags, Printer};

/// A larger width or precision is none at all (`tooLarge`).
const MAX_WIDTH: i64 = 1_000_000;

/// Where in the format string, and at which argument.
struct Cursor<'f> {
    format: &'f [u8],
    at: usize,
    arg: usize,
    arg_count: usize,
    /// The last thing was an index: `%[3]`.
    after_index: bool,
    /// Some index was used: arguments that are left over are no error then.
    reordered: bool,
    good_index: bool,
    /// The place of the last bracket that closes an index.
    last_close: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }

    /// `parsenum`
    fn number(&mut self) -> Option<usize> {
        let (number, end) = parse_number(self.format, self.at, self.format.len());
        self.at = end;
        number
    }

    /// `argNumber`: an index such as `[3]`, if there is one.
    fn index(&mut self) {
        self.after_index = false;
        if self.peek() != Some(b'[') {
            return;
        }
        self.reordered = true;
        let rest = &self.format[self.at..];
        // Where none follows, the rest is not gone through for each bracket that opens.
        let closed = self.at < self.last_close && rest.len() >= 3;
        let close = if closed { rest.iter().position(|b| *b == b']') } else { None };
        let Some(close) = close else {
            self.good_index = false;
            self.at += 1;
            return;
        };
        let index = match parse_number(rest, 1, close) {
            (Some(number), end) if end == close => Some(number),
            _ => None,
        };
        self.at += close + 1;
        match index {
            Some(index) if (1..=self.arg_count).contains(&index) => {
                self.arg = index - 1;
                self.after_index = true;
            }
            // A number, but of no argument, still counts as an index.
            Some(_) => {
                self.good_index = false;
                self.after_index = true;
            }
            None => self.good_index = false,
        }
    }

    /// `intFromArg`: the number that `*` stands for.
    fn star(&mut self, args: &[Value]) -> Option<i64> {
        let arg = args.get(self.arg)?;
        self.arg += 1;
        let number = match arg {
            Value::Int(i, _) | Value::Duration(i) => *i,
            Value::Uint(u, _) => i64::try_from(*u).ok()?,
            _ => return None,
        };
        (-MAX_WIDTH..=MAX_WIDTH).contains(&number).then_some(number)
    }
}

/// The number at `start`, and where it ends.
fn parse_number(text: &[u8], start: usize, end: usize) -> (Option<usize>, usize) {
    let mut number = None;
    let mut at = start;
    while at < end && text[at].is_ascii_digit() {
        let value = number.unwrap_or(0);
        if value > MAX_WIDTH as usize {
            return (None, end);
        }
        number = Some(value * 10 + usize::from(text[at] - b'0'));
        at += 1;
    }
    (number, at)
}

impl Printer {
    pub fn printf(&mut self, format: &[u8], args: &[Value]) {
        let mut cursor = Cursor {
            format,
            at: 0,
            arg: 0,
            arg_count: args.len(),
            after_index: false,
            reordered: false,
            good_index: true,
            last_close: format.iter().rposition(|b| *b == b']').unwrap_or(0),
        };
        while cursor.at < format.len() && !self.has_failed() {
            let rest = &format[cursor.at..];
            let plain = rest.iter().position(|b| *b == b'%').unwrap_or(rest.len());
            self.write(&rest[..plain]);
            cursor.at += plain + 1;
            if plain < rest.len() {
                self.verb(&mut cursor, args);
            }
        }
        if !cursor.reordered && cursor.arg < args.len() {
            self.extra(&args[cursor.arg..]);
        }
    }

    /// What follows a `%`.
    fn verb(&mut self, cursor: &mut Cursor<'_>, args: &[Value]) {
        cursor.good_index = true;
        self.flags = Flags::default();
        while let Some(flag) = cursor.peek() {
            match flag {
                b'#' => self.flags.sharp = true,
                b'0' => self.flags.zero = true,
                b'+' => self.flags.plus = true,
                b'-' => self.flags.minus = true,
                b' ' => self.flags.space = true,
                _ => break,
            }
            cursor.at += 1;
        }
        cursor.index();
        self.width(cursor, args);
        if cursor.peek() == Some(b'.') && cursor.at + 1 < cursor.format.len() {
            self.precision(cursor, args);
        }
        if !cursor.after_index {
            cursor.index();
        }
        if cursor.at >= cursor.format.len() {
            return self.write(b"%!(NOVERB)");
        }
        let (verb, width) = decode(&cursor.format[cursor.at..]);
        let verb = verb.unwrap_or(char::REPLACEMENT_CHARACTER);
        cursor.at += width;
        if verb == '%' {
            return self.write(b"%");
        }
        let complain = |printer: &mut Printer, what: &[u8]| {
            printer.write(b"%!");
            printer.write(verb.encode_utf8(&mut [0; 4]).as_bytes());
            printer.write(what);
        };
        if !cursor.good_index {
            return complain(self, b"(BADINDEX)");
        }
        let Some(arg) = args.get(cursor.arg) else { return complain(self, b"(MISSING)") };
        if matches!(verb, 'v' | 'w') {
            self.flags.sharp_v = std::mem::take(&mut self.flags.sharp);
            self.flags.plus_v = std::mem::take(&mut self.flags.plus);
        }
        self.arg(arg, verb);
        cursor.arg += 1;
    }

    fn width(&mut self, cursor: &mut Cursor<'_>, args: &[Value]) {
        if cursor.peek() == Some(b'*') {
            cursor.at += 1;
            match cursor.star(args) {
                Some(width) => {
                    self.flags.width = Some(width.unsigned_abs() as usize);
                    if width < 0 {
                        self.flags.minus = true;
                        self.flags.zero = false;
                    }
                }
                None => self.write(b"%!(BADWIDTH)"),
            }
            cursor.after_index = false;
        } else {
            self.flags.width = cursor.number();
            if cursor.after_index && self.flags.width.is_some() {
                cursor.good_index = false;
            }
        }
    }

    fn precision(&mut self, cursor: &mut Cursor<'_>, args: &[Value]) {
        cursor.at += 1;
        if cursor.after_index {
            cursor.good_index = false;
        }
        cursor.index();
        if cursor.peek() == Some(b'*') {
            cursor.at += 1;
            match cursor.star(args).and_then(|p| usize::try_from(p).ok()) {
                Some(precision) => self.flags.precision = Some(precision),
                None => self.write(b"%!(BADPREC)"),
            }
            cursor.after_index = false;
        } else {
            self.flags.precision = Some(cursor.number().unwrap_or(0));
        }
    }

    /// Arguments that no verb has asked for.
    fn extra(&mut self, args: &[Value]) {
        self.flags = Flags::default();
        self.write(b"%!(EXTRA ");
        for (i, arg) in args.iter().enumerate() {
            self.write(if i > 0 { b", " } else { b"" });
            match arg {
                Value::Nil => self.write(b"<nil>"),
                _ => {
                    self.write(arg.type_name().as_bytes());
                    self.write(b"=");
                    self.arg(arg, 'v');
                }
            }
        }
        self.write(b")");
    }
}
