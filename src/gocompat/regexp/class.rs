//! Escapes and classes of characters.

use super::{Step, Translator, class, complain};

/// The classes that are written `[:alpha:]`.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

impl<'t> Translator<'t> {
    /// `\pL` or `\p{Greek}`.
    pub(super) fn property(&mut self) -> Step<&'t str> {
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
        self.properties += 1;
        Ok(property)
    }

    /// An escape that stands for one character.
    pub(super) fn single(&mut self) -> Step<char> {
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

    /// A class in brackets.
    pub(super) fn class(&mut self) -> Step {
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
