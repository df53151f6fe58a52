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
	`{"l":[1,[2],[3,4],[5,[6,[7, 8]],[],[ ]],{"k":[9]},"x",null],"j":[{"a":1,"b":2},{"b":3,"c\\n":[1]},"x",{},{"\u0061":4}],"g":{"id":["1","2","3"],"v":[1,true],"x":5,"e":[]},"s":"{\"id\":1023,\"n\":[1, 2]}","t":"true","n":"12.50","q":"\"x\"","h":"<&>\u2028\t\u0001é"}`,
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
}

// operators are modifiers, several paths, literals and lines.
var operators = []string{
	"@reverse", "children.@reverse", "children|@reverse", "{name.first,age}", "[age,t]", "name.{first,last}", "!true", `!"x"`, "..#", "..0",
	"@this", "@valid", "@keys", "@values", "@flatten", "@join", "@pretty", "@ugly", "@tostr", "@fromstr", "@group", "@dig:first", "@dig:v", "@this.@this|@this",
	"name.@keys", "name.@values", "name|@tostr", "name.@tostr|@fromstr", "name.@tostr.@fromstr.first", "name.@reverse", "age.@keys", "age|@values", "age.@tostr",
	"children.@keys", "children.@values", "children.@join", "children.@group", "children|@flatten", "children.@reverse.0", "children.@reverse|#", "children.@this.#",
	"missing.@keys", "missing|@keys", "missing|@values", "missing|@this", "missing|@tostr", "missing|@pretty", "missing|@group", "missing|@dig:x", "missing|{a,b}",
	"missing|[a]", "missing|!5", "missing|..#", "missing|@valid", "missing|@fromstr", "missing|@reverse", "missing|@flatten", "missing|@join", "missing|@ugly",
	"l.@flatten", `l.@flatten:{"deep":true}`, `l.@flatten:{"deep":false}`, `l.@flatten:{"deep":"T"}|#`, `l.@flatten:{"deep":1}.0`, `l|@flatten:{"de\u0065p":true}.@reverse`,
	"l.@flatten: {\"deep\":true}", "l.@flatten:deep", "l.@flatten:[1]", `l.@flatten:"x"`, "l.@flatten:", "l.@flatten:|#", "l.@ugly", "l.@pretty", "l.3.@pretty",
	"j.@join", `j.@join:{"preserve":true}`, `j.@join:{"preserve":true}.b`, `j.@join:{"preserve":true}|@keys`, "j.@join.b", "j.@join|@keys", "j.#.@keys", "j.#.@values|@flatten",
	"g.@group", "g.@group.#", "g.@group.#.id", "g.@group.0.v", "g.@keys", "g.@reverse", "g.@values|2", "s.@fromstr", "s.@fromstr.id", "s.@fromstr.n.1", "s|@fromstr|@keys",
	"t.@fromstr", "n.@fromstr", "q.@fromstr", "q.@fromstr.@fromstr", "h.@tostr", "h.@tostr.@fromstr", "h", "o.@tostr.@tostr", "h.@fromstr", "s.@tostr.@tostr.@fromstr.@fromstr.@fromstr.id",
	"s.@valid", "s.@fromstr.@valid.id", "h.@fromstr.@valid", "h.@fromstr.@tostr", "h.@fromstr.@keys", "h.@fromstr.x", "h.@fromstr.{a:x}", "h.@fromstr.@ugly",
	"@dig:k", "@dig:b", "@dig:#", "@dig:0", "@dig:#.id", "@dig:a.b", "@dig:@keys", "@dig:{b,c}", "@dig:[1|x]", "@dig", "@dig:*", `@dig:#(n>0)#.v`, "@dig:x|#", "@dig:v|0",
	"@pretty", `@pretty:{"sortKeys":true}`, `@pretty:{"indent":"\t","prefix":" "}`, `@pretty:{"width":20}`, `@pretty:{"width":0}`, `@pretty:{"width":-1}`, `@pretty:{"width":"10"}`,
	`@pretty:{"width":true,"indent":""}`, `@pretty:{"indent":"ab","sortKeys":"t"}`, `@pretty:{"sortKeys":1,"sortKeys":false}`, `@pretty:{"prefix":"  ","indent":" x"}|@ugly`,
	`@pretty:{"width":5}`, `@pretty:{"width":1e30}`, `@pretty:{"width":7.9}`, `@pretty:{}`, "@pretty:", "@pretty.@this", "@pretty|@tostr", "friends.@pretty", "friends.#.@pretty", "friends.#.@ugly",
	"friends.#.{first,age}", `friends.#.{"name":first,"years":age,nets.0}`, "friends.#.[first,nets.1]", "friends.#.{first,age}|0.age", "friends.#.{first|@tostr,age}|#",
	"friends.#.{nets|0,first}", "friends.#.[nets|0,first]", `friends.#.{"n":first}|0`, "friends.#.{}", "friends.#.[]", "{}", "[]", "{", "[", "{age", "[age", "{age}x", "{age}|age", "{age}.age",
	"[age].0", "[age]|#", "[age]0", `{"a":age}`, `{"a\"b":age}`, "{a:age}", `{"a\q":age}`, `{é<:age}`, "{:age}", "{a:}", "{,}", "{age,}", "{name.first|@tostr}", "{name.@keys}", "{name.@keys:x}",
	"{children.#}", "{children|#}", `{fav\.movie}`, `{friends.#(age>45)#.last}`, `{"x":friends.#(first=="Dale").last}`, "{!true}", `{"l":!"x"}`, "{t:!null}", "[!5]", "[!5,age]", "[!nan]", "[!nan].0", `[!{"a":1}].0.a`,
	"{name.{first}}", "[[[age]]]", "[[[age]]].0.0", "{a:{b:{c:age}}}", "{a:{b:{c:age}}}.a.b.c", "{@this}", "{@keys}", "[@this]", "[@this,@this].#", "[@keys,@values]", "{a.@keys:b}", "{@keys:b}",
	"!false", "!null", "!nan", "!inf", "!NaN", "!Inf", "!INF", "!TRUE", "!tRUE", "!nULL", "!fALSE", "!falsE", "!5", "!-5.50", "!+5", "!5.x", "!5|@this", "!0x10", "!1e3", `!"x"|@this`, `!"x".@tostr`, `!"a\u0041"`, `!"x`, `!"x"y`,
	`!{"a":[1,2]}`, `!{"a":[1,2]}.a.1`, `!{"a":[1,2]}|a|#`, "![1,2]", "![1,2].0", "![1,2]|@reverse", "!{x}", "!{x}.x", "!x", "!", "!true.x", "!true|@tostr", "!null|@keys", "!nan|@values", "!inf|@pretty", "!fALSE|@pretty", "!nan|@this",
	"a.!true", "name.!true", "..", "..#.name", "..#.#", "..0.name", "..1", "..@this", "..0|@keys", "..#.@keys", "..#|0", "..0.name.@values", "a|..#", "name|..0", "name|..0.first", "..{name}", "..#.{age}",
	"#.@keys", "#.@this", "#.{v,n}", "#.[v]", "#(@keys)", `#(@keys.#==3)#`, `#(@this.v=="a")#.n`, `#(v=="a")#.@keys`, `#(v=="a")#.{n}`, `#(v=="a")#|@flatten`, `#(v=="a").@keys`, `#(v=="a")|@values`, `#(!5)#`, `#(@tostr%"*a*")#`,
	`#({v}.v=="a")#.n`, `#([n].0>0)#.n`, "@reverse.0", "@reverse|#", "@values|@reverse|0", "@keys|#", "@keys.0", "@join.v", "@flatten|#", "@flatten.@flatten|#", "1.@this.v", "10.@reverse", "10|@tostr", "5.@tostr", "7.@keys", "9|@values",
	"*.@keys", "*.{b,c}", "a*.@this", "o.@keys", "o.@values", "l.@keys", "empty.@tostr", "empty|@fromstr", "n.@keys", "n.@tostr", "f.@values", "spaced.@this", "spaced.@flatten", "spaced.@values", "spaced.@reverse", "z.@join", "z.@reverse",
	"z.@tostr", "z.@ugly", "z.@pretty", "@ugly.z", "@tostr|@fromstr", "@tostr|@fromstr|spaced", "@tostr.@tostr", "@keysx", "@keys:x.y", "@keys:x|0", "@this:|#", "@this:", "@this:{}", `@this:{"a":1}x`, `@this:"x|y"|#`, "@this:(a|b)|#", "@this:a[b|c]d|#",
	"@unknown:x", "name.@unknown", "name.@keysx", "@", "name.@", "@.x", "@|x",
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

func randomPath(r *rand.Rand, depth int) string { return pathOf(r, depth, 0) }

// pathOf writes a random path; with extra 3 it may have operators.
func pathOf(r *rand.Rand, depth, extra int) string {
	var b strings.Builder
	for i := range 1 + r.Intn(4) {
		if i > 0 {
			b.WriteString(pick(r, []string{".", ".", ".", ".", "|"}))
		}
		switch r.Intn(12 + extra) {
		case 12:
			b.WriteString(pick(r, []string{"@this", "@keys", "@values", "@reverse", "@flatten", "@join", "@tostr", "@fromstr", "@ugly", "@group", "@valid", "@pretty",
				`@flatten:{"deep":true}`, `@join:{"preserve":true}`, `@pretty:{"sortKeys":true}`, `@pretty:{"width":12}`, "@dig:a", "@dig:" + pick(r, memberNames[:4])}))
		case 13:
			if depth == 0 {
				b.WriteString("b")
				continue
			}
			open, end := "{", "}"
			if r.Intn(2) == 0 {
				open, end = "[", "]"
			}
			var parts []string
			for range r.Intn(4) {
				name := pick(r, []string{"", "", "", "x:", `"y":`, "é:"})
				parts = append(parts, name+pathOf(r, depth-1, extra))
			}
			b.WriteString(open + strings.Join(parts, ",") + end)
		case 14:
			b.WriteString(pick(r, []string{"!true", `!"x"`, "!5", `!{"a":1}`, "..0", "..#", "..", "@this", "@values"}))
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
			inner := pick(r, []string{"", "", pathOf(r, depth-1, extra)})
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
		for _, path := range operators {
			if document == documents[0] || gjson.Get(document, path).Exists() {
				add(document, path)
			}
		}
	}
	for _, path := range []string{"..#", "..0", "..1", "..2", "..3", "..#.a", "..#.a|1", "..#(a>1).a", "..0|@keys", "..1.a", "..", "..#|0"} {
		add("{\"a\":1}\n{\"a\" : 2}\n\n[3] \"x\"\n", path)
	}
	r := rand.New(rand.NewSource(2))
	for fixed := len(rows); len(rows) < fixed+random; {
		document, path := randomDocument(r, 4), pathOf(r, 2, 3)
		result := gjson.Get(document, path)
		// Few of the rows have no operators, or find nothing.
		if (strings.ContainsAny(path, "@!{[") || r.Intn(20) == 0) && (result.Exists() || r.Intn(60) == 0) {
			add(document, path)
		}
	}
	r = rand.New(rand.NewSource(1))
	for fixed := len(rows); len(rows) < fixed+random; {
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
