//! From the syntax of Go's `regexp/syntax` to that of the `regex` crate, with Go's error texts.
//!
//! Go's classes `\d \w \s` and `\b` are ASCII; `{` that begins no repetition, and `[` and `&` within a class, are
//! themselves; `\Q...\E` quotes; group names may begin with a digit. Groups lose their names here, the caller keeps
//! them.

/// An expression for the `regex` crate, and the names of its groups.
pub(super) struct Translated {
    pub(super) pattern: String,
    pub(super) names: Vec<Option<String>>,
}

/// Go's limit on how often something may be repeated.
const MAX_REPEAT: u32 = 1000;

/// The classes that are written `[:alpha:]`.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// A text quoted with back quotes if it can be, given it quoted with double quotes.
pub(super) fn back_quoted(quoted: &str) -> Option<String> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut out = String::from("`");
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                c @ ('\\' | '"') => out.push(c),
                't' => out.push('\t'),
                _ => return None,
            },
            '`' => return None,
            _ => out.push(c),
        }
    }
    out.push('`');
    Some(out)
}

struct Translator<'t> {
    text: &'t str,
    at: usize,
    out: String,
    names: Vec<Option<String>>,
    /// For each open group: the place of its parenthesis.
    open: Vec<usize>,
}

type Step<T = ()> = Result<T, String>;

fn complain<T>(what: &str, about: &str) -> Step<T> {
    Err(format!("{what}: `{about}`"))
}

/// An expression or Go's complaint, without the words before it.
pub(super) fn translate(pattern: &[u8]) -> Step<Translated> {
    let Ok(text) = std::str::from_utf8(pattern) else {
        return complain("invalid UTF-8", &String::from_utf8_lossy(pattern));
    };
    let mut translator = Translator { text, at: 0, out: String::new(), names: Vec::new(), open: Vec::new() };
    translator.all()?;
    Ok(Translated { pattern: translator.out, names: translator.names })
}

fn class(letter: char) -> Option<&'static str> {
    Some(match letter {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => r"\t\n\f\r\x20",
        _ => return None,
    })
}

impl<'t> Translator<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn literal(&mut self, c: char) {
        if c.is_ascii_alphanumeric() || !c.is_ascii() {
            self.out.push(c);
        } else {
            self.out += &format!("\\x{{{:x}}}", u32::from(c));
        }
    }

    fn all(&mut self) -> Step {
        // Whether something stands there that can be repeated, and the repetition just read.
        let mut operand = false;
        let mut repeated: Option<usize> = None;
        while let Some(c) = self.rest().chars().next() {
            let start = self.at;
            let mut now_repeated = None;
            match c {
                '(' => {
                    self.group()?;
                    operand = false;
                }
                '|' => {
                    self.at += 1;
                    self.out.push('|');
                    operand = false;
                }
                ')' => {
                    if self.open.pop().is_none() {
                        return complain("unexpected )", self.text);
                    }
                    self.at += 1;
                    self.out.push(')');
                    operand = true;
                }
                '*' | '+' | '?' | '{' => match self.repetition()? {
                    None => {
                        self.at += 1;
                        self.literal('{');
                        operand = true;
                    }
                    Some(op) => {
                        if !operand {
                            return complain("missing argument to repetition operator", op);
                        }
                        if let Some(from) = repeated {
                            return complain("invalid nested repetition operator", &self.text[from..self.at]);
                        }
                        now_repeated = Some(start);
                        self.out.push_str(op);
                    }
                },
                '^' | '$' | '.' => {
                    self.at += 1;
                    self.out.push(c);
                    operand = true;
                }
                '[' => {
                    self.class()?;
                    operand = true;
                }
                '\\' => operand = self.escape()? || operand,
                c => {
                    self.at += c.len_utf8();
                    self.literal(c);
                    operand = true;
                }
            }
            repeated = now_repeated;
        }
        match self.open.is_empty() {
            true => Ok(()),
            false => complain("missing closing )", self.text),
        }
    }

    /// A repetition with its `?`, or nothing if a brace is only a brace.
    fn repetition(&mut self) -> Step<Option<&'t str>> {
        let rest = self.rest();
        let mut length = 1;
        if rest.starts_with('{') {
            let Some((min, max, end)) = braces(rest) else { return Ok(None) };
            if min > MAX_REPEAT || max.is_some_and(|max| max > MAX_REPEAT || max < min) {
                return complain("invalid repeat count", &rest[..end]);
            }
            length = end;
        }
        if rest[length..].starts_with('?') {
            length += 1;
        }
        self.at += length;
        Ok(Some(&rest[..length]))
    }

    fn group(&mut self) -> Step {
        let rest = self.rest();
        self.open.push(self.at);
        let Some(flags) = rest.strip_prefix("(?") else {
            self.at += 1;
            self.out.push('(');
            self.names.push(None);
            return Ok(());
        };
        if let Some(body) = flags.strip_prefix("P<").or_else(|| flags.strip_prefix('<')) {
            if flags.starts_with("<=") || flags.starts_with("<!") {
                return complain("invalid or unsupported Perl syntax", &rest[..4]);
            }
            let Some(end) = body.find('>') else { return complain("invalid named capture", rest) };
            let name = &body[..end];
            let length = rest.len() - body.len() + end + 1;
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return complain("invalid named capture", &rest[..length]);
            }
            if self.names.iter().any(|other| other.as_deref() == Some(name)) {
                return complain("duplicate capture group name", name);
            }
            self.names.push(Some(name.to_owned()));
            self.at += length;
            self.out.push('(');
            return Ok(());
        }
        let mut negative = false;
        let mut any = false;
        for (i, c) in flags.char_indices() {
            match c {
                'i' | 'm' | 's' | 'U' => any = true,
                '-' if !negative => (negative, any) = (true, false),
                ':' | ')' if !negative || any => {
                    let length = 2 + i + 1;
                    self.at += length;
                    if c == ')' {
                        self.open.pop();
                        if i > 0 {
                            self.out.push_str(&rest[..length]);
                        }
                    } else {
                        self.out.push_str(&rest[..length]);
                    }
                    return Ok(());
                }
                _ => return complain("invalid or unsupported Perl syntax", &rest[..2 + i + c.len_utf8()]),
            }
        }
        complain("missing closing )", self.text)
    }

    /// Whether it left something that can be repeated.
    fn escape(&mut self) -> Step<bool> {
        let rest = self.rest();
        let Some(letter) = rest[1..].chars().next() else {
            return Err("trailing backslash at end of expression: ``".to_owned());
        };
        let two = &rest[..1 + letter.len_utf8()];
        match letter {
            'A' | 'z' => self.out.push_str(two),
            'b' => self.out.push_str(r"(?-u:\b)"),
            'B' => self.out.push_str(r"(?-u:\B)"),
            'Q' => {
                let (quoted, after) = rest[2..].split_once("\\E").unwrap_or((&rest[2..], ""));
                self.at = self.text.len() - after.len();
                quoted.chars().for_each(|c| self.literal(c));
                return Ok(!quoted.is_empty());
            }
            'C' => return complain("invalid escape sequence", two),
            'd' | 's' | 'w' => self.out += &format!("[{}]", class(letter).unwrap_or_default()),
            'D' | 'S' | 'W' => self.out += &format!("[^{}]", class(letter.to_ascii_lowercase()).unwrap_or_default()),
            'p' | 'P' => {
                let property = self.property()?;
                self.out.push_str(property);
                return Ok(true);
            }
            _ => {
                let c = self.single()?;
                self.literal(c);
                return Ok(true);
            }
        }
        self.at += two.len();
        Ok(true)
    }

    /// `\pL` or `\p{Greek}`.
    fn property(&mut self) -> Step<&'t str> {
        let rest = self.rest();
        let length = match rest[2..].chars().next() {
            Some('{') => match rest.find('}') {
                Some(end) => end + 1,
                None => return complain("invalid character class range", rest),
            },
            Some(c) => 2 + c.len_utf8(),
            None => return complain("invalid character class range", rest),
        };
        let property = &rest[..length];
        if regex::Regex::new(property).is_err() {
            return complain("invalid character class range", property);
        }
        self.at += length;
        Ok(property)
    }

    /// An escape that stands for one character.
    fn single(&mut self) -> Step<char> {
        let rest = self.rest();
        let Some(letter) = rest[1..].chars().next() else {
            return Err("trailing backslash at end of expression: ``".to_owned());
        };
        let body = &rest[1 + letter.len_utf8()..];
        let octal = |text: &str| text.bytes().take_while(|b| matches!(b, b'0'..=b'7')).count().min(2);
        let (c, length) = match letter {
            'a' => ('\u{7}', 0),
            'f' => ('\u{C}', 0),
            'n' => ('\n', 0),
            'r' => ('\r', 0),
            't' => ('\t', 0),
            'v' => ('\u{B}', 0),
            '0' | '1'..='7' if letter == '0' || octal(body) > 0 => {
                let digits = octal(body);
                let value = u32::from_str_radix(&format!("{letter}{}", &body[..digits]), 8).unwrap_or(0);
                (char::from_u32(value).unwrap_or('\u{FFFD}'), digits)
            }
            'x' => {
                let (digits, length) = match body.strip_prefix('{') {
                    Some(inner) => match inner.find('}') {
                        Some(end) => (&inner[..end], end + 2),
                        None => return complain("invalid escape sequence", rest),
                    },
                    None => (body.get(..2).unwrap_or(""), 2),
                };
                let value = Some(digits)
                    .filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()))
                    .and_then(|digits| u32::from_str_radix(digits, 16).ok())
                    .and_then(char::from_u32);
                match value {
                    Some(c) => (c, length),
                    None => {
                        let shown = rest.len().min(2 + digits.len() + 2);
                        return complain("invalid escape sequence", rest.get(..shown).unwrap_or(rest));
                    }
                }
            }
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => (c, 0),
            _ => return complain("invalid escape sequence", &rest[..1 + letter.len_utf8()]),
        };
        self.at += 1 + letter.len_utf8() + length;
        Ok(c)
    }

    fn class(&mut self) -> Step {
        let whole = self.rest();
        self.at += 1;
        self.out.push('[');
        if self.rest().starts_with('^') {
            self.at += 1;
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let rest = self.rest();
            let Some(c) = rest.chars().next() else { return complain("missing closing ]", whole) };
            if c == ']' && !first {
                break;
            }
            // A minus is itself at the ends only.
            if c == '-' && !first && rest.len() > 1 && !rest[1..].starts_with(']') {
                let next = rest[1..].chars().next().map_or(1, char::len_utf8);
                return complain("invalid character class range", &rest[..1 + next]);
            }
            first = false;
            if rest.starts_with("[:")
                && let Some(end) = rest.find(":]")
            {
                let name = &rest[..end + 2];
                let word = name.trim_matches(|c| "[:]".contains(c));
                if !POSIX.contains(&word.strip_prefix('^').unwrap_or(word)) {
                    return complain("invalid character class range", name);
                }
                self.out.push_str(name);
                self.at += name.len();
                continue;
            }
            if c == '\\' {
                let letter = rest[1..].chars().next();
                if let Some('p' | 'P') = letter {
                    let property = self.property()?;
                    self.out.push_str(property);
                    continue;
                }
                if let Some(letter @ ('d' | 's' | 'w' | 'D' | 'S' | 'W')) = letter {
                    let negate = if letter.is_ascii_uppercase() { "^" } else { "" };
                    let set = class(letter.to_ascii_lowercase()).unwrap_or_default();
                    self.out += &format!("[{negate}{set}]");
                    self.at += 2;
                    continue;
                }
            }
            let from_at = self.at;
            let low = self.class_char()?;
            self.literal(low);
            let rest = self.rest();
            if rest.starts_with('-') && rest.len() > 1 && !rest.starts_with("-]") {
                self.at += 1;
                let high = self.class_char()?;
                if high < low {
                    return complain("invalid character class range", &self.text[from_at..self.at]);
                }
                self.out.push('-');
                self.literal(high);
            }
        }
        self.at += 1;
        self.out.push(']');
        Ok(())
    }

    fn class_char(&mut self) -> Step<char> {
        match self.rest().chars().next() {
            Some('\\') => self.single(),
            Some(c) => {
                self.at += c.len_utf8();
                Ok(c)
            }
            None => complain("missing closing ]", self.text),
        }
    }
}

/// `{2}`, `{2,}`, `{2,3}` and its length.
fn braces(text: &str) -> Option<(u32, Option<u32>, usize)> {
    let end = text.find('}')?;
    let body = &text[1..end];
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        // Go refuses leading zeroes, and takes what is too large for too large.
        (plain && (digits == "0" || !digits.starts_with('0'))).then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let (min, max) = match body.split_once(',') {
        None => (number(body)?, Some(number(body)?)),
        Some((min, "")) => (number(min)?, None),
        Some((min, max)) => (number(min)?, Some(number(max)?)),
    };
    Some((min, max, end + 1))
}
