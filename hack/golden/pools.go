package main

// values are the named members of .Secrets that templates of the grid use, as
// JSON. A row carries only those its template names.
var values = map[string]string{
	"empty": `""`, "str": `"hello world"`, "word": `"abc"`, "space": `"  \t padded \n "`,
	"uni":   `"héllo wörld ß İ ǆ 日本語 😀 é"`,
	"bad":   `{"$b64":"Yf/+YsMoIM+AYw=="}`,
	"bin":   `{"$b64":"AAECA3/+/+3+AAAQ"}`,
	"nl":    `"line1\nline2\r\n\tx\n"`,
	"html":  `"<a href=\"x\">&'\u2028</a>\\\u0001\u007f"`,
	"camel": `"HTTPServer2xx_someWord-fooBar  Baz9"`,
	"snum":  `"42"`, "sneg": `"-7"`, "sflt": `"3.140"`, "soct": `"0755"`, "shex": `"0x1F"`, "szero": `"0.0"`, "sexp": `"1e3"`, "sunder": `"1_000"`,
	"long": `"The quick brown fox jumps over the lazy dog https://example.com/a/very/long/path and then some"`,
	"csv":  `"a,b,,c,a"`,
	"int":  `5`, "neg": `-3`, "flt": `1.50`, "exp": `1e3`, "big": `12345678901234567890123`, "max": `9223372036854775807`, "zero": `0`, "zflt": `0.0`,
	"t": `true`, "f": `false`, "nil": `null`,
	"list": `["b","a","c","a"]`, "none": `[]`, "nums": `[3,1.5,2,1e2]`, "mixed": `["x",1,true,null,{"k":"v"},["y"],""]`,
	"map": `{"b":"2","a":"1","n":{"x":{"y":"deep"},"l":[1,2]},"z":null}`, "emptymap": `{}`, "over": `{"a":"9","n":{"x":{"q":1},"l":[3]},"e":"","new":true}`,
	"doc":  `"{\"b\":[1,2.5,1e21,\"x\",null,true],\"a\":{\"k\":\"<v>\"}}"`,
	"cert": certJSON, "key": keyJSON, "ed": edJSON,
}

// pools holds, for each kind of argument, expressions to put there. The first
// is what stands there while other arguments vary.
var pools = map[byte][]string{
	's': {`.Secrets.str`, `""`, `"a"`, `.Secrets.uni`, `.Secrets.bad`, `.Secrets.bin`, `.Secrets.nl`, `.Secrets.space`, `.Secrets.html`, `.Secrets.camel`, `.Secrets.long`, `.Secrets.csv`, `.Secrets.empty`, `.Labels.app`, `.Secrets.snum`, `"o"`, `(repeat 300 "xyz ")`},
	'b': {`"aGVsbG8="`, `""`, `"aGVsbG8"`, `"aGVs\nbG8="`, `"a*b"`, `"_-8="`, `"/+8="`, `"AAEC//79"`, `"aGVsbG9="`, `"NBSWY3DP"`, `"nbswy3dp"`, `"NBSWY3A="`, `"NBSWY3D"`, `"MY======"`, `"MY====="`, `.Secrets.uni`, `.Secrets.bad`},
	'i': {`3`, `0`, `1`, `-1`, `7`, `50`, `-20`, `2`, `5`, `10`},
	'n': {`5`, `0`, `1`, `-1`, `-4`, `12`, `2`, `3`},
	'a': {`.Secrets.str`, `.Secrets.nil`, `""`, `0`, `1`, `-5`, `1.5`, `0.1`, `1e6`, `1e21`, `true`, `false`, `'x'`, `.Secrets.int`, `.Secrets.flt`, `.Secrets.exp`, `.Secrets.big`, `.Secrets.max`, `.Secrets.zero`, `.Secrets.neg`,
		`.Secrets.snum`, `.Secrets.sneg`, `.Secrets.sflt`, `.Secrets.soct`, `.Secrets.shex`, `.Secrets.szero`, `.Secrets.sexp`, `.Secrets.sunder`, `.Secrets.t`, `.Secrets.f`, `.Secrets.missing`, `.Secrets.uni`, `.Secrets.bad`, `.Secrets.html`,
		`.Secrets.list`, `.Secrets.none`, `.Secrets.mixed`, `.Secrets.map`, `.Secrets.emptymap`, `.Labels`, `(list)`, `(list 1 "a" nil 2.5)`, `(dict)`, `(dict "k" (list 1 "<"))`, `(splitList "," "b,a")`, `(until 3)`, `(split "," "x,y")`, `(semver "1.2.3-rc.1+b")`, `(chunk 2 (list 1 2 3))`,
		`(int64 7)`, `(float64 2.25)`, `(fromJson .Secrets.doc)`, `(fromJson "1e21")`, `(keys (dict))`, `(mustToDate "2006-01-02" "2024-02-29")`, `(len "abc")`, `(ternary 1 2 true)`},
	'm': {`7`, `.Secrets.int`, `"3"`, `2.5`, `-7`, `-2.5`, `0`, `.Secrets.flt`, `.Secrets.sflt`, `.Secrets.soct`, `.Secrets.shex`, `"abc"`, `""`, `.Secrets.nil`, `true`, `.Secrets.max`, `.Secrets.big`, `.Secrets.exp`, `1e20`, `-1e20`, `0.1`, `0.2`, `123.555555`, `"NaN"`, `"Inf"`, `.Secrets.list`, `"1_000"`, `"0b101"`, `"5.00"`, `"0o17"`, `" 4"`, `1e-7`, `"1e400"`, `3`, `-0.5`, `0.5`, `1.5`, `(int64 9)`, `9007199254740993`},
	'l': {`.Secrets.list`, `.Secrets.none`, `.Secrets.nums`, `.Secrets.mixed`, `(list)`, `(list 1 "a" nil 2.5)`, `(list 1 1 2 "1" (list) (dict))`, `(splitList "," "b,a,,b")`, `(until 5)`, `(chunk 2 (list 1 2 3))`, `(fromJson "[1,2,[3]]")`, `(keys (dict "k" 1))`, `(list nil nil)`, `(list "b" "B" "a" "é" "")`},
	'd': {`.Secrets.map`, `.Secrets.emptymap`, `(dict)`, `(dict "a" 1 "b" (dict "c" 2))`, `.Secrets.over`, `(dict "a" nil "l" (list 1))`, `(fromJson "{\"a\":{\"b\":[1]}}")`},
	'k': {`"a"`, `"b"`, `""`, `"missing"`, `"n"`, `"é"`},
	'r': {`"o"`, `"[a-c]+"`, `"(\\w+) (\\w+)"`, `"^\\s*(.*?)\\s*$"`, `""`, `"a*"`, `"\\d"`, `"(?i)HELLO"`, `"(?P<x>l+)"`, `"[[:alpha:]]+"`, `"\\bw"`, `"("`, `"a{2"`, `"a{2,1}"`, `"\\pL+"`, `"\\x{1F600}"`, `"(?s)."`, `"(?m)^line"`, `"[^a-z]"`, `"x|y|"`, `"\\Qa.b\\E"`, `"a**"`, `"(?=x)"`, `"\\"`, `"[z-a]"`, `"\\C"`, `"(?U)l+"`, `"{"`, `"a{1001}"`, `"[[:foo:]]"`, `"\\1"`, `"é"`, `"."`, `"\\W"`, `"(?<y>o)"`, `"$"`, `"l+?"`},
	'R': {`"_"`, `"$1"`, `"${1}x"`, `"$1x"`, `"$x"`, `"${x}"`, `"$$"`, `"$"`, `""`, `"[$0]"`, `"$2 $1"`, `"${"`, `"\\1"`, `.Secrets.bad`},
	'v': {`"1.2.3"`, `"v1.2"`, `"1"`, `"1.2.3-beta.1+b42"`, `"01.2.3"`, `"1.2.3-01"`, `"x"`, `""`, `"1.2.3.4"`, `"99999999999999999999.0.0"`, `"1.2.3-"`, `"2.0.0-rc.1"`, `"0.0.3"`, `"0.2.5"`, `"1.2.3\n"`, `"1.9.0+meta"`},
	'c': {`">=1.0.0"`, `"^1.2"`, `"~1.2.3"`, `"1.x"`, `"*"`, `""`, `"1.2.3 - 2.3.4"`, `">1.2, <2 || =3.0.0"`, `"!=1.2"`, `"~>0.2"`, `"^0.0.3"`, `"^0"`, `"=>1"`, `"=<1.2"`, `"foo"`, `">1.2.3-alpha"`, `"<1.x"`, `"~0"`, `"1.2.3 1.2.3"`, `"!=1.2.x"`, `">11"`, `"^*"`, `"1.2 - 1.9"`, `"|| 1"`, `"~1.2.3-beta"`},
	'u': {`"https://user:pa%20ss@host.example:8443/a/b%2Fc?q=1&r=%20#frag%20x"`, `""`, `"/only/path"`, `"mailto:a@b.c"`, `"http://[::1]:80/"`, `"http://a b/"`, `"%zz"`, `"://x"`, `"http://h:port/"`, `"//host/p"`, `"http://u@h?#"`, `"a b/c"`, `"http://é.example/ü?ä#ö"`, `"http://[fe80::1%25en0]/"`, `"1http://x"`, `"http://h/%"`, `"http://h/a%41"`, `"HTTP://H/?"`, `"a:b/c"`, `"http://:pw@h"`, `"x:y:z"`, `"http://h/a\nb"`, `"*"`, `"http://[::1"`},
	'j': {`.Secrets.doc`, `"{}"`, `"[]"`, `"null"`, `"1"`, `"1.0"`, `"12345678901234567890"`, `"1e400"`, `"\"\\u00e9\\ud83d\\ude00\\ud800\""`, `""`, `"{"`, `"[1,]"`, `"{\"a\":1,\"a\":2}"`, `"nul"`, `"true x"`, `" [ 1 , 2 ] "`, `.Secrets.bad`, `"\"\\x\""`, `"01"`, `"-"`, `"\"a"`, `"{\"a\" 1}"`, `"{a:1}"`, `"[1 2]"`, `"-0"`, `"1E5"`, `"[[[]]]"`, `"\"\t\""`, `"{\"a\":}"`, `"1."`, `"+1"`},
	'p': {`"/a/b/../c.tar.gz"`, `""`, `"a"`, `"."`, `".."`, `"/"`, `"//"`, `"a//b/./c/"`, `"../../x"`, `"/../a"`, `"a.b/c"`, `".bashrc"`, `"dir/"`, `"a/.."`, `"é/ü.ß"`, `"a\\b"`, `.Secrets.bad`, `"x."`},
	'D': {`(int64 3600)`, `"95"`, `90`, `(int64 0)`, `(int64 -61)`, `"abc"`, `"2h45m30s"`, `"1500ms"`, `"-1.5h"`, `"400d"`, `(int64 31536000000000000)`, `(int64 9223372036854775807)`, `.Secrets.nil`, `"9223372036"`, `"99999999999"`, `"8800h"`, `"800h"`, `"25h"`, `"60s"`, `"61s"`, `"1us"`, `"1µs"`, `""`, `1.5`, `(int64 86400000000001)`, `.Secrets.list`, `"-99999999999999999999"`, `".5s"`, `"1h1"`, `"+5m"`},
	'L': {`"2006-01-02"`, `"2006-01-02T15:04:05Z07:00"`, `"Jan 2, 2006 at 3:04pm (MST)"`, `"02/01/06"`, `"Mon, 02 Jan 2006 15:04:05 -0700"`, `""`, `"15:04:05.000"`, `"2006-002"`, `"Monday January _2"`, `"2006-01-02 15:04:05.999999999 -0700 MST"`},
	'T': {`"2024-02-29"`, `"2024-02-30"`, `"2023-13-01"`, `"2024-02-29T01:02:03Z"`, `"2024-02-29T01:02:03.123456789+02:00"`, `"Feb 3, 2013 at 7:54pm (PST)"`, `"29/02/24"`, `"Thu, 29 Feb 2024 10:11:12 +0530"`, `""`, `"x"`, `"10:11:12.345"`, `"2024-060"`, `"Thursday February 29"`, `"2024-02-29x"`},
	'C': {`(b64enc .Secrets.cert)`, `""`, `"!"`, `(b64enc "x")`, `(b64enc .Secrets.key)`},
	'K': {`(b64enc .Secrets.key)`, `(b64enc .Secrets.ed)`, `""`, `"!"`, `(b64enc "x")`, `(b64enc .Secrets.cert)`},
	'B': {`true`, `false`, `.Secrets.t`, `.Secrets.f`, `(eq 1 1)`, `.Secrets.nil`},
	'U': {`(dict "scheme" "https" "host" "h:1" "path" "/a b" "query" "q=1" "fragment" "f x" "userinfo" "u:p w")`, `(dict)`, `(dict "host" "h" "path" "p")`, `(dict "scheme" "mailto" "opaque" "a@b")`, `(dict "path" "a:b")`, `(dict "scheme" 1)`, `(dict "path" nil)`, `(urlParse "https://user:pa%20ss@host.example:8443/a/b%2Fc?q=1&r=%20#frag%20x")`, `(dict "path" "//x")`, `(dict "host" "é" "path" "/ü?#")`, `(dict "userinfo" "%zz")`, `(dict "userinfo" "u" "host" "h")`, `(dict "scheme" "http" "path" "x")`, `.Secrets.emptymap`, `(dict "host" "[::1]" "path" "/")`, `(dict "userinfo" "a b")`, `(dict "path" "*")`, `(dict "path" "" "query" "x")`, `(dict "fragment" "é%41!'()*")`, `(dict "host" "a b<>\"")`},
	'w': {`20`, `1`, `5`, `0`, `-3`, `80`, `4`, `7`},
	'y': {`"string"`, `"int"`, `"slice"`, `"map"`, `"[]interface {}"`, `"float64"`, `""`, `"map[string]interface {}"`, `"json.Number"`, `"invalid"`},
}

// wrong are arguments that most parameter types refuse.
var wrong = []string{`1`, `1.5`, `"x"`, `true`, `nil`, `.Secrets.nil`, `.Secrets.list`, `.Secrets.map`, `.Secrets.int`, `.Secrets.missing`, `.Labels`, `(list 1)`, `(until 2)`, `.Secrets.missing.deep`, `(1 | add1)`}
