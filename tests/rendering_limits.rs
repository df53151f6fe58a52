//! What the templates and filters of one object may cost the process: at most 16 MiB at a time, and an end.
//!
//! The memory is counted by an allocator, on the thread that renders.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use vso::external_secret::template::{CompiledTemplate, Fetched};
use vso::gocompat::template::{Context, Environment, Limits};
use vso::render::{Input, SourceData, TemplateText, TransformationCache, build};

/// Of one object, the data of its source and of its Secret included.
const MAX_BYTES: u64 = 16 << 20;
/// Not optimised and on a busy machine, what ends after two seconds of work ends within this.
const MAX_TIME: Duration = Duration::from_secs(20);

/// Renders an object with these templates: how many bytes the result has, or why there is none.
fn render(templates: &[String]) -> Result<usize, String> {
    let names: Vec<String> = (0..templates.len()).map(|i| format!("t{i}")).collect();
    let texts: Vec<TemplateText<'_>> =
        names.iter().zip(templates).map(|(name, text)| TemplateText { key: Some(name), name, text }).collect();
    let transformation = TransformationCache::default().get(&texts, &[], &[]).map_err(|error| error.to_string())?;
    let data = json!({ "user": "admin", "list": [1, "b", { "c": null }], "text": "lorem ipsum, ".repeat(300) });
    let source = SourceData::flat("kv-v1", Arc::new(data));
    let input = Input { source: &source, exclude_raw: false, labels: None, annotations: None };
    let (mut result, begin) = (Err(String::new()), Instant::now());
    let used = allocation_counter::measure(|| {
        let built = build(&input, &transformation).map_err(|error| error.to_string());
        result = built.map(|built| built.data.as_map().values().map(Vec::len).sum());
    });
    let shown: String = templates.join("\n").chars().take(2000).collect();
    assert!(used.bytes_max <= MAX_BYTES, "{} bytes: {shown}\n{result:?}", used.bytes_max);
    assert!(begin.elapsed() < MAX_TIME, "{:?}: {shown}\n{result:?}", begin.elapsed());
    result
}

fn refused(templates: &[&str]) -> String {
    let templates: Vec<String> = templates.iter().map(|text| (*text).to_owned()).collect();
    render(&templates).expect_err(&templates.join("\n"))
}

fn rendered(template: &str) {
    render(&[template.to_owned()]).expect(template);
}

#[test]
fn a_value_has_a_limit() {
    let error = refused(&[r#"{{ $a := repeat 30000000 "a" }}{{ len $a }}"#]);
    assert!(error.contains("too much memory") && error.contains("several objects"), "{error}");
}

#[test]
fn what_a_template_leaves_in_the_input_counts_for_the_next() {
    let texts: Vec<String> =
        (0..10).map(|i| format!(r#"{{{{ $_ := set .Secrets "k{i}" (repeat 1000000 "a") }}}}"#)).collect();
    assert!(render(&texts[..2]).is_ok());
    let error = render(&texts).expect_err("10 MB");
    assert!(error.contains("too much memory"), "{error}");
}

#[test]
fn what_is_dropped_is_free_again() {
    rendered(r#"{{ range until 100 }}{{ $a := repeat 1000000 "a" }}{{ end }}"#);
    rendered(
        r#"{{ $s := "" }}{{ range until 2000 }}{{ $s = print $s "a line of forty characters, more or less\n" }}{{ end }}"#,
    );
}

#[test]
fn the_output_of_all_templates_has_one_limit() {
    let text = r#"{{ repeat 700000 "a" }}"#;
    let error = refused(&[text, text]);
    assert!(error.contains("template writes more than 1048576 bytes"), "{error}");
}

#[test]
fn the_steps_of_all_templates_have_one_limit() {
    let text = r#"{{ range until 30000 }}{{ $a := add 1 2 3 }}{{ end }}"#;
    assert!(render(&[text.to_owned()]).is_ok());
    let many: Vec<String> = (0..400).map(|_| text.to_owned()).collect();
    let error = render(&many).expect_err("12 million calls");
    assert!(error.contains("template takes too"), "{error}");
}

#[test]
fn a_search_takes_one_pass() {
    rendered(r#"{{ contains (print (repeat 400000 "a") "b") (repeat 800000 "a") }}"#);
    rendered(r#"{{ len (replace (print (repeat 200000 "a") "b") "c" (repeat 800000 "a")) }}"#);
    rendered(r#"{{ len (splitList (print (repeat 200000 "a") "b") (repeat 800000 "a")) }}"#);
    rendered(r#"{{ len (snakecase (repeat 50000 "a")) }}"#);
    rendered(r#"{{ len (printf (repeat 100000 "%[") 1) }}"#);
    rendered(r#"{{ len (regexReplaceAll "" (repeat 10000 "a") "b") }}"#);
}

#[test]
fn a_split_counts_its_parts_before_they_are_made() {
    let error = refused(&[r#"{{ len (splitList "" (repeat 1000000 "a")) }}"#]);
    assert!(error.contains("too much memory"), "{error}");
}

#[test]
fn an_expression_is_limited_in_length_groups_and_size() {
    for (text, why) in [
        (r#"{{ regexMatch (repeat 1000000 "{") "x" }}"#, "longer than 16384 bytes"),
        (r#"{{ regexReplaceAll (repeat 300 "(a)") (repeat 300 "a") "$1" }}"#, "more than 100 groups"),
        (r#"{{ regexMatch (print (repeat 60 "(?:[ab]?){1000}") "$") (repeat 1000000 "a") }}"#, "too"),
        (r#"{{ regexMatch (repeat 2000 "\\pL") "x" }}"#, "more than 100 classes"),
        (r#"{{ regexMatch (print (repeat 600 "(?:") "a" (repeat 600 ")")) "a" }}"#, "nested deeper than 250"),
    ] {
        let error = refused(&[text]);
        assert!(error.contains(why), "{text}: {error}");
    }
    // Groups that nothing asks for cost nothing.
    rendered(r#"{{ regexReplaceAll (repeat 300 "(a)") (repeat 300 "a") "x" }}"#);
    rendered(r#"{{ regexReplaceAll "(?P<user>\\w+)@(\\w+)" "me@here you@there" "$2 ${user}" }}"#);
}

#[test]
fn filters_keep_nothing_of_what_they_search() {
    // What a search may be in the middle of is another set of places for almost each character of the key.
    let patterns: Vec<String> = (0..4).map(|i| format!("a[ab]{{14}}[c-z](?:{i})?")).collect();
    let mut next = 1_u32;
    let key: String = (0..1000)
        .map(|_| {
            next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if next >> 31 == 0 { 'a' } else { 'b' }
        })
        .collect();
    let transformation = TransformationCache::default().get(&[], &patterns, &[]).expect("patterns");
    let source = SourceData::flat("kv-v1", Arc::new(json!({ key: "v" })));
    let input = Input { source: &source, exclude_raw: true, labels: None, annotations: None };
    let mut found = None;
    let used = allocation_counter::measure(|| {
        found = Some(build(&input, &transformation).map(|built| built.data.as_map().len()).map_err(|e| e.to_string()));
    });
    assert_eq!(found, Some(Ok(0)));
    assert!(used.bytes_max <= MAX_BYTES && used.bytes_current <= 64 << 10, "{used:?}");
}

#[test]
fn nested_expressions_and_templates_fit_the_stack_of_a_thread() {
    let deep = format!(r#"{{{{ regexMatch "{}a{}" "a" }}}}"#, "(?:".repeat(249), ")".repeat(249));
    let text = "{{ if 1 }}".repeat(90) + &deep + &"{{ end }}".repeat(90);
    // As large as a thread of the runtime.
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(move || rendered(&text));
    thread.expect("a thread").join().expect("no overflow");
}

/// Renders a template of an ExternalSecret: how many bytes its value has, or why there is none.
fn render_external(template: &str, text: &str) -> Result<usize, String> {
    let spec = serde_json::from_value(json!({ "data": { "k": template } })).expect("a template");
    let compiled = CompiledTemplate::new(&spec, &Fetched::new()).map_err(|error| error.to_string())?;
    let data = BTreeMap::from([("t".to_owned(), text.as_bytes().to_vec())]);
    let (mut result, begin) = (Err(String::new()), Instant::now());
    let used = allocation_counter::measure(|| {
        let mut context = Context::new(&Limits::default(), &Environment::default());
        let rendered = compiled.render(&mut context, &data, |_, value| Ok(value));
        result = rendered.map(|rendered| rendered.data["k"].len()).map_err(|error| error.to_string());
    });
    assert!(used.bytes_max <= MAX_BYTES, "{} bytes: {template}\n{result:?}", used.bytes_max);
    assert!(begin.elapsed() < MAX_TIME, "{:?}: {template}\n{result:?}", begin.elapsed());
    result
}

#[test]
fn functions_of_external_secrets_count_what_they_make() {
    let block = "-----BEGIN X-----\nAAAA\n-----END X-----\n";
    for (template, text) in [
        ("{{ fromYaml .t | len }}", "- a\n".repeat(200_000)),
        ("{{ fromYaml .t | len }}", "a: ".to_owned() + &"[".repeat(500_000)),
        ("{{ fromYaml .t | len }}", (0..60_000).map(|i| format!("k{i}: v\n")).collect()),
        ("{{ fromYaml .t | toYaml | len }}", (0..15_000).map(|i| format!("k{i}: [v]\n")).collect()),
        ("{{ fromYaml .t | len }}", "a: \"".to_owned() + &"\\n".repeat(400_000) + "\""),
        ("{{ fromYaml .t | len }}", "a: |\n".to_owned() + &"  x\n".repeat(200_000)),
        ("{{ toYaml .t | len }}", "\u{1F600}".repeat(200_000)),
        ("{{ toYaml .t | len }}", " \n".repeat(400_000)),
        ("{{ toYaml .t | len }}", "a b ".repeat(200_000)),
        ("{{ until 60000 | toYaml | len }}", String::new()),
        ("{{ filterPEM \"x\" .t | len }}", block.repeat(20_000)),
        ("{{ filterPEM \"y\" .t | len }}", "-----BEGIN X-----\n".repeat(50_000)),
        ("{{ filterCertChain \"leaf\" .t | len }}", block.repeat(20_000)),
        ("{{ certSANs .t | len }}", block.repeat(20_000)),
        ("{{ pkcs12key .t | len }}", "\u{30}\u{7f}".repeat(400_000)),
        ("{{ jwkPublicKeyPem .t | len }}", "[".to_owned() + &"0,".repeat(500_000) + "0]"),
        ("{{ rsaDecrypt \"RSA-OAEP\" \"SHA1\" .t .t | len }}", block.repeat(20_000)),
        ("{{ encryptAES .t .t | len }}", "x".repeat(900_000)),
        ("{{ decryptAES .t .t | len }}", "A".repeat(900_000)),
        ("{{ hexdec .t | len }}", "00".repeat(450_000)),
        ("{{ randAscii 3000000 | len }}", String::new()),
        ("{{ randBytes 1500000 | len }}", String::new()),
        ("{{ date .t 0 | len }}", "January".repeat(100_000)),
        ("{{ toDate .t .t }}", "January".repeat(100_000)),
        ("{{ dateModify .t (toDate \"2006\" \"2024\") }}", "1h".repeat(400_000)),
        ("{{ dateInZone \"2006\" 0 .t }}", "Europe/".repeat(100_000)),
        ("{{ $l := list }}{{ range until 100 }}{{ $l = list $l $l }}{{ end }}{{ toYaml $l }}", String::new()),
        ("{{ genSelfSignedCert \"x\" nil (splitList \",\" .t) 1 }}", "a,".repeat(200_000)),
    ] {
        let _ = render_external(template, &text);
    }
    assert_eq!(render_external("{{ toYaml .t | len }}", &"line\n".repeat(10_000)), Ok(5));
    assert_eq!(render_external("{{ filterPEM \"x\" .t | len }}", &block.repeat(500)), Ok(5));
}

#[test]
fn nested_yaml_fits_the_stack_of_a_thread() {
    let text = format!("a: {}1{}", "[".repeat(250), "]".repeat(250));
    let template = "{{ if 1 }}".repeat(90) + "{{ fromYaml .t | toYaml | len }}" + &"{{ end }}".repeat(90);
    let deep = move || assert!(render_external(&template, &text).is_ok());
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(deep);
    thread.expect("a thread").join().expect("no overflow");
}

/// Writes templates that are as expensive as can be.
struct Generator(u64);

impl Generator {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len())]
    }

    fn count(&mut self) -> usize {
        [2, 30, 1000, 50_000, 400_000, 1_500_000][self.below(6)]
    }

    fn text(&mut self, depth: usize) -> String {
        if depth == 0 {
            let count = self.count();
            let piece = self.one(&["a", "a b", "é", "\\\\xff", "<", "\\n", "{", "%[", "%v", "$1", "1.", "/../", "A_b"]);
            return format!("(repeat {count} \"{piece}\")");
        }
        let (a, b, n) = (self.text(depth - 1), self.any(depth - 1), self.count());
        match self.below(14) {
            0 => format!("(printf {a} {b})"),
            1 => format!("(print {a} {b} {a})"),
            2 => format!("(replace {} {} {a})", self.text(0), self.text(depth - 1)),
            3 => format!("(join {} {b})", self.text(0)),
            4 => format!(
                "(regexReplaceAll {} {a} {})",
                self.expression(),
                self.one(&["\"$1$1\"", "\"x\"", "(repeat 1000 \"$1\")"])
            ),
            5 => format!("(indent {n} {a})"),
            6 => format!("(wrapWith {n} {} {a})", self.text(0)),
            7 => format!(
                "({} {b})",
                self.one(&[
                    "toJson",
                    "toPrettyJson",
                    "toString",
                    "quote",
                    "squote",
                    "html",
                    "js",
                    "urlquery",
                    "println",
                    "cat"
                ])
            ),
            8..=11 => format!(
                "({} {a})",
                self.one(&[
                    "upper",
                    "lower",
                    "title",
                    "untitle",
                    "swapcase",
                    "snakecase",
                    "kebabcase",
                    "camelcase",
                    "trim",
                    "nospace",
                    "initials",
                    "b64enc",
                    "b64dec",
                    "b32enc",
                    "b32dec",
                    "sha256sum",
                    "adler32sum",
                    "shuffle",
                    "clean",
                    "base",
                    "dir",
                    "ext",
                    "regexQuoteMeta",
                    "atoi",
                    "duration",
                    "repeat 7",
                    "trunc 100000",
                    "substr 3 100000",
                    "abbrev 5000",
                    "abbrevboth -9223372036854775808 10",
                    "trimAll \"ab\"",
                    "toJson",
                ])
            ),
            12 => format!("(print (semver (print \"1.2.3-\" {a})))"),
            _ => format!("(get (urlParse {a}) \"path\")"),
        }
    }

    fn any(&mut self, depth: usize) -> String {
        if depth == 0 {
            return [".Secrets", ".Secrets.text", "12", "(until 2000)", "(dict \"a\" .Secrets)"][self.below(5)]
                .to_owned();
        }
        let (a, b) = (self.text(depth - 1), self.any(depth - 1));
        match self.below(9) {
            0 => format!("(splitList {} {a})", self.one(&["\"\"", "\"a\"", "\" \""])),
            1 => format!("(split {} {a})", self.one(&["\"\"", "\"a\""])),
            2 => format!("(regexFindAll {} {a} -1)", self.expression()),
            3 => format!("(regexSplit {} {a} -1)", self.expression()),
            4 => format!("(list {a} {b} {a} {b})"),
            5 => format!("(dict {a} {b} \"x\" {b})"),
            6 => format!("(fromJson (toJson {b}))"),
            7 => format!("(until {})", self.count()),
            _ => format!(
                "({} {b})",
                self.one(&[
                    "deepCopy",
                    "uniq",
                    "compact",
                    "reverse",
                    "sortAlpha",
                    "toStrings",
                    "chunk 1",
                    "rest",
                    "concat (list 1)",
                    "has 1",
                    "without (list 1) 1"
                ])
            ),
        }
    }

    fn expression(&mut self) -> String {
        let piece =
            self.one(&["(a)", "a*", "(a|b)?", "\\\\pL", "(?:a{0,100}){0,10}", "[^b]", ".", "(?i)x", "(", "(?:"]);
        let count = [1, 1, 2, 20, 90, 700][self.below(6)];
        format!("(print (repeat {count} \"{piece}\") \"{}\")", self.one(&["", "$", ".*z", "b"]))
    }

    fn template(&mut self) -> String {
        let depth = 1 + self.below(3);
        let (text, any) = (self.text(depth), self.any(depth));
        match self.below(6) {
            0 => format!("{{{{ len {text} }}}}"),
            1 => format!(
                "{{{{ $a := {any} }}}}{{{{ range until 1000 }}}}{{{{ $a = list $a $a }}}}{{{{ end }}}}{{{{ len (toJson $a) }}}}"
            ),
            2 => format!(
                "{{{{ range $i, $_ := until 500 }}}}{{{{ $_ := set $.Secrets (print $i) {text} }}}}{{{{ end }}}}"
            ),
            3 => format!(
                "{{{{ $m := {any} }}}}{{{{ range {any} }}}}{{{{ range $m }}}}{{{{ $x := {any} }}}}{{{{ end }}}}{{{{ end }}}}"
            ),
            4 => format!("{{{{ $s := {text} }}}}{{{{ range until 300 }}}}{{{{ $s = print $s $s }}}}{{{{ end }}}}"),
            _ => format!("{{{{ {text} }}}}"),
        }
    }
}

/// `RENDERING_LIMITS_SEED` and `RENDERING_LIMITS_COUNT` say where to begin and how long to go on.
#[test]
fn no_template_costs_more_than_an_object_may() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let mut generator = Generator(number("RENDERING_LIMITS_SEED").unwrap_or(0x9e37_79b9_7f4a_7c15));
    let (mut done, mut ended) = (0, 0);
    for _ in 0..number("RENDERING_LIMITS_COUNT").unwrap_or(120) {
        let templates: Vec<String> = (0..1 + generator.below(3)).map(|_| generator.template()).collect();
        match render(&templates) {
            Ok(_) => done += 1,
            Err(_) => ended += 1,
        }
    }
    assert!(done > 0 && ended > 0, "{done} rendered, {ended} refused");
}
