package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"strings"

	"github.com/tidwall/gjson"
)

// PropertyRow is what gjson finds in a document.
type PropertyRow struct {
	Document string `json:"document"`
	Path     string `json:"path"`
	Found    bool   `json:"found"`
	Text     string `json:"text,omitempty"`
}

// documents are those of gjson's manual and what people keep in secrets.
var documents = []string{
	`{"name":{"first":"Tom","last":"Anderson"},"age":37,"children":["Sara","Alex","Jack"],"fav.movie":"Deer Hunter","friends":[{"first":"Dale","last":"Murphy","age":44,"nets":["ig","fb","tw"]},{"first":"Roger","last":"Craig","age":68,"nets":["fb","tw"]},{"first":"Jane","last":"Murphy","age":47,"nets":["ig","tw"]}]}`,
	`{"a":{"b":{"c":1.50,"d":1e3,"e":12345678901234567890,"f":-0,"g":1e400}},"t":true,"f":false,"n":null,"s":"q\"\\\u00e9\ud83d\ude00\n","empty":"","o":{},"l":[]}`,
	`{"1":"one","list":[[1,2,[3]],[4],5,"six",{"k":[7,8]}],"a*b":"star","a?b":"mark","a|b":"pipe","a#b":"sign","#":"sign alone","":"nothing","a\\b":"backslash","a\"b":"quote"}`,
	`[{"v":"a","n":1,"ok":true},{"v":"b","n":2.5,"ok":false},{"v":"a","n":-3,"ok":null},{"v":"","n":0},{"w":1},"text",12,true,false,null,[1,2,3]]`,
	` { "spaced" : [ 1 , { "x" : "y" } ] , "z" : { "b" : 1 , "a" : 2 } } `,
	`{"auths":{"registry.example.com":{"auth":"dXNlcjpwYXNz","email":"a\u0026b"}},"users":[{"id":1,"roles":["admin","dev"]},{"id":2,"roles":[]}],"m":{"k1":{"v":1},"k2":{"v":2},"j":{"w":3}}}`,
	`"text"`, `12`, `null`, `[]`, `{}`, `[[[]]]`,
}

var paths = []string{
	"name.last", "name", "age", "children", "children.#", "children.1", "children.3", "child*.2", "c?ildren.0", `fav\.movie`,
	"friends.#.first", "friends.1.last", `friends.#(last=="Murphy").first`, `friends.#(last=="Murphy")#.first`,
	`friends.#(age>45)#.last`, `friends.#(first%"D*").last`, `friends.#(first!%"D*").last`, `friends.#(nets.#(=="fb"))#.first`,
	"friends.#", "friends.#.nets.#", "friends.#.nets.0", "friends|1|first", "friends.#.first|0", "friends.#.nets|#",
	"friends.#(age>=44)#|0.first", "friends.#(age<0)#", "friends.#(age<0)", "friends.#(age>0).zzz", "friends.*", "friends.-1",
	"a.b.c", "a.b.d", "a.b.e", "a.b.f", "a.b.g", "a.b", "a.*.c", "*.*.c", "*.*", "a.b.*", "t", "f", "n", "s", "empty", "o", "l",
	"l.#", "l.0", "t.x", "s.0", "a.b.c.d", "1", "list.0.2.0", "list.0.#", "list.#", "list.4.k.1", "list.#.k", "list.#.0", "list.#.#",
	"list.#.k.#", `a\*b`, `a\?b`, `a\|b`, `a\#b`, "#", `\#`, `a\\b`, `a"b`, "a*b", "a?b", "a|b", "a#b", "list.99999999999999999999",
	"list.18446744073709551617", "0", "0.v", "1.n", "#.v", "#.n", "#.ok", "#.w", `#(v=="a")`, `#(v=="a")#`, `#(v="a")#.n`, `#(v!="a")#.n`,
	`#(n>0)#.n`, `#(n>=0)#.n`, `#(n<=0)#.n`, `#(n<1)#.v`, `#(n==2.5).v`, `#(n==1e0).v`, `#(ok==true)#.v`, `#(ok!=true)#.v`, `#(ok>false)#.v`,
	`#(ok>=false)#.v`, `#(ok<true)#.v`, `#(ok<=true)#.v`, `#(ok==~true)#.v`, `#(ok==~false)#.v`, `#(ok==~null)#.v`, `#(ok==~*)#.v`,
	`#(ok!=~*)#.v`, `#(ok==~x)#.v`, `#(v)#.n`, `#(w)`, `#(w).w`, `#(=="text")`, `#(==12)`, `#(>5)#`, `#(%"t*")#`, `#(!%"t*")#`, `#(!="x")#`,
	`#(==true)#`, `#(==~true)#`, `#(==~false)#`, `#(==~null)#`, `#(v=="a"`, `#(v`, `#()`, `#()#`, `#[v="b"].n`, `#(v=="a")#.n|0`, `#(v=="a")#|#`,
	`#(v=="a")#|1.n`, `#(v=="a")|n`, `#(v=="\u0061").n`, `#(v==a).n`, `#( v == "a" ).n`, `#(v!)#`, `#(v%)#`, `#(v=)#.n`, `#(v!x)#`, `#(v>="b")#.n`,
	`#(v<"b")#.n`, `#(v<="b")#.n`, `#(v>"a")#.n`, "10.#", "10.2", "##", "#x", "x#", "spaced", "spaced.1", "spaced.1.x", "spaced.0", "spaced.#", "z", "z.a",
	`auths.registry\.example\.com.auth`, `auths.registry\.example\.com.email`, "auths.*.auth", "users.#.roles", "users.#.roles.0", "users.#.roles.#",
	`users.#(roles.#(=="dev")).id`, "users.0.roles|1", "m.k*.v", "m.*.w", "m.*.v", "m.?.w", "m.k?", "m.*|v", "m.*", "*.*.v", "*", "?", "**", "", ".", "..",
	"a..b", ".a", "a.", "|", "a|", "|a", "a.|b", "#.", "#|", "#.#", "#.|", "#|#", "list.#|1", "list.#.0|1", `\`, `a\`, `list.\0`, `n\ame`, "@unknown", "a.@unknown",
	"friends.#(first==\"Dale\")#.nets.#(==\"fb\")", "friends.#(first==\"Dale\").nets.#(==\"fb\")#", "friends.#.nets.#(%\"*w\")", "friends.#.nets.#(%\"*w\")#",
	"friends.#.nets.#(%\"*w\")#|0", "friends.#.nets.#(%\"*w\")#|#", "friends.#.nets|0.1", "friends.#(nets.#)#.age", "friends.#(nets.1==\"tw\").age",
	"@reverse", "children.@reverse", "children|@reverse", "{name.first,age}", "[age,t]", "name.{first,last}", "!true", `!"x"`, "..#", "..0",
}

var memberNames = []string{"a", "b", "c", "1", "0", "a.b", "a*", "é", "", "x|y", "#", "k1", "k2"}
var memberTexts = []string{"", "a", "b", "abc", "x y", "é😀", "true", "1", "0", "a\"b", "a\\b", "<&>", "\n", "f"}
var memberNumbers = []string{"0", "1", "-1", "2", "10", "1.5", "1.50", "1e3", "1E-2", "12345678901234567890", "-0.0", "3.0"}

func pick(r *rand.Rand, list []string) string { return list[r.Intn(len(list))] }

func randomDocument(r *rand.Rand, depth int) string {
	kind := r.Intn(9)
	if depth == 0 {
		kind = r.Intn(5)
	}
	switch kind {
	case 0:
		return pick(r, []string{"true", "false", "null"})
	case 1, 2:
		return pick(r, memberNumbers)
	case 3, 4:
		b, _ := json.Marshal(pick(r, memberTexts))
		return string(b)
	case 5, 6:
		var parts []string
		for range r.Intn(5) {
			parts = append(parts, randomDocument(r, depth-1))
		}
		return "[" + strings.Join(parts, pick(r, []string{",", ",", " , "})) + "]"
	default:
		var parts []string
		for range r.Intn(5) {
			name, _ := json.Marshal(pick(r, memberNames))
			parts = append(parts, string(name)+pick(r, []string{":", ":", " : "})+randomDocument(r, depth-1))
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
}

func randomPath(r *rand.Rand, depth int) string {
	var b strings.Builder
	for i := range 1 + r.Intn(4) {
		if i > 0 {
			b.WriteString(pick(r, []string{".", ".", ".", ".", "|"}))
		}
		switch r.Intn(12) {
		case 0, 1, 2:
			b.WriteString(pick(r, []string{"a", "b", "c", "k1", "é", ""}))
		case 3, 4:
			b.WriteString(pick(r, []string{"0", "1", "2"}))
		case 5, 6:
			b.WriteString("#")
		case 7:
			b.WriteString(pick(r, []string{"*", "?", "a*", "*b", "k?", "?1", "*.*", `a\.b`, `a\*`, `x\|y`, `\#`}))
		case 8, 9, 10:
			if depth == 0 {
				b.WriteString("a")
				continue
			}
			inner := pick(r, []string{"", "", randomPath(r, depth-1)})
			operator := pick(r, []string{"", "=", "==", "!=", "<", "<=", ">", ">=", "%", "!%"})
			value := pick(r, []string{"1", "a", `"a"`, `"a*"`, `"*b?"`, "true", "false", "~true", "~false", "~null", "~*", "null", "1.5", `"a\"b"`, `"é"`, "0", ""})
			if operator == "" {
				value = ""
			}
			fmt.Fprintf(&b, "#(%s%s%s)%s", inner, operator, value, pick(r, []string{"", "#"}))
		default:
			b.WriteString(pick(r, []string{"a", `\`, "##", "a#", "@x", "00", "#(", "#(a", "-1", "b*c", " "}))
		}
	}
	return b.String()
}

// properties are the rows: each path over the documents, and random ones.
func properties(random int) []PropertyRow {
	var rows []PropertyRow
	add := func(document, path string) {
		result := gjson.Get(document, path)
		rows = append(rows, PropertyRow{document, path, result.Exists(), result.String()})
	}
	for _, document := range documents {
		for _, path := range paths {
			add(document, path)
		}
	}
	r := rand.New(rand.NewSource(1))
	for len(rows) < len(documents)*len(paths)+random {
		document, path := randomDocument(r, 4), randomPath(r, 2)
		// What is in no document says little: most of the rows find something.
		if gjson.Get(document, path).Exists() || r.Intn(60) == 0 {
			add(document, path)
		}
	}
	return rows
}

func writeProperties(path string, random int) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, row := range properties(random) {
		if err := e.Encode(row); err != nil {
			return err
		}
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}
