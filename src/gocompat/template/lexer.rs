//! Template text to tokens (`text/template/parse/lex.go`).

mod number;

use std::borrow::Cow;

use super::strconv::{is_digit, is_letter, is_print, unicode};
use super::token::{Item, Kind};

/// The scanner. It is asked for one token at a time.
pub(super) struct Lexer<'a> {
    input: &'a str,
    pos: usize,
    start: usize,
    at_eof: bool,
    paren_depth: usize,
    line: usize,
    start_line: usize,
    inside_action: bool,
    /// Whether `break` and `continue` are keywords, and not functions.
    break_ok: bool,
    continue_ok: bool,
    items_left: usize,
}

/// What a state of the scanner leads to: a token, or another state.
enum Step<'a> {
    Token(Item<'a>),
    Text,
}

impl<'a> Lexer<'a> {
    /// `items_left` is how many tokens it may give.
    pub fn new(input: &'a str, break_ok: bool, continue_ok: bool, items_left: usize) -> Self {
        Lexer {
            input,
            pos: 0,
            start: 0,
            at_eof: false,
            paren_depth: 0,
            line: 1,
            start_line: 1,
            inside_action: false,
            break_ok,
            continue_ok,
            items_left,
        }
    }

    /// How many more tokens it may give.
    pub fn items_left(&self) -> usize {
        self.items_left
    }

    pub fn next_item(&mut self) -> Item<'a> {
        if self.items_left == 0
            && let Step::Token(error) =
                self.error("the templates of the object are too long: spread them over several objects")
        {
            return error;
        }
        self.items_left = self.items_left.saturating_sub(1);
        loop {
            match if self.inside_action { self.action() } else { self.text() } {
                Step::Token(item) => return item,
                Step::Text => {}
            }
        }
    }

    fn rest(&self) -> &'a str {
        &self.input[self.pos..]
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest().chars().next();
        match c {
            Some(c) => self.pos += c.len_utf8(),
            None => self.at_eof = true,
        }
        self.line += usize::from(c == Some('\n'));
        c
    }

    fn backup(&mut self) {
        if !self.at_eof
            && let Some(c) = self.input[..self.pos].chars().next_back()
        {
            self.pos -= c.len_utf8();
            self.line -= usize::from(c == '\n');
        }
    }

    fn peek(&mut self) -> Option<char> {
        let c = self.next();
        self.backup();
        c
    }

    fn emit(&mut self, kind: Kind) -> Step<'a> {
        Step::Token(self.this_item(kind))
    }

    fn this_item(&mut self, kind: Kind) -> Item<'a> {
        let text = Cow::Borrowed(&self.input[self.start..self.pos]);
        let item = Item { kind, pos: self.start, text, line: self.start_line };
        self.start = self.pos;
        self.start_line = self.line;
        item
    }

    fn ignore(&mut self) {
        self.line += newlines(&self.input[self.start..self.pos]);
        self.start = self.pos;
        self.start_line = self.line;
    }

    fn accept(&mut self, valid: &str) -> bool {
        if self.next().is_some_and(|c| valid.contains(c)) {
            return true;
        }
        self.backup();
        false
    }

    fn accept_run(&mut self, valid: &str) {
        while self.next().is_some_and(|c| valid.contains(c)) {}
        self.backup();
    }

    fn error(&mut self, text: impl Into<String>) -> Step<'a> {
        let item = Item { kind: Kind::Error, pos: self.start, text: Cow::Owned(text.into()), line: self.start_line };
        self.start = 0;
        self.pos = 0;
        self.input = "";
        Step::Token(item)
    }

    fn text(&mut self) -> Step<'a> {
        let Some(found) = self.rest().find("{{") else {
            self.pos = self.input.len();
            if self.pos > self.start {
                self.line += newlines(&self.input[self.start..self.pos]);
                return self.emit(Kind::Text);
            }
            return self.emit(Kind::Eof);
        };
        if found > 0 {
            self.pos += found;
            let trim = if has_left_trim(&self.input[self.pos + 2..]) {
                let text = &self.input[self.start..self.pos];
                text.len() - text.trim_end_matches(is_space).len()
            } else {
                0
            };
            self.pos -= trim;
            self.line += newlines(&self.input[self.start..self.pos]);
            let item = self.this_item(Kind::Text);
            self.pos += trim;
            self.ignore();
            if !item.text.is_empty() {
                return Step::Token(item);
            }
        }
        self.left_delim()
    }

    fn left_delim(&mut self) -> Step<'a> {
        self.pos += 2;
        let after_marker = if has_left_trim(self.rest()) { 2 } else { 0 };
        if self.input[self.pos + after_marker..].starts_with("/*") {
            self.pos += after_marker;
            self.ignore();
            return self.comment();
        }
        let item = self.this_item(Kind::LeftDelim);
        self.inside_action = true;
        self.pos += after_marker;
        self.ignore();
        self.paren_depth = 0;
        Step::Token(item)
    }

    fn comment(&mut self) -> Step<'a> {
        self.pos += 2;
        let Some(end) = self.rest().find("*/") else { return self.error("unclosed comment") };
        self.pos += end + 2;
        let Some(trim) = self.at_right_delim() else { return self.error("comment ends before closing delimiter") };
        self.line += newlines(&self.input[self.start..self.pos]);
        self.start = self.pos;
        self.start_line = self.line;
        self.pos += if trim { 4 } else { 2 };
        if trim {
            self.pos += leading_space(self.rest());
        }
        self.ignore();
        Step::Text
    }

    /// `Some(true)` with a trim marker.
    fn at_right_delim(&self) -> Option<bool> {
        if has_right_trim(self.rest()) && self.rest()[2..].starts_with("}}") {
            return Some(true);
        }
        self.rest().starts_with("}}").then_some(false)
    }

    fn right_delim(&mut self) -> Step<'a> {
        let trim = self.at_right_delim() == Some(true);
        if trim {
            self.pos += 2;
            self.ignore();
        }
        self.pos += 2;
        let item = self.this_item(Kind::RightDelim);
        if trim {
            self.pos += leading_space(self.rest());
            self.ignore();
        }
        self.inside_action = false;
        Step::Token(item)
    }

    fn action(&mut self) -> Step<'a> {
        if self.at_right_delim().is_some() {
            return if self.paren_depth == 0 { self.right_delim() } else { self.error("unclosed left paren") };
        }
        let Some(c) = self.next() else { return self.error("unclosed action") };
        match c {
            _ if is_space(c) => {
                self.backup();
                self.space()
            }
            '=' => self.emit(Kind::Assign),
            ':' if self.next() == Some('=') => self.emit(Kind::Declare),
            ':' => self.error("expected :="),
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', Kind::String, "unterminated quoted string"),
            '`' => self.raw_quote(),
            '$' => self.field_or_variable(Kind::Variable),
            '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant"),
            '.' if self.rest().bytes().next().is_some_and(|b| !b.is_ascii_digit()) => {
                self.field_or_variable(Kind::Field)
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.backup();
                self.number()
            }
            _ if is_alphanumeric(c) => {
                self.backup();
                self.identifier()
            }
            '(' => {
                self.paren_depth += 1;
                self.emit(Kind::LeftParen)
            }
            ')' if self.paren_depth == 0 => self.error("unexpected right paren"),
            ')' => {
                self.paren_depth -= 1;
                self.emit(Kind::RightParen)
            }
            _ if c.is_ascii() && is_print(c) => self.emit(Kind::Char),
            _ => {
                let text = format!("unrecognized character in action: {}", unicode(Some(c)));
                self.error(text)
            }
        }
    }

    fn space(&mut self) -> Step<'a> {
        let mut spaces = 0;
        while self.peek().is_some_and(is_space) {
            self.next();
            spaces += 1;
        }
        // " -}}" belongs to the delimiter.
        let last = &self.input[self.pos.saturating_sub(1)..];
        if has_right_trim(last) && last[2..].starts_with("}}") {
            self.backup();
            if spaces == 1 {
                return self.right_delim();
            }
        }
        self.emit(Kind::Space)
    }

    fn identifier(&mut self) -> Step<'a> {
        while self.next().is_some_and(is_alphanumeric) {}
        self.backup();
        let word = &self.input[self.start..self.pos];
        if !self.at_terminator() {
            return self.bad_character();
        }
        match Kind::keyword(word) {
            Some(Kind::Break) if !self.break_ok => self.emit(Kind::Identifier),
            Some(Kind::Continue) if !self.continue_ok => self.emit(Kind::Identifier),
            Some(kind) => self.emit(kind),
            None if word == "true" || word == "false" => self.emit(Kind::Bool),
            None => self.emit(Kind::Identifier),
        }
    }

    fn bad_character(&mut self) -> Step<'a> {
        let text = format!("bad character {}", unicode(self.peek()));
        self.error(text)
    }

    fn field_or_variable(&mut self, kind: Kind) -> Step<'a> {
        if self.at_terminator() {
            return self.emit(if kind == Kind::Variable { kind } else { Kind::Dot });
        }
        while self.next().is_some_and(is_alphanumeric) {}
        self.backup();
        if !self.at_terminator() {
            return self.bad_character();
        }
        self.emit(kind)
    }

    fn at_terminator(&mut self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(c) => is_space(c) || self.rest().starts_with("}}"),
        }
    }

    fn quoted(&mut self, quote: char, kind: Kind, unterminated: &str) -> Step<'a> {
        loop {
            match self.next() {
                Some('\\') if matches!(self.next(), Some(c) if c != '\n') => {}
                Some('\\' | '\n') | None => return self.error(unterminated),
                Some(c) if c == quote => return self.emit(kind),
                Some(_) => {}
            }
        }
    }

    fn raw_quote(&mut self) -> Step<'a> {
        loop {
            match self.next() {
                None => return self.error("unterminated raw quoted string"),
                Some('`') => return self.emit(Kind::RawString),
                Some(_) => {}
            }
        }
    }
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|b| *b == b'\n').count()
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || is_letter(c) || is_digit(c)
}

fn leading_space(text: &str) -> usize {
    text.len() - text.trim_start_matches(is_space).len()
}

fn has_left_trim(text: &str) -> bool {
    matches!(text.as_bytes(), [b'-', b' ' | b'\t' | b'\r' | b'\n', ..])
}

fn has_right_trim(text: &str) -> bool {
    matches!(text.as_bytes(), [b' ' | b'\t' | b'\r' | b'\n', b'-', ..])
}
