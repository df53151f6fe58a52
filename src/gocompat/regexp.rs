//! From the syntax of Go's `regexp/syntax` to that of the `regex` crate, with Go's error texts.
//!
//! Go's classes `\d \w \s` and `\b` are ASCII; `{` that begins no repetition, and `[` and `&` within a class, are
//! themselves; `\Q...\E` quotes; group names may begin with a digit. Groups lose their names here, the caller keeps
//! them. [`Pattern`] compiles the result within limits, [`NamePattern`] within those of what is kept.

mod class;
mod name;
mod pattern;

pub(crate) use name::{MAX_AUTOMATON_BYTES, NamePattern, NamePatternError};
pub(crate) use pattern::{Groups, Pattern, PatternError};

/// An expression for the `regex` crate, and the names of its groups.
struct Translated {
    pattern: String,
    names: Vec<Option<String>>,
    /// How many classes such as `\pL` there are.
    properties: usize,
}

/// Go's limit on how often something may be repeated.
const MAX_REPEAT: u32 = 1000;

struct Translator<'t> {
    text: &'t str,
    at: usize,
    out: String,
    names: Vec<Option<String>>,
    properties: usize,
    /// What a group that captures begins with.
    open_group: &'static str,
    /// For each open group: the place of its parenthesis.
    open: Vec<usize>,
}

type Step<T = ()> = Result<T, String>;

fn complain<T>(what: &str, about: &str) -> Step<T> {
    Err(format!("{what}: `{about}`"))
}

/// An expression or Go's complaint, without the words before it.
/// Without `groups` none captures, which makes a search cheaper.
fn translate(pattern: &[u8], groups: bool) -> Step<Translated> {
    let text = match std::str::from_utf8(pattern) {
        Ok(text) => text,
        Err(error) => return complain("invalid UTF-8", &String::from_utf8_lossy(&pattern[error.valid_up_to()..])),
    };
    let mut translator = Translator {
        text,
        at: 0,
        out: String::new(),
        names: Vec::new(),
        properties: 0,
        open_group: if groups { "(" } else { "(?:" },
        open: Vec::new(),
    };
    translator.all()?;
    let Translator { out: pattern, names, properties, .. } = translator;
    Ok(Translated { pattern, names, properties })
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
        if self.open.is_empty() { Ok(()) } else { complain("missing closing )", self.text) }
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
            self.out.push_str(self.open_group);
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
            self.out.push_str(self.open_group);
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
}

/// `{2}`, `{2,}`, `{2,3}` and its length.
fn braces(text: &str) -> Option<(u32, Option<u32>, usize)> {
    let length = text[1..].bytes().take_while(|b| b.is_ascii_digit() || *b == b',').count();
    let end = 1 + length;
    if text.as_bytes().get(end) != Some(&b'}') {
        return None;
    }
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
