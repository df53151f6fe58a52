//! Random templates that are well typed most of the time.

use crate::row::Row;
use crate::tables::*;

/// Makes templates; equal seeds make equal templates.
pub struct Generator {
    state: u64,
}

impl Generator {
    pub fn new(seed: u64) -> Generator {
        Generator { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) as usize % bound
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// Random bytes, as a member of the input.
    fn bytes(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        for _ in 0..self.below(12) {
            match self.below(14) {
                0 => out.push(self.below(256) as u8),
                1 => out
                    .extend_from_slice(self.pick(&["é", "ß", "日本", "😀", "İ", "ǆ", "\u{2028}", "\u{a0}"]).as_bytes()),
                2 => out.extend_from_slice(self.pick(&["\n", "\t", "\r\n", "  ", "\u{85}"]).as_bytes()),
                3 => {
                    out.extend_from_slice(self.pick(&["<", "&", "\"", "'", "\\", "`", "$1", "%", "+", "="]).as_bytes())
                }
                4 | 5 => out.extend_from_slice(self.pick(&["1", "20", "-3", "0.5", "1e3", "07", "0x1F"]).as_bytes()),
                6 => out.extend_from_slice(self.pick(&["-", "_", ".", "/", ",", ":", "a,b"]).as_bytes()),
                7 => out.push(b' '),
                _ => {
                    out.extend_from_slice(self.pick(&["a", "b", "Foo", "hello", "HTTP", "x", "World", "o"]).as_bytes())
                }
            }
        }
        out
    }

    fn json(&mut self, depth: usize) -> serde_json::Value {
        use base64::Engine;
        match self.below(if depth == 0 { 4 } else { 6 }) {
            0 | 1 => {
                let bytes = self.bytes();
                match String::from_utf8(bytes) {
                    Ok(text) => text.into(),
                    Err(error) => serde_json::json!({
                        "$b64": base64::engine::general_purpose::STANDARD.encode(error.as_bytes())
                    }),
                }
            }
            2 => {
                let number = self.pick(&["0", "1", "-7", "42", "1.50", "9223372036854775807", "1e-7", "3.0"]);
                serde_json::from_str(number).expect("a number")
            }
            3 => match self.below(3) {
                0 => serde_json::Value::Null,
                n => (n == 1).into(),
            },
            4 => (0..self.below(4)).map(|_| self.json(depth - 1)).collect::<Vec<_>>().into(),
            _ => {
                let mut map = serde_json::Map::new();
                for _ in 0..self.below(4) {
                    let key = self.pick(KEYS).to_owned();
                    map.insert(key, self.json(depth - 1));
                }
                map.into()
            }
        }
    }

    fn call(&mut self, table: &[&str], depth: usize) -> String {
        let (name, kinds) = self.pick(table).split_once(' ').expect("a name and kinds");
        let mut kinds: Vec<char> = kinds.chars().collect();
        if kinds.last() == Some(&'*') {
            kinds.pop();
            let last = *kinds.last().expect("a kind");
            kinds.extend(std::iter::repeat_n(last, self.below(3)));
        }
        let args: Vec<String> = kinds.iter().map(|kind| self.argument(*kind, depth)).collect();
        format!("({name} {})", args.join(" "))
    }

    fn argument(&mut self, kind: char, depth: usize) -> String {
        // Now and then the wrong thing.
        let kind =
            if self.below(60) == 0 { *['s', 'i', 'l', 'd', 'a'].get(self.below(5)).expect("five") } else { kind };
        let leaf = depth == 0 || self.below(3) == 0;
        let literal = |text: &str| format!("\"{text}\"");
        match kind {
            's' if leaf => self
                .pick(&[".Secrets.s", ".Secrets.t", ".Secrets.u", "\"a\"", "\",\"", "\"\"", "\"o\"", ".Labels.app"])
                .to_owned(),
            's' => self.call(STRINGS, depth - 1),
            'i' => (self.below(24) as i64 - 4).to_string(),
            'I' => self.below(4).to_string(),
            'n' if leaf => self
                .pick(&[
                    "1",
                    "0",
                    "7",
                    "-3",
                    "2.5",
                    "0.1",
                    ".Secrets.n",
                    "\"12\"",
                    "\"3.0\"",
                    ".Secrets.s",
                    "1e6",
                    "\"0x1f\"",
                    "true",
                    "1e20",
                ])
                .to_owned(),
            'n' => self.call(NUMBERS, depth - 1),
            'l' if leaf => {
                self.pick(&[".Secrets.l", "(list)", "(list 1 \"a\" nil)", "(until 3)", ".Secrets.m"]).to_owned()
            }
            'l' => self.call(LISTS, depth - 1),
            'd' if leaf => {
                self.pick(&[".Secrets.d", ".Secrets.e", "(dict)", "(dict \"a\" 1 \"k\" (dict \"b\" 2))"]).to_owned()
            }
            'd' => self.call(DICTS, depth - 1),
            'b' if leaf => self.pick(&["true", "false"]).to_owned(),
            'b' => self.call(BOOLS, depth - 1),
            'k' => literal(self.pick(KEYS)),
            'y' => literal(self.pick(KINDS)),
            'r' => literal(self.pick(REGEXES)),
            'R' => literal(self.pick(&["_", "$1", "${1}x", "$x", "$", "", "[$0]", "${x}", "$$1", "$1x"])),
            'u' => literal(self.pick(URLS)),
            'j' => literal(self.pick(JSONS)),
            'v' => literal(self.pick(VERSIONS)),
            'c' => {
                let part = format!("{}{}", self.pick(OPERATORS), self.pick(VERSIONS));
                let more = if self.below(3) == 0 { format!(" || {}1.x", self.pick(OPERATORS)) } else { String::new() };
                literal(&(part + &more))
            }
            'P' => {
                let count = 1 + self.below(3);
                literal(&(0..count).map(|_| self.pick(VERBS)).collect::<Vec<_>>().join(" "))
            }
            _ => match self.below(9) {
                0 => self.argument('n', depth),
                1 => self.argument('l', depth),
                2 => self.argument('d', depth),
                3 => self.argument('b', depth),
                4 if depth > 0 => self.call(OTHERS, depth - 1),
                5 => self
                    .pick(&[".Secrets.x", ".Secrets.y", "nil", ".Secrets.missing", ".Labels", "'c'", "1.0"])
                    .to_owned(),
                _ => self.argument('s', depth),
            },
        }
    }

    fn piece(&mut self, depth: usize) -> String {
        match self.below(12) {
            0 => self.pick(&["text", "\n", "  ", "{ }", "key: "]).to_owned(),
            1 if depth > 0 => format!(
                "{{{{ if {} }}}}{}{{{{ else }}}}{}{{{{ end }}}}",
                self.argument('a', 2),
                self.piece(depth - 1),
                self.piece(depth - 1)
            ),
            2 if depth > 0 => format!(
                "{{{{ range $i, $e := {} }}}}{{{{ $i }}}}={{{{ $e }}}};{}{{{{ end }}}}",
                self.argument('l', 2),
                self.piece(depth - 1)
            ),
            3 if depth > 0 => format!(
                "{{{{ range $k, $v := {} }}}}{{{{ $k }}}}:{{{{ $v | toString | quote }}}} {{{{ else }}}}-{{{{ end }}}}",
                self.argument('d', 2)
            ),
            4 => format!("{{{{- with {} -}}}} {{{{ . }}}} {{{{- end }}}}", self.argument('a', 2)),
            5 => format!(
                "{{{{ $x := {} }}}}{{{{ $x | {} }}}}",
                self.argument('a', 2),
                self.pick(&["toJson", "toString", "kindOf", "quote", "printf \"%v\"", "empty"])
            ),
            6 => format!("{{{{ {} | keys | sortAlpha | join \",\" }}}}", self.argument('d', 3)),
            _ => {
                let kind = ['a', 's', 's', 'l', 'd', 'n', 'b', 'a'][self.below(8)];
                format!("{{{{ {} }}}}", self.argument(kind, 3))
            }
        }
    }

    /// A template with its input.
    pub fn row(&mut self) -> Row {
        let count = 1 + self.below(3);
        let template: String = (0..count).map(|_| self.piece(2)).collect();
        let mut secrets = serde_json::Map::new();
        let object = |value: serde_json::Value| value.is_object() && value.get("$b64").is_none();
        for name in ["s", "t", "u", "n", "x", "y", "l", "m", "d", "e"] {
            let fits = |value: &serde_json::Value| match name {
                "s" | "t" | "u" => value.is_string() || value.get("$b64").is_some(),
                "n" => value.is_number(),
                "l" | "m" => value.is_array(),
                "d" | "e" => object(value.clone()),
                _ => true,
            };
            let mut value = self.json(2);
            while !fits(&value) {
                value = self.json(2);
            }
            secrets.insert(name.to_owned(), value);
        }
        secrets.retain(|name, _| template.contains(&format!(".Secrets.{name}")));
        let input = serde_json::json!({"Secrets": secrets, "Labels": {"app": "web", "tier": "front"}});
        let input = serde_json::value::to_raw_value(&input).expect("JSON");
        Row {
            function: String::new(),
            template,
            input: Some(input),
            output: String::new(),
            output64: String::new(),
            error: String::new(),
            unstable: false,
            api: String::new(),
            any_error: false,
        }
    }
}
