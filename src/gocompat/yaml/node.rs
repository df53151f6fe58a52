//! The tree of the first document of a text.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, Tag, options};

use super::DecodeError;
use super::resolve::{Scalar, resolve};
use crate::gocompat::template::{Context, MAX_NESTING};

/// A node. What aliases refer to is shared.
pub(super) enum Node {
    Scalar(Scalar),
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

/// An entry of a map.
pub(super) struct Entry {
    pub key: Rc<Node>,
    pub value: Rc<Node>,
    /// `<<`: the value is a map, or a list of maps, with further entries.
    pub is_merge: bool,
}

/// What a node takes beside its text while it is read.
const NODE_BYTES: usize = 160;
/// What reading a node costs beside its text.
const NODE_STEPS: u64 = 4;

/// A collection that is not complete.
struct Open {
    /// Its anchor; 0 if it has none.
    anchor: usize,
    is_map: bool,
    children: Vec<Rc<Node>>,
    /// Where among the children there is a `<<`.
    merges: Vec<usize>,
    /// How deep it is at least.
    height: usize,
}

/// Parses the first document. `None` if there is none.
pub(super) fn parse(ctx: &mut Context, text: &str) -> Result<Option<Rc<Node>>, DecodeError> {
    let options = options! { block_scalar_eof_without_line_feed: true, bom_inside_document_as_content: true };
    let mut builder = Builder { open: vec![], anchors: HashMap::new(), root: None };
    for event in Parser::new_from_str_with_options(text, options) {
        ctx.step(NODE_STEPS)?;
        let (event, span) = event.map_err(|error| {
            let line = error.marker().line();
            DecodeError::Invalid(format!("error converting YAML to JSON: yaml: line {line}: the text is not YAML"))
        })?;
        let line = span.start.line();
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                ctx.reserve(NODE_BYTES + value.len())?;
                ctx.step_bytes(value.len())?;
                let tag = tag.as_deref().map(short);
                let is_plain = style == ScalarStyle::Plain;
                let is_merge = is_plain && value == "<<" && matches!(tag.as_deref(), None | Some("!!merge"));
                let scalar = resolve(&value, is_plain, tag.as_deref());
                let scalar = scalar.map_err(|why| DecodeError::Invalid(format!("yaml: line {line}: {why}")))?;
                builder.add(Rc::new(Node::Scalar(scalar)), 1, anchor, is_merge)?;
            }
            Event::SequenceStart(_, anchor, _) => builder.begin(ctx, anchor, false)?,
            Event::MappingStart(_, anchor, _) => builder.begin(ctx, anchor, true)?,
            Event::SequenceEnd | Event::MappingEnd => builder.end()?,
            Event::Alias(anchor) => {
                ctx.reserve(NODE_BYTES)?;
                // An anchor is known from the end of its node on: a node cannot hold itself.
                let Some((node, height)) = builder.anchors.get(&anchor).cloned() else {
                    let why = format!("yaml: line {line}: an anchor contains itself");
                    return Err(DecodeError::Invalid(why));
                };
                if matches!(*node, Node::List(_)) && builder.is_merged_next() {
                    let why = "map merge requires map or sequence of maps as the value";
                    return Err(DecodeError::Invalid(format!("yaml: line {line}: {why}")));
                }
                builder.add(node, height, 0, false)?;
            }
            Event::DocumentEnd => break,
            _ => {}
        }
    }
    Ok(builder.root)
}

struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, (Rc<Node>, usize)>,
    root: Option<Rc<Node>>,
}

fn too_deep() -> DecodeError {
    DecodeError::Limit(crate::gocompat::template::CallError::limit("YAML is nested too deep"))
}

impl Builder {
    fn begin(&mut self, ctx: &mut Context, anchor: usize, is_map: bool) -> Result<(), DecodeError> {
        ctx.reserve(NODE_BYTES)?;
        if self.open.len() >= MAX_NESTING {
            return Err(too_deep());
        }
        self.open.push(Open { anchor, is_map, children: vec![], merges: vec![], height: 1 });
        Ok(())
    }

    fn end(&mut self) -> Result<(), DecodeError> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let mut children = open.children.into_iter();
        let node = if open.is_map {
            let mut entries = vec![];
            while let (Some(key), Some(value)) = (children.next(), children.next()) {
                let is_merge = open.merges.contains(&(2 * entries.len()));
                entries.push(Entry { key, value, is_merge });
            }
            Node::Map(entries)
        } else {
            Node::List(children.collect())
        };
        self.add(Rc::new(node), open.height + 1, open.anchor, false)
    }

    /// Whether the next node is the value of a `<<`.
    fn is_merged_next(&self) -> bool {
        let parent = self.open.last().filter(|parent| parent.is_map);
        parent.is_some_and(|parent| parent.children.len().checked_sub(1).is_some_and(|at| parent.merges.contains(&at)))
    }

    fn add(&mut self, node: Rc<Node>, height: usize, anchor: usize, is_merge: bool) -> Result<(), DecodeError> {
        // Aliases too: what walks the tree, or drops it, goes as deep as the tree is high.
        if height > MAX_NESTING {
            return Err(too_deep());
        }
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), height));
        }
        match self.open.last_mut() {
            Some(parent) => {
                parent.height = parent.height.max(height);
                let at = parent.children.len();
                if is_merge && parent.is_map && at % 2 == 0 && parent.merges.len() < 2 {
                    parent.merges.push(at);
                }
                parent.children.push(node);
            }
            None => self.root = Some(node),
        }
        Ok(())
    }
}

/// A tag as goyaml shortens it: `!!str`.
fn short(tag: &Tag) -> String {
    let full = format!("{}{}", tag.handle(), tag.suffix());
    match full.strip_prefix("tag:yaml.org,2002:") {
        Some(name) => format!("!!{name}"),
        None => full,
    }
}
