//! A compiled expression, and what it may cost to compile it and to search with it.

use regex::bytes::{Regex, RegexBuilder};

use super::{Translated, translate};
use crate::gocompat::template::{CallError, Context, Environment, Limits};

/// Longest expression, in bytes.
const MAX_PATTERN_BYTES: usize = 16 << 10;
/// Classes such as `\pL` in an expression: each is a table of some KiB while it is compiled.
const MAX_PROPERTIES: usize = 100;
const PROPERTY_BYTES: usize = 16 << 10;
/// What a character of an expression may take while it is compiled.
const BYTES_PER_CHARACTER: usize = 256;
/// Groups whose places are asked for.
const MAX_GROUPS: usize = 100;
/// How deep groups may be nested: the compiler works on the stack.
pub(super) const MAX_NESTING: u32 = 250;
/// What an expression may compile to, in bytes. The smallest that it fits tells what a search may cost.
const COMPILED_BYTES: [usize; 6] = [1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
/// A search keeps the places of all groups for each state of the expression, twice.
const MAX_GROUP_TABLE_BYTES: usize = 3 << 20;
/// A state of a compiled expression, and the place of the begin or end of a group.
const STATE_BYTES: usize = 24;
const PLACE_BYTES: usize = 8;
/// What a search may keep to go on faster.
const CACHE_BYTES: usize = 512 << 10;
/// For each byte of the text a search looks at all states at worst; so many of them are a step.
const STATES_PER_STEP: usize = 64;

/// Whether it is asked where the groups are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Groups {
    Wanted,
    Ignored,
}

/// Why there is no pattern.
pub(crate) enum PatternError {
    /// Go's complaint, without the words before it.
    Syntax(String),
    /// A limit is reached.
    Limit(CallError),
}

impl From<CallError> for PatternError {
    fn from(error: CallError) -> Self {
        PatternError::Limit(error)
    }
}

fn too_large(what: &str) -> PatternError {
    PatternError::Limit(CallError::limit(format!("the regular expression is too large: {what}")))
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    /// The names of the groups, from the first on.
    names: Vec<Option<String>>,
    groups_wanted: bool,
    compiled_bytes: usize,
}

impl Pattern {
    /// Compiles an expression of an object for searches.
    ///
    /// # Errors
    /// What is wrong with it, or that it is too large.
    pub fn for_search(pattern: &str) -> Result<Pattern, String> {
        let mut context = Context::new(&Limits::default(), &Environment::default());
        Self::compile(&mut context, pattern.as_bytes(), Groups::Ignored).map_err(|error| match error {
            PatternError::Syntax(why) => why,
            PatternError::Limit(error) => error.shown().to_owned(),
        })
    }

    /// Compiles an expression and counts what that costs.
    pub(crate) fn compile(ctx: &mut Context, pattern: &[u8], groups: Groups) -> Result<Pattern, PatternError> {
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(too_large(&format!("it is longer than {MAX_PATTERN_BYTES} bytes")));
        }
        ctx.check_time()?;
        ctx.step(300 + 4 * pattern.len() as u64)?;
        let groups_wanted = groups == Groups::Wanted;
        let translated = translate(pattern, groups_wanted).map_err(PatternError::Syntax)?;
        let Translated { pattern: translated, names, properties } = translated;
        if properties > MAX_PROPERTIES {
            return Err(too_large(&format!("it names more than {MAX_PROPERTIES} classes of Unicode")));
        }
        let mut most = usize::MAX;
        if groups_wanted {
            if names.len() > MAX_GROUPS {
                return Err(too_large(&format!("it has more than {MAX_GROUPS} groups")));
            }
            most = MAX_GROUP_TABLE_BYTES / (2 * PLACE_BYTES * 2 * (names.len() + 1)) * STATE_BYTES;
            ctx.reserve(MAX_GROUP_TABLE_BYTES.min(4 * COMPILED_BYTES[5]))?;
        }
        ctx.step(2000 * properties as u64)?;
        ctx.reserve(pattern.len() * BYTES_PER_CHARACTER + properties * PROPERTY_BYTES + 2 * CACHE_BYTES)?;
        for compiled_bytes in COMPILED_BYTES {
            let size = compiled_bytes.min(most);
            ctx.step(size as u64 / 8)?;
            // One for each direction, and while they grow.
            ctx.reserve(3 * size)?;
            let built = RegexBuilder::new(&translated)
                .size_limit(size)
                .dfa_size_limit(CACHE_BYTES)
                .nest_limit(MAX_NESTING)
                .build();
            match built {
                Ok(regex) => return Ok(Pattern { regex, names, groups_wanted, compiled_bytes: size }),
                Err(regex::Error::CompiledTooBig(_)) if size < most => {}
                Err(regex::Error::CompiledTooBig(_)) => return Err(too_large("its groups need too much memory")),
                // The translation is valid.
                Err(_) => return Err(too_large(&format!("it is nested deeper than {MAX_NESTING} levels"))),
            }
        }
        Err(too_large("compiled, it needs more than 1 MiB"))
    }

    /// The expression, to search with after [`Pattern::count_search`].
    pub(crate) fn regex(&self) -> &Regex {
        &self.regex
    }

    /// The names of the groups, from the first on.
    pub(crate) fn names(&self) -> &[Option<String>] {
        &self.names
    }

    /// Whether the expression was compiled with its groups.
    pub(crate) fn groups_wanted(&self) -> bool {
        self.groups_wanted
    }

    /// What the compiled expression may take.
    pub(crate) fn compiled_bytes(&self) -> usize {
        self.compiled_bytes
    }

    /// Counts going through a text once.
    pub(crate) fn count_search(&self, ctx: &mut Context, text_bytes: usize) -> Result<(), CallError> {
        let states = self.compiled_bytes / STATE_BYTES;
        ctx.step(1 + text_bytes.saturating_mul(states) as u64 / STATES_PER_STEP as u64)
    }
}
