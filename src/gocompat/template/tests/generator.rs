//! Makes up templates: most are well formed, some are not.

pub struct Generator {
    state: u64,
    range_depth: usize,
}

const CONSTANTS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "42",
    "1.5",
    "1e3",
    "0x1F",
    "'a'",
    "1i",
    "true",
    "false",
    "nil",
    "\"\"",
    "\"a\"",
    "\"b c\"",
    "\"héllo\"",
    "`raw`",
    "\"\\xff\"",
    "1e6",
    "1e-7",
    "017",
    "1_000",
    "3.0",
    "\"k\"",
];
const FIELDS: &[&str] = &[
    ".",
    "$",
    ".Secrets",
    ".Secrets.str",
    ".Secrets.num",
    ".Secrets.big",
    ".Secrets.float",
    ".Secrets.exp",
    ".Secrets.list",
    ".Secrets.map",
    ".Secrets.map.c.d",
    ".Secrets.nil",
    ".Secrets.nope",
    ".Secrets.empty",
    ".Secrets.yes",
    ".Secrets.no",
    ".Secrets.bin",
    ".Secrets.utf8",
    ".Secrets.elist",
    ".Secrets.emap",
    ".Labels",
    ".Labels.app",
    ".Labels.nope",
    ".Wrap",
    ".Named",
    ".Named.A",
    "point",
    "point.X",
    "point.Y",
    ".Secrets.num.Int64",
    ".Secrets.float.Float64",
    ".a",
    ".k",
    "$.Secrets.map.a",
    "$.Secrets.list",
    "$.Secrets.str",
    ".Secrets.multi",
    ".Wrap.Secrets",
    ".hidden",
    ".Secrets.neg",
    ".Secrets.str.x",
    "$.Secrets.nope.x",
];
const VARIABLES: &[&str] = &["$x", "$y", "$k", "$x.a", "$y.k"];
const FUNCTIONS: &[&str] = &[
    "and", "or", "not", "len", "index", "slice", "print", "printf", "println", "html", "js", "urlquery", "call", "eq",
    "ne", "lt", "le", "gt", "ge", "list", "dict", "strs", "ints", "bytes", "i64", "u8", "u64", "f64", "takestr",
    "takebool", "takemap", "takelist", "takestrs", "takeany", "two", "zero", "nilany", "nillist", "nilmap", "jnum",
    "dur", "labels", "fail", "cut", "printf", "printf", "index", "eq", "print", "and", "or", "list", "dict",
];
/// Calls that often succeed: a letter for the kind of each argument.
const CALLS: &[&str] = &[
    "and aa",
    "or aa",
    "not a",
    "len l",
    "len s",
    "len m",
    "index li",
    "index mk",
    "slice sii",
    "slice li",
    "print aaa",
    "println aa",
    "html a",
    "js s",
    "js a",
    "urlquery a",
    "eq ss",
    "eq ii",
    "eq ff",
    "ne ss",
    "lt ii",
    "le ff",
    "gt ss",
    "ge ii",
    "list aaa",
    "list aa",
    "dict sasa",
    "dict sl",
    "strs ss",
    "ints iii",
    "bytes s",
    "i64 I",
    "u8 i",
    "f64 I",
    "takestr s",
    "takemap m",
    "takelist l",
    "takeany a",
    "two si",
    "zero ",
    "nillist ",
    "nilmap ",
    "jnum s",
    "dur I",
    "labels ",
    "cut si",
    "eq al",
    "set mks",
    "print s",
    "eq sa",
    "lt if",
    "index s",
    "takestr l",
    "two is",
    "takebool a",
];
const TEXTS: &[&str] = &["x", " ", "\n", "text ", "  \n", "{", "}", "é", "a\n b"];
const JUNK: &[&str] = &[
    "{{",
    "}}",
    "{{-",
    "-}}",
    "(",
    ")",
    "|",
    ".",
    "$",
    ",",
    ":=",
    "=",
    "\"",
    "`",
    "'",
    " ",
    "\n",
    "end",
    "else",
    "if",
    "range",
    "define",
    "/*",
    "*/",
    "-",
    "+",
    "0",
    "é",
    "\\",
    "@",
    "x",
    "{{ end }}",
    "{{ else }}",
    "break",
    "\0",
    "\u{2028}",
];

impl Generator {
    pub fn new(seed: u64) -> Generator {
        Generator { state: seed | 1, range_depth: 0 }
    }

    /// xorshift64*
    fn below(&mut self, end: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    fn pick<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len())]
    }

    /// Sources as for `Set::parse`.
    pub fn sources(&mut self) -> Vec<(String, String)> {
        let count = [1, 1, 1, 2][self.below(4)];
        let mut sources: Vec<_> = ["a", "b"][..count].iter().map(|name| (name.to_string(), self.source())).collect();
        if self.below(4) == 0 {
            let text = &mut sources[0].1;
            for _ in 0..=self.below(2) {
                let mut at = self.below(text.len() + 1);
                while !text.is_char_boundary(at) {
                    at -= 1;
                }
                match self.below(3) {
                    0 => text.insert_str(at, self.pick(JUNK)),
                    1 => text.truncate(at),
                    _ if at < text.len() => {
                        text.remove(at);
                    }
                    _ => {}
                }
            }
        }
        sources
    }

    fn source(&mut self) -> String {
        self.range_depth = 0;
        // Without these most of what follows would not parse.
        let prelude = "{{ $x := .Secrets.map }}{{ $y := 1 }}{{ $k := \"k\" }}";
        let body = self.list(3);
        if self.below(3) == 0 { body } else { format!("{prelude}{body}") }
    }

    fn list(&mut self, depth: usize) -> String {
        (0..=self.below(3)).map(|_| self.node(depth)).collect()
    }

    fn delimited(&mut self, inside: &str) -> String {
        let left = if self.below(6) == 0 { "{{- " } else { "{{ " };
        let right = if self.below(6) == 0 { " -}}" } else { " }}" };
        format!("{left}{inside}{right}")
    }

    fn node(&mut self, depth: usize) -> String {
        let kind = if depth == 0 { self.below(4) } else { self.below(14) };
        match kind {
            0 => self.pick(TEXTS).to_owned(),
            1..=4 => {
                let pipe = self.pipeline(3);
                self.delimited(&pipe)
            }
            5 | 6 => self.branch("if", depth),
            7 => self.branch("with", depth),
            8 | 9 => {
                self.range_depth += 1;
                let branch = self.branch("range", depth);
                self.range_depth -= 1;
                branch
            }
            10 => {
                let (name, pipe) = (self.pick(&["$x", "$y", "$k", "$z"]), self.pipeline(2));
                let sign = self.pick(&[":=", "="]);
                self.delimited(&format!("{name} {sign} {pipe}"))
            }
            11 if self.range_depth > 0 => {
                let word = self.pick(&["break", "continue"]);
                self.delimited(word)
            }
            12 => {
                let (name, pipe) = (self.pick(&["\"b\"", "\"c\"", "\"d\""]), self.operand(1));
                self.delimited(&format!("template {name} {pipe}"))
            }
            13 => {
                let (word, name) = (self.pick(&["define", "block"]), self.pick(&["\"c\"", "\"d\""]));
                let pipe = if word == "block" { self.operand(1) } else { String::new() };
                let depth_before = std::mem::replace(&mut self.range_depth, 0);
                let body = self.list(depth - 1).replace("$x", "$").replace("$y", "$").replace("$k", "$");
                self.range_depth = depth_before;
                format!("{{{{ {word} {name} {pipe} }}}}{body}{{{{ end }}}}")
            }
            _ => "{{/* comment */}}".to_owned(),
        }
    }

    fn branch(&mut self, word: &str, depth: usize) -> String {
        let mut pipe = self.pipeline(2);
        if word == "range" && self.below(2) == 0 {
            pipe = self
                .pick(&[".Secrets.list", ".Secrets.map", ".Labels", "3", "$.Secrets.list", "$x", "(u8 2)"])
                .to_owned();
        }
        let declaration = match (word, self.below(4)) {
            ("range", 0) => "$k, $y := ",
            ("range", 1) => "$k, $y = ",
            (_, 2) => "$x := ",
            _ => "",
        };
        let open = self.delimited(&format!("{word} {declaration}{pipe}"));
        let body = self.list(depth - 1);
        let other = match self.below(4) {
            0 => format!("{{{{ else }}}}{}", self.list(depth - 1)),
            1 if word != "range" => format!("{{{{ else {word} {} }}}}{}", self.pipeline(1), self.list(depth - 1)),
            _ => String::new(),
        };
        format!("{open}{body}{other}{{{{ end }}}}")
    }

    fn pipeline(&mut self, depth: usize) -> String {
        let mut pipe = self.command(depth);
        while self.below(3) == 0 {
            pipe = format!("{pipe} | {}", self.call(1));
        }
        pipe
    }

    fn command(&mut self, depth: usize) -> String {
        if self.below(3) == 0 { self.operand(depth) } else { self.call(depth) }
    }

    fn call(&mut self, depth: usize) -> String {
        if self.below(8) > 1 {
            let (name, kinds) = self.pick(CALLS).split_once(' ').unwrap();
            return kinds.chars().fold(name.to_owned(), |call, kind| format!("{call} {}", self.of_kind(kind, depth)));
        }
        let name = self.pick(FUNCTIONS);
        let mut call = name.to_owned();
        let mut args = self.below(4);
        if name == "printf" && self.below(8) > 0 {
            call = format!("printf \"{}\"", self.format());
            args = 1 + self.below(3);
        }
        for _ in 0..args {
            let arg = self.operand(depth.saturating_sub(1));
            call = format!("{call} {arg}");
        }
        call
    }

    fn of_kind(&mut self, kind: char, depth: usize) -> String {
        let nested = depth > 0 && self.below(4) == 0;
        let choices: &[&str] = match (kind, nested) {
            ('s', false) => {
                &["\"a\"", "\"b c\"", "\"héllo\"", "$.Secrets.str", "$.Secrets.utf8", "$.Secrets.bin", "`<&>`"]
            }
            ('s', true) => {
                &["(print 1 .)", "(printf \"%v\" $.Secrets.list)", "(printf \"%q\" .)", "(html .)", "(takestr \"x\")"]
            }
            ('i', false) => &["0", "1", "2", "3", "-1", "'a'"],
            ('i', true) => &["(len $.Secrets.str)", "(len $.Secrets.map)", "zero", "(u8 3)"],
            ('I', _) => &["5", "-7", "1500", "1e4", "(i64 1)"],
            ('f', _) => &["1.5", "2.0", "(f64 3)", "1e6", "($.Secrets.float.Float64)"],
            ('k', _) => &["\"a\"", "\"k\"", "\"nope\"", "\"c\""],
            ('l', false) => &["$.Secrets.list", "$.Secrets.elist", "(list 1 2 3)", "(list)"],
            ('l', true) => {
                &["(list . 1)", "(index $.Secrets.list 3)", "nillist", "(strs \"a\" \"b\" \"c\")", "(ints 1 2)"]
            }
            ('m', false) => &["$.Secrets.map", "$.Secrets", "(dict \"a\" 1)"],
            ('m', true) => &["(dict \"a\" .)", "(index $.Secrets.map \"c\")", "nilmap", "(set (dict) \"k\" 1)"],
            _ => return self.operand(depth.saturating_sub(1)),
        };
        self.pick(choices).to_owned()
    }

    fn format(&mut self) -> String {
        let mut format = String::new();
        for _ in 0..=self.below(3) {
            format.push('%');
            for _ in 0..self.below(3) {
                format.push_str(self.pick(&["#", "+", "-", " ", "0"]));
            }
            format.push_str(self.pick(&["", "", "", "", "8", "3", "*", "[1]", "[2]*", "20"]));
            format.push_str(self.pick(&["", "", "", ".2", ".", ".0", ".12", ".*", "[1]"]));
            format.push_str(self.pick(&[
                "v", "v", "v", "d", "s", "q", "x", "X", "o", "O", "b", "c", "U", "e", "E", "f", "F", "g", "G", "t",
                "T", "p", "w", "%", "z", "é", "s", "d",
            ]));
            format.push_str(self.pick(&["", " ", "|", "é"]));
        }
        format
    }

    fn operand(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 8 } else { 12 }) {
            0..=2 => self.pick(CONSTANTS).to_owned(),
            3..=6 => self.pick(FIELDS).to_owned(),
            7 => self.pick(VARIABLES).to_owned(),
            8 => {
                let field = self.pick(&[".a", ".k", ".c.d", ".Secrets.str", ".x"]);
                format!("({}){field}", self.pipeline(depth - 1))
            }
            _ => format!("({})", self.pipeline(depth - 1)),
        }
    }
}
