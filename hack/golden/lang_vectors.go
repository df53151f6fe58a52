//go:build ignore

// Renders templates with Go's text/template, for comparison: those of lang_rows.txt, one a line, into
// tests/golden/lang.jsonl
//
//	go run hack/golden/lang_vectors.go < hack/golden/lang_rows.txt > tests/golden/lang.jsonl
//
// or, with -serve, one JSON array of templates a line into one line of result each.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"
)

// Row is a vector: sources that are parsed in order, the first of which is executed.
type Row struct {
	Sources  [][2]string `json:"sources"`
	Output   string      `json:"output,omitempty"`
	Output64 string      `json:"output64,omitempty"`
	Error    string      `json:"error,omitempty"`
}

// Root is the dot. What the tests need of types and methods hangs off it.
type Root struct {
	Secrets map[string]any
	Labels  map[string]string
	Wrap    *Root
	Named   Stringer
	hidden  int
}

type Point struct{ X, Y any }

func (p *Point) Add(n int, more ...string) string { return fmt.Sprint(p.X, n, len(more)) }

type Stringer struct{ A int }

func (Stringer) String() string { return "I am <named>" }

const data = `{
 "str": "hello", "empty": "", "utf8": "héllo, 世界\u2028\u0007<&>\"'", "num": 42, "big": 12345678901234567890123, "float": 1.50,
 "exp": 1e21, "neg": -7, "yes": true, "no": false, "nil": null, "list": [1, "two", null, [3, 4.5], {"k": "v"}],
 "elist": [], "map": {"b": 2, "a": "x", "nil": null, "c": {"d": [true]}}, "emap": {}, "multi": "a\nb\tc"
}`

func decode() map[string]any {
	var out map[string]any
	d := json.NewDecoder(strings.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		panic(err)
	}
	out["bin"] = "\x00\xff\xfeA\xe4\xb8"
	return out
}

var funcs = template.FuncMap{
	"list": func(v ...any) []any { return v },
	"dict": func(v ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i+1 < len(v); i += 2 {
			m[fmt.Sprint(v[i])] = v[i+1]
		}
		return m
	},
	"set":      func(m map[string]any, k string, v any) map[string]any { m[k] = v; return m },
	"strs":     func(v ...string) []string { return v },
	"ints":     func(v ...int) []int { return v },
	"bytes":    func(s string) []byte { return []byte(s) },
	"i64":      func(i int64) int64 { return i },
	"u8":       func(u uint8) uint8 { return u },
	"u64":      func(u uint64) uint64 { return u },
	"f64":      func(f float64) float64 { return f },
	"takestr":  func(s string) string { return s },
	"takebool": func(b bool) bool { return b },
	"takemap":  func(m map[string]any) int { return len(m) },
	"takelist": func(l []any) int { return len(l) },
	"takestrs": func(l []string) int { return len(l) },
	"takeany":  func(v any) any { return v },
	"two":      func(a string, b int) string { return fmt.Sprint(a, b) },
	"zero":     func() int { return 0 },
	"nilany":   func() any { return nil },
	"nillist":  func() []any { return nil },
	"nilmap":   func() map[string]any { return nil },
	"jnum":     func(s string) json.Number { return json.Number(s) },
	"dur":      func(i int64) time.Duration { return time.Duration(i) },
	"point":    func() *Point { return &Point{X: 1} },
	"labels":   func() map[string]string { return map[string]string{"a": "1", "b": "<2>"} },
	"fail":     func(s string) (string, error) { return "", errors.New(s) },
	"cut":      func(s string, n int) string { return s[:n] },
}

type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > 1<<20 {
		return 0, errors.New("limit")
	}
	return l.Buffer.Write(p)
}

func render(row *Row) {
	row.Output, row.Output64, row.Error = "", "", ""
	set := template.New("").Funcs(funcs)
	for _, source := range row.Sources {
		if _, err := set.New(source[0]).Parse(source[1]); err != nil {
			row.Error = err.Error()
			return
		}
	}
	root := &Root{Secrets: decode(), Labels: map[string]string{"app": "web", "tier": "db"}, Named: Stringer{7}}
	var out limited
	if err := set.ExecuteTemplate(&out, row.Sources[0][0], root); err != nil {
		row.Error = err.Error()
	} else if text := out.String(); utf8.ValidString(text) {
		row.Output = text
	} else {
		row.Output64 = base64.StdEncoding.EncodeToString([]byte(text))
	}
}

func main() {
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	if len(os.Args) > 1 && os.Args[1] == "-serve" {
		in := bufio.NewReader(os.Stdin)
		for {
			line, err := in.ReadBytes('\n')
			if err != nil {
				return
			}
			var row Row
			if err := json.Unmarshal(line, &row.Sources); err != nil {
				panic(err)
			}
			// Nothing stops a template that loops: it is left alone.
			done := make(chan Row, 1)
			go func() { r := row; render(&r); done <- r }()
			select {
			case row = <-done:
			case <-time.After(time.Second):
				row.Error = "limit"
			}
			row.Sources = nil
			out.Encode(row)
		}
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "# ") {
			continue
		}
		var row Row
		for i, source := range strings.Split(strings.ReplaceAll(line, "␊", "\n"), "␞") {
			row.Sources = append(row.Sources, [2]string{string(rune('a' + i)), source})
		}
		render(&row)
		out.Encode(row)
	}
}
