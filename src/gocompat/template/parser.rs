//! Tokens to a tree (`text/template/parse/parse.go`), with Go's error texts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::TemplateError;
use super::lexer::Lexer;
use super::node::{Arm, Branch, Call, Node, Tree};
use super::strconv::{quote_text, unquote};
use super::token::{Item, Kind};
use super::value::Str;

mod pipeline;

/// How deep actions and parentheses may be nested. Go allows 10000 parentheses and any number of actions, and grows
/// its stack; a template written by a person stays far below this.
const MAX_DEPTH: usize = 100;

type Result<T> = std::result::Result<T, TemplateError>;

/// What ends a list of nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Terminator {
    End,
    Else,
}

impl Terminator {
    fn text(&self) -> &'static str {
        match self {
            Terminator::End => "{{end}}",
            Terminator::Else => "{{else}}",
        }
    }
}

/// A node, or what ends the list.
enum Parsed {
    Node(Node),
    Terminator(Terminator),
}

/// The state of one template: of the source, or of a `define` or `block` in it.
struct State<'a> {
    tokens: [Item<'a>; 3],
    peeked: usize,
    vars: Vec<String>,
    action_line: usize,
    range_depth: usize,
}

impl State<'_> {
    fn new() -> Self {
        let none = || Item { kind: Kind::Eof, pos: 0, text: Cow::Borrowed(""), line: 0 };
        State {
            tokens: [none(), none(), none()],
            peeked: 0,
            vars: vec!["$".to_owned()],
            action_line: 0,
            range_depth: 0,
        }
    }
}

pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    source: Arc<str>,
    text: Arc<str>,
    has_function: &'a dyn Fn(&str) -> bool,
    trees: BTreeMap<String, Tree>,
    state: State<'a>,
    depth: usize,
}

/// The templates that a source defines: itself, and what it has of `define` and `block`. `tokens_left` is how many
/// tokens the sources of a set may still have.
pub(super) fn parse(
    name: &str,
    text: &str,
    has_function: &dyn Fn(&str) -> bool,
    tokens_left: &mut usize,
) -> Result<BTreeMap<String, Tree>> {
    let mut parser = Parser {
        lexer: Lexer::new(text, !has_function("break"), !has_function("continue"), *tokens_left),
        source: name.into(),
        text: text.into(),
        has_function,
        trees: BTreeMap::new(),
        state: State::new(),
        depth: 0,
    };
    let root = parser.top_level()?;
    *tokens_left = parser.lexer.items_left();
    parser.add(name.to_owned(), root)?;
    Ok(parser.trees)
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Item<'a> {
        if self.state.peeked > 0 {
            self.state.peeked -= 1;
        } else {
            self.state.tokens[0] = self.lexer.next_item();
        }
        self.state.tokens[self.state.peeked].clone()
    }

    fn backup(&mut self) {
        self.state.peeked += 1;
    }

    /// Backs up two tokens; the last one is still in its place.
    fn backup2(&mut self, before: Item<'a>) {
        self.state.tokens[1] = before;
        self.state.peeked = 2;
    }

    fn backup3(&mut self, first: Item<'a>, second: Item<'a>) {
        self.state.tokens[1] = second;
        self.state.tokens[2] = first;
        self.state.peeked = 3;
    }

    fn peek(&mut self) -> Item<'a> {
        if self.state.peeked == 0 {
            self.state.peeked = 1;
            self.state.tokens[0] = self.lexer.next_item();
        }
        self.state.tokens[self.state.peeked - 1].clone()
    }

    fn next_non_space(&mut self) -> Item<'a> {
        loop {
            let item = self.next();
            if item.kind != Kind::Space {
                return item;
            }
        }
    }

    fn peek_non_space(&mut self) -> Item<'a> {
        let item = self.next_non_space();
        self.backup();
        item
    }

    fn error<T>(&self, text: impl std::fmt::Display) -> Result<T> {
        Err(TemplateError::new(format!("template: {}:{}: {text}", self.source, self.state.tokens[0].line)))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Item<'a>> {
        let item = self.next_non_space();
        if item.kind == kind { Ok(item) } else { self.unexpected(&item, context) }
    }

    fn unexpected<T>(&self, item: &Item<'a>, context: &str) -> Result<T> {
        if item.kind != Kind::Error {
            return self.error(format_args!("unexpected {item} in {context}"));
        }
        let line = self.state.action_line;
        if line == 0 || line == item.line {
            return self.error(item);
        }
        // Not "unclosed action in action started at".
        let action = if item.text.ends_with(" action") { "" } else { " in action" };
        self.error(format_args!("{item}{action} started at {}:{line}", self.source))
    }

    fn add(&mut self, name: String, root: Vec<Node>) -> Result<()> {
        let tree = Tree { name: name.as_str().into(), source: self.source.clone(), text: self.text.clone(), root };
        match self.trees.get(&name) {
            Some(old) if !old.is_empty() => {
                if tree.is_empty() {
                    return Ok(());
                }
                self.error(format_args!("template: multiple definition of template {}", quote_text(&name)))
            }
            _ => {
                self.trees.insert(name, tree);
                Ok(())
            }
        }
    }

    /// Counts a level of nesting for as long as `parse` runs.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return self.error("max expression depth exceeded");
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn top_level(&mut self) -> Result<Vec<Node>> {
        let mut root = Vec::new();
        loop {
            match self.peek().kind {
                Kind::Eof => return Ok(root),
                Kind::LeftDelim => {
                    let delim = self.next();
                    if self.next_non_space().kind == Kind::Define {
                        self.definition()?;
                        continue;
                    }
                    self.backup2(delim);
                }
                _ => {}
            }
            match self.text_or_action()? {
                Parsed::Node(node) => root.push(node),
                Parsed::Terminator(end) => return self.error(format_args!("unexpected {}", end.text())),
            }
        }
    }

    /// Parses a template within the source, which has its own variables.
    fn inner<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let outer = std::mem::replace(&mut self.state, State::new());
        let parsed = parse(self)?;
        self.state = outer;
        Ok(parsed)
    }

    fn definition(&mut self) -> Result<()> {
        const CONTEXT: &str = "define clause";
        self.inner(|parser| {
            let item = parser.next_non_space();
            let name = parser.template_name(&item, CONTEXT)?;
            parser.expect(Kind::RightDelim, CONTEXT)?;
            let root = parser.body(CONTEXT)?;
            parser.add(name, root)
        })
    }

    /// A list that only `{{end}}` may end.
    fn body(&mut self, context: &str) -> Result<Vec<Node>> {
        match self.nested(Self::item_list)? {
            (root, Terminator::End) => Ok(root),
            (_, end) => self.error(format_args!("unexpected {} in {context}", end.text())),
        }
    }

    fn item_list(&mut self) -> Result<(Vec<Node>, Terminator)> {
        let mut list = Vec::new();
        while self.peek_non_space().kind != Kind::Eof {
            match self.text_or_action()? {
                Parsed::Node(node) => list.push(node),
                Parsed::Terminator(end) => return Ok((list, end)),
            }
        }
        self.error("unexpected EOF")
    }

    fn text_or_action(&mut self) -> Result<Parsed> {
        let item = self.next_non_space();
        match item.kind {
            Kind::Text => Ok(Parsed::Node(Node::Text(Str::from(item.text.as_ref())))),
            Kind::LeftDelim => {
                self.state.action_line = item.line;
                let parsed = self.action()?;
                self.state.action_line = 0;
                Ok(parsed)
            }
            _ => self.unexpected(&item, "input"),
        }
    }

    fn action(&mut self) -> Result<Parsed> {
        let item = self.next_non_space();
        let node = match item.kind {
            Kind::Block => self.block()?,
            Kind::Break => self.loop_control("break", Node::Break)?,
            Kind::Continue => self.loop_control("continue", Node::Continue)?,
            Kind::Else => {
                if !matches!(self.peek_non_space().kind, Kind::If | Kind::With) {
                    self.expect(Kind::RightDelim, "else")?;
                }
                return Ok(Parsed::Terminator(Terminator::Else));
            }
            Kind::End => {
                self.expect(Kind::RightDelim, "end")?;
                return Ok(Parsed::Terminator(Terminator::End));
            }
            Kind::If => Node::If(self.control("if")?),
            Kind::Range => Node::Range(self.control("range")?),
            Kind::With => Node::With(self.control("with")?),
            Kind::Template => self.template()?,
            _ => {
                self.backup();
                self.peek();
                Node::Action(self.pipeline("command", Kind::RightDelim)?)
            }
        };
        Ok(Parsed::Node(node))
    }

    fn loop_control(&mut self, word: &str, node: Node) -> Result<Node> {
        let item = self.next_non_space();
        if item.kind != Kind::RightDelim {
            return self.unexpected(&item, &format!("{{{{{word}}}}}"));
        }
        if self.state.range_depth == 0 {
            return self.error(format_args!("{{{{{word}}}}} outside {{{{range}}}}"));
        }
        Ok(node)
    }

    /// `if`, `range` or `with`, up to its `{{end}}`.
    fn control(&mut self, context: &'static str) -> Result<Box<Branch>> {
        let vars = self.state.vars.len();
        let branch = self.nested(|parser| parser.branch(context))?;
        self.state.vars.truncate(vars);
        Ok(Box::new(branch))
    }

    fn branch(&mut self, context: &'static str) -> Result<Branch> {
        let mut arms = Vec::new();
        loop {
            let pipe = self.pipeline(context, Kind::RightDelim)?;
            let in_range = usize::from(context == "range");
            self.state.range_depth += in_range;
            let (list, end) = self.item_list()?;
            self.state.range_depth -= in_range;
            arms.push(Arm { pipe, list });
            if end == Terminator::End {
                return Ok(Branch { arms, else_list: None });
            }
            // "{{else if b}}" is "{{else}}{{if b}}" with one {{end}} for both. Go nests them; a list of arms needs no
            // stack.
            match (context, self.peek().kind) {
                ("if", Kind::If) | ("with", Kind::With) => {
                    self.next();
                }
                _ => break,
            }
        }
        match self.item_list()? {
            (list, Terminator::End) => Ok(Branch { arms, else_list: Some(list) }),
            (_, end) => self.error(format_args!("expected end; found {}", end.text())),
        }
    }

    fn block(&mut self) -> Result<Node> {
        const CONTEXT: &str = "block clause";
        let item = self.next_non_space();
        let name = self.template_name(&item, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelim)?;
        self.inner(|parser| {
            let root = parser.body(CONTEXT)?;
            parser.add(name.clone(), root)
        })?;
        Ok(Node::Template(Box::new(Call { pos: item.pos, name, pipe: Some(pipe) })))
    }

    fn template(&mut self) -> Result<Node> {
        const CONTEXT: &str = "template clause";
        let item = self.next_non_space();
        let name = self.template_name(&item, CONTEXT)?;
        let mut pipe = None;
        if self.next_non_space().kind != Kind::RightDelim {
            self.backup();
            pipe = Some(self.pipeline(CONTEXT, Kind::RightDelim)?);
        }
        Ok(Node::Template(Box::new(Call { pos: item.pos, name, pipe })))
    }

    fn template_name(&mut self, item: &Item<'a>, context: &str) -> Result<String> {
        match item.kind {
            Kind::String | Kind::RawString => match unquote(&item.text) {
                // Names are text here. One that is not UTF-8 names no template that VSO knows.
                Some(name) => Ok(String::from_utf8_lossy(&name).into_owned()),
                None => self.error("invalid syntax"),
            },
            _ => self.unexpected(item, context),
        }
    }
}
