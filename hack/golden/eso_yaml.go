package main

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
)

func sortStrings(s []string) { sort.Strings(s) }

// yamlTexts are documents; none has a key twice.
var yamlTexts = []string{
	"a: 1", "a: 1.50", "a: true", "a: yes", "a: null", "a:", "a: ~", "a: 2024-01-01", "a: [1, 2.5, x]", "1: x", "1.5: x", "~: x", "true: x", "no: x", "a: !!binary aGk=", "a: !!binary '*'",
	"a: 1e3", "a: 0x10", "a: 1_000", "a: 0b11", "a: 010", "a: 08", "a: .inf", "a: -.INF", "a: .NaN", "a: 12345678901234567890", "a: 99999999999999999999999", "a: -9223372036854775808", "a: 0.1", "a: 1.7976931348623157e308",
	"", "# only a comment", "---", "---\na: b\n---\nc: d", "a: b\n...\n", "~", "null", "x", "'x'", "- a", "- a\n- b: c\n  d: e\n", "a: |\n  x\n  y\n", "a: |-\n  x\n", "a: |+\n  x\n\n\nb: y", "a: >\n  x\n  y\n\n  z\n", "a: |\n  x\n  y", "a: |2\n    x\n", "a: >-\n  x\n   y\n  z",
	"a: &b x\nc: *b", "<<: {q: r}\na: z", "x: &x {a: 1, b: 2}\ny1:\n  <<: *x\n  b: 3\n", "l: &l [{a: 1}, {b: 2}]\nm:\n  <<: *l\n", "<<: x", "a: *nope", "a: \"\\x01\"", "a: \"\\u00e9\\t\\n\\\"\"", "a: 'it''s'", "a: \"x\n  y\"", "a:\tb", "a: {b: c}", "a: {b: c, d: [e, {f: g}]}",
	"a: {}", "a: []", "a: 190:20:30", "a: 0o17", "a: 1:30", "a: =", "a: <<", "a: !!str 1", "a: !!int '1'", "a: !foo 1", "a: !!float 1", "a: !!bool yes", "a: !!null x", "a: !!int x", "2024-01-01: x", "a: 2024-01-01T01:02:03Z", "a: 2024-01-01 01:02:03", "a: 2024-1-1", "a: 2024-13-01",
	"a: b: c", "a: [", "a: {", "a: \"", "a: '", "a: @x", "a: `x", "a: %x", "%YAML 1.1\n---\na: b", "? a\n: b", "? [a]\n: b", "? {a: b}\n: c", "a: x # comment", "a: x#y", "a: http://x.y/z?q#f", "a: -", "a: - b", "a: --x", "-a: b", "a-b.c/d: e", "\"a b\": c", "a  :  b", " a: b", "a: b\n c: d", "a:\n- b\n- c", "a:\n  - b\n  -\n    - c",
	"é: ü", "a: 😀", "a: x\r\nb: y\r\n", "a: \ufeffx", "\ufeffa: b", "a: x\ty", "a: 'x\n\n  y'", "key with spaces: v", "a: [a,b,]", "a: [a, , b]", "{a: b}", "{a: b, c: }", "{a, b}", "[a: b]", "a: {x: 'y', \"z\":1}", "{\"a\":1,\"b\":[true,null]}", "a: !!set {x}", "a: !<tag:yaml.org,2002:str> 1",
	"password: p@ss: word", "user: \"{{\"", "a: 1__0", "a: +1", "a: -0", "a: +.5", "a: .5", "a: 5.", "a: 1e", "a: 0x", "a: 1e400", "a: 0xffffffffffffffff", "a: -0x1", "a: 1_", "a: _1", "a: 9007199254740993", "a: 1e-7", "a: 123456789.5", "a: Null", "a: NULL", "a: nULL", "a: True", "a: tRue", "a: Off", "a: oFF",
	"url: jdbc:postgresql://h:5432/db?user=x&password=y", "config: |\n  [section]\n  key = value\n\n  [other]\n\tx\n", "multi: \"line one\\\n   line two\"", "a: \"\\q\"", "a: |x\n  y", "a: | # c\n  y", "a: *", "a: &", "a: !", "- ", "-", "a:\n\n\n  b: c\n", "a: b\n# c\nd: e", "a: >\n\n  x\n",
}

// yamlValues are strings that the emitter has to write.
var yamlValues = []string{
	"x", "a\n", "a\n\n", "\n", "\n\n", " a\nb", "a\nb", "a\nb\n", "<<", "=", "a\u0085b", "a\x7fb", "\ufeffab", "a\ufeffb", "", "2024-01-01", "2024-01-01T01:02:03Z", "1:30", "1:30.5", "190:20:30", "1:60", "a: b", "a #b", "a#b", "a:b", "a:", ":a", "😀", "é", "~", "- a", "-a", "a\tb", "\ta", "a'b", "'", "'a'", "\"", "a\"b",
	"\u2028x", "x\u2028y", "tr\\ue", "a\r\nb", "a\rb", "?", "? a", "?a", ":", "-", "--", "---", "--- a", "...", "@", "`", "%", "a,b", "[a", "]", "{a", "}", "no", "No", "nO", "0x1", "0b1", "0o1", "01", ".", "1.", "1_0", "12e3", "null", "Null", "!a", "&a", "*a", "|", ">", "|a", "a ", " a", "  ", " ", "a\nb ", "a \nb", "a\n b", "a\n\n\nb", "true", "y", "on", "1", "-1", "+1", "1.5", "-.5", ".inf", ".nan", "1e400",
	"\u00a0", "\x00", "\x01", "\x1b", "\x08", "a\vb", "a\fb", "\ud7ff", "\ue000", "\ufffd", "a,b: c", "key: value # x", "http://x.y/z?a=b&c=d#f", "C:\\dir", "#", "# x", "a\\nb", strings.Repeat("word ", 40) + "x", strings.Repeat("word ", 40) + ": x", strings.Repeat("word ", 40) + "\u0001", strings.Repeat("word  ", 30), strings.Repeat("x", 200) + " y", "x" + strings.Repeat(" ", 100) + "y", strings.Repeat("it's ", 40) + "#", " " + strings.Repeat("word ", 40),
	"-----BEGIN X-----\nAAAA\n-----END X-----\n", "{{ x }}", "${x}", "$x", "p@ss", "a\u2029b\n", "\u2028\nx", "x\n\u2028", "a\nb\tc", "a\nb\x01",
}

var jsonDocs = []string{
	`{}`, `[]`, `null`, `1`, `"x"`, `true`, `1.5`, `1e21`, `1e-7`, `-0`, `0.1`, `1000000`, `123456789.5`, `12345678901234567890`, `{"a":1,"b":[1,2,{"c":"d"}],"e":{}}`, `{"a10":1,"a9":2,"a":3,"A":4,"_":5,"1":6,"é":7,"a-b":8,"a.b":9,"10":1,"9":1,"01":1}`, `[[1,[2,[3]]],[]]`, `[{"a":[{"b":[]}]}]`, `{"a":"x\ny","b":["p\nq\n",{"c":"r\n\n"}]}`,
	`{"":1,"a b":2,"x:y":3,"- z":4,"yes":5,"1":6,"null":7,"x: y":8,"#":9,"é":10}`, `{"a":{"b":{"c":{"d":[1,{"e":null}]}}}}`, `["",null,true,"true","~"," "]`, `[["a\nb"],[["c\nd"]]]`, `{"k":[[],[[]],{}]}`, `{"data":{"password":"cGFzcw=="},"kind":"Secret","apiVersion":"v1","metadata":{"name":"x","labels":{"a/b":"c"}}}`, `{"x1y2":1,"x1y10":2,"x01":3,"x1":4,"x 1":5}`, `["a: b",{"a: b":"c #d"}]`, `{"list":[1.0,2.50,1e2,1E+2,-1.5e-3]}`, `"{\"a\":1}"`, `{"a":"<html>&"}`,
	`{"m\nn":"o"}`, `{"` + strings.Repeat("k", 128) + `":1}`, `{"` + strings.Repeat("k", 129) + `":{"a":[1]}}`, `{"` + strings.Repeat("é", 65) + `":1}`, `{"m\nn":["o",{"p":"q"}]}`, `{"m\nn":{"o":"p"}}`, `[{"m\nn":1}]`,
}

func esoYAML() []Row {
	var rows []Row
	add := func(fn, t, text string) { rows = append(rows, esoRow(fn, t, map[string]string{"t": text})) }
	for _, text := range yamlTexts {
		add("fromYaml", `{{ $m := fromYaml .t }}{{ if hasKey $m "Error" }}error{{ else }}{{ toJson $m }}{{ end }}`, text)
		add("fromYaml", `{{ $m := fromYaml .t }}{{ if hasKey $m "Error" }}error{{ else }}{{ toYaml $m }}{{ end }}`, text)
		add("fromYaml", `{{ $m := fromYaml .t }}{{ if hasKey $m "Error" }}error{{ else }}{{ range $k, $v := $m }}{{ printf "%s=%T %v;" $k $v $v }}{{ end }}{{ end }}`, text)
	}
	for _, text := range yamlValues {
		add("toYaml", `{{ toYaml .t }}`, text)
		add("toYaml", `{{ dict "k" .t "l" (list .t) | toYaml }}`, text)
		add("toYaml", `{{ list (list .t (dict "k" (dict "k" .t))) | toYaml | indent 2 }}`, text)
		if text != "" && !strings.Contains(text, "\u0085") {
			add("toYaml", `{{ dict .t 1 | toYaml }}`, text)
		}
	}
	for _, text := range jsonDocs {
		add("toYaml", `{{ fromJson .t | toYaml }}`, text)
		add("toYaml", `{{ list (fromJson .t) | toYaml }}`, text)
		add("toYaml", `{{ dict "k" (fromJson .t) "z" 1 | toYaml }}`, text)
	}
	for _, v := range pools['a'] {
		if !strings.Contains(v, ".Secrets") && !strings.Contains(v, ".Labels") {
			add("toYaml", fmt.Sprintf(`{{ toYaml %s }}`, v), "")
		}
	}
	add("toYaml", `{{ toYaml . }}`, "x: y")
	add("toYaml", `{{ toYaml 1i }}`, "")
	add("toYaml", `{{ toYaml }}`, "")
	add("fromYaml", `{{ fromYaml 1 }}`, "")
	add("fromYaml", `{{ fromYaml .t | typeOf }}`, "a: b")
	add("fromYaml", `{{ (fromYaml .t).a }}`, "a: b")
	add("fromYaml", `{{ (fromYaml .t).b }}`, "a: b")
	return rows
}

// esoLiteral has texts as templateFrom reads them: a map of strings.
func esoLiteral() []Row {
	var rows []Row
	for _, text := range yamlTexts {
		if strings.Contains(text, "{{") {
			continue
		}
		rows = append(rows, Row{Function: "literal", Template: text, API: "eso", AnyError: true, Input: json.RawMessage("{}")})
	}
	return rows
}
