//! Which forms a text may be written in (libyaml's analysis of a scalar).

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
}

/// What decides the form.
pub(super) struct Analysis {
    pub multiline: bool,
    plain_allowed: bool,
    single_quoted_allowed: bool,
    literal_allowed: bool,
}

pub(super) fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What goyaml writes without an escape: nothing beyond the basic plane.
pub(super) fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{fffd}') && c != '\u{feff}'
}

impl Analysis {
    pub fn of(text: &str) -> Analysis {
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let (mut special, mut breaks) = (false, false);
        let (mut break_space, mut space_break) = (false, false);
        let mut previous = None;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let blank_follows = chars.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
            let after_blank = previous.is_none_or(|before| matches!(before, ' ' | '\t' | '\0') || is_break(before));
            indicators |= match (c, previous) {
                (
                    '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`',
                    None,
                ) => true,
                ('?' | ':' | '-', None) | (':', Some(_)) => blank_follows,
                ('#', Some(_)) => after_blank,
                _ => false,
            };
            special |= !is_printable(c);
            if c == ' ' {
                break_space |= previous.is_some_and(is_break);
            } else if is_break(c) {
                breaks = true;
                space_break |= previous == Some(' ');
            }
            previous = Some(c);
        }
        let edge = |c: char| c == ' ' || is_break(c);
        let open_ends = text.starts_with(edge) || text.ends_with(edge);
        let quoting = break_space || space_break || special;
        Analysis {
            multiline: breaks,
            plain_allowed: !(open_ends || quoting || breaks || indicators),
            single_quoted_allowed: !quoting,
            literal_allowed: !(text.is_empty() || text.ends_with(' ') || space_break || special),
        }
    }

    /// The form of a text for which one form is wanted.
    pub fn form(&self, text: &str, wanted: Form, is_simple_key: bool) -> Form {
        let mut form = if is_simple_key && self.multiline { Form::DoubleQuoted } else { wanted };
        if form == Form::Plain && (!self.plain_allowed || text.is_empty() && is_simple_key) {
            form = Form::SingleQuoted;
        }
        if form == Form::SingleQuoted && !self.single_quoted_allowed
            || form == Form::Literal && (!self.literal_allowed || is_simple_key)
        {
            form = Form::DoubleQuoted;
        }
        form
    }
}
