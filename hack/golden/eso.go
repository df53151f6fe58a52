package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"math/rand"
	"regexp"
	"strings"
	"text/template"
	_ "time/tzdata"

	"sigs.k8s.io/yaml"
)

//go:embed fixtures.json
var fixtureText []byte

// fixtures are values of the input by name, those of fixtures.json and of the
// pools.
var fixtures = map[string]string{}

func init() {
	if err := json.Unmarshal(fixtureText, &fixtures); err != nil {
		panic(err)
	}
}

// esoFamily is a group of rows written to one file.
type esoFamily struct {
	name string
	rows func() []Row
}

var esoFamilies = []esoFamily{
	{"language", esoLanguage},
	{"dates", esoDates},
	{"yaml", esoYAML},
	{"literal", esoLiteral},
	{"secrets", esoSecrets},
	{"pem", esoPEM},
	{"keys", esoKeys},
}

var esoField = regexp.MustCompile(`\.([a-z][a-z0-9]*)`)

// esoInput returns the values that a template names.
func esoInput(template string, extra map[string]string) json.RawMessage {
	in := map[string]any{}
	for _, m := range esoField.FindAllStringSubmatch(template, -1) {
		v, ok := extra[m[1]]
		if !ok {
			v, ok = fixtures[m[1]]
		}
		if !ok {
			continue
		}
		if b64, ok := strings.CutPrefix(v, "base64:"); ok {
			in[m[1]] = map[string]string{"$b64": b64}
		} else {
			in[m[1]] = v
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(in); err != nil {
		panic(err)
	}
	return bytes.TrimSpace(b.Bytes())
}

func esoRow(fn, template string, extra map[string]string) Row {
	return Row{Function: fn, Template: template, Input: esoInput(template, extra), API: "eso"}
}

var esoFuncs = esoFunctions()

func executeESO(row *Row) ([]byte, error) {
	in := map[string]any{}
	if err := decode(row.Input, &in); err != nil {
		return nil, err
	}
	data := map[string]string{}
	for k, v := range in {
		data[k] = binary(v).(string)
	}
	if row.Function == "literal" {
		m := map[string]string{}
		if err := yaml.Unmarshal([]byte(row.Template), &m); err != nil {
			return nil, err
		}
		return json.Marshal(m)
	}
	t, err := template.New("t").Option("missingkey=error").Funcs(esoFuncs).Parse(row.Template)
	if err != nil {
		return nil, err
	}
	var b limited
	err = t.Execute(&b, data)
	return b.Bytes(), err
}

func esoLanguage() []Row {
	var rows []Row
	for _, t := range []string{
		`{{ .user }}`, `{{ .nope }}`, `{{ .nope.deep }}`, `{{ .user.deep }}`, `{{ index . "user" }}`, `{{ index . "nope" }}x`,
		`{{ printf "%T" . }}`, `{{ . }}`, `{{ toJson . }}`, `{{ len . }}`, `{{ if .nope }}a{{ end }}`, `{{ with .nope }}a{{ end }}`,
		`{{ $x := .nope }}`, `{{ (fromJson .json).a.b }}`, `{{ (fromJson .json).c }}`, `{{ (fromJson .json).c.d }}`, `{{ (fromJson .json).a.c }}`,
		`{{ (dict "a" 1).b }}`, `{{ $d := dict "a" 1 }}{{ $d.b }}`, `{{ $.nope }}`, `{{ range .nope }}{{ end }}`, `{{ .user | default "x" }}`,
		`{{ get . "user" }}`, `{{ hasKey . "user" }}`, `{{ .bin }}`, `{{ .bin | b64enc }}`, `{{ range $k, $v := . }}{{ $k }}={{ $v }};{{ end }}`,
		`{{ (dict "a" nil).a }}`, `{{ (dict "a" nil).a.b }}`, `{{ template "x" .nope }}`, `{{ define "x" }}{{ .nope }}{{ end }}{{ template "x" . }}`,
		`{{ env "HOME" }}`, `{{ getHostByName "x" }}`, `{{ hello }}`, `{{ nonsense .user }}`, `{{ "x" | index . }}`, `{{ (index . "nope").x }}`,
		`{{ nil }}`, `{{ (list).x }}`, `{{ .user.nope }}`, `{{ not .nope }}`, `{{ and .user .nope }}`, `{{ or .user .nope }}`, `{{ coalesce .user }}`,
	} {
		rows = append(rows, Row{Function: "language", Template: t, API: "eso", Input: json.RawMessage(`{"user":"bob","json":"{\"a\":{\"b\":1}}","bin":{"$b64":"AP+A"}}`)})
	}
	return rows
}

func esoDates() []Row {
	layouts := append([]string{`"MST -07:00"`, `"2006-01-02 15:04:05 MST"`, `"x"`, `"Mon Jan _2 15:04:05.000 2006"`}, pools['L']...)
	zones := []string{`"UTC"`, `"Local"`, `""`, `"Europe/Berlin"`, `"America/New_York"`, `"Asia/Kolkata"`, `"Australia/Lord_Howe"`, `"America/Sao_Paulo"`, `"Asia/Tokyo"`, `"nonsense"`, `"europe/berlin"`, `"Etc/GMT+5"`, `"../etc"`, `"GMT"`, `"Pacific/Apia"`}
	times := []string{`0`, `1709208672`, `(int64 1720000000)`, `-1`, `(int64 -86400)`, `1e0`, `951782400`, `2000000000`, `(int64 253402300799)`,
		`(toDate "2006-01-02" "2024-02-29")`, `(toDate "2006-01-02T15:04:05Z07:00" "2024-07-01T01:02:03.123456789+02:00")`, `(toDate "2006" "x")`, `(mustToDate "2006-01-02 15:04" "1950-06-15 12:30")`, `(toDate "2006-01-02" "1900-01-01")`}
	durations := []string{`"1h"`, `"-1.5h"`, `"24h"`, `"x"`, `""`, `"0"`, `"1ns"`, `"-720h30m1s"`, `"99999h"`}
	rng := rand.New(rand.NewSource(7))
	var rows []Row
	add := func(fn, format string, args ...any) {
		rows = append(rows, esoRow(fn, fmt.Sprintf(format, args...), nil))
	}
	for _, t := range times {
		if t == `1e0` {
			continue // a float is no date: Go takes the time now
		}
		for _, l := range layouts {
			add("date", `{{ date %s %s }}`, l, t)
		}
		add("htmlDate", `{{ htmlDate %s }}`, t)
		add("date", `{{ %s | date "Jan 2" | quote }}`, t)
		for _, z := range zones {
			add("htmlDateInZone", `{{ htmlDateInZone %s %s }}`, t, z)
			fn := []string{"dateInZone", "date_in_zone"}[rng.Intn(2)]
			add(fn, `{{ %s "2006-01-02T15:04:05Z07:00 MST -0700 Mon" %s %s }}`, fn, t, z)
			add(fn, `{{ %s %s %s %s }}`, fn, layouts[rng.Intn(len(layouts))], t, z)
		}
		if strings.Contains(t, "oDate") {
			for _, d := range durations {
				for _, fn := range []string{"dateModify", "date_modify", "mustDateModify", "must_date_modify"} {
					add(fn, `{{ %s | %s %s }}`, t, fn, d)
				}
			}
			add("unixEpoch", `{{ unixEpoch %s }}`, t)
			add("toDate", `{{ %s }} {{ %s.Year }} {{ %s.IsZero }}`, t, t, t)
		}
	}
	for _, fn := range []string{"date", "htmlDate", "dateInZone", "date_in_zone", "htmlDateInZone", "dateModify", "date_modify", "mustDateModify", "must_date_modify", "unixEpoch", "toDate", "now", "hello"} {
		for _, args := range []string{`1 2 3 4`, `nil`, `"x" "y"`, `(list) (list) (list)`, `"x" nil`} {
			if fn == "date" && (args == `"x" "y"` || args == `"x" nil`) || fn == "htmlDate" && args == `nil` || fn == "htmlDateInZone" && args == `"x" "y"` {
				continue
			}
			add(fn, `{{ %s %s }}`, fn, args)
		}
	}
	for _, l := range pools['L'] {
		for _, t := range pools['T'] {
			add("toDate", `{{ toDate %s %s }}`, l, t)
			add("toDate", `{{ toDate %s %s | unixEpoch }}`, l, t)
			add("unixEpoch", `{{ unixEpoch (toDate %s %s) }}`, l, t)
		}
	}
	for range 5 {
		add("hello", `{{ hello }}%s`, strings.Repeat("!", rng.Intn(9)))
	}
	return rows
}

func esoSecrets() []Row {
	texts := map[string]string{"uni": "héllo 日本", "empty": "", "long": strings.Repeat("long text ", 30), "bin": "base64:AP+A/w==", "hex": "00ff80", "odd": "abc", "upper": "DEADBEEF", "nohex": "zz"}
	var rows []Row
	add := func(fn, template string, anyError bool) {
		row := esoRow(fn, template, texts)
		row.AnyError = anyError
		rows = append(rows, row)
	}
	for _, kind := range []string{"maximum", "long", "medium", "short", "basic", "pin", "none", ""} {
		for i, args := range []string{`"password" "user" "example.com"`, `.uni .uni .uni`, `"" "" ""`, `"p" "u" "s"`} {
			add("derivePassword", fmt.Sprintf(`{{ derivePassword %d %q %s }}`, i, kind, args), false)
		}
	}
	add("derivePassword", `{{ derivePassword 4294967295 "long" "p" "u" "s" }}`, false)
	add("derivePassword", `{{ derivePassword -1 "long" "p" "u" "s" }}`, false)
	add("derivePassword", `{{ derivePassword "1" "long" "p" "u" "s" }}`, false)
	add("derivePassword", `{{ derivePassword 1 "long" }}`, false)
	for _, t := range []string{`.aesa`, `.aesb`, `.aesc`, `""`, `"!"`, `"AAAA"`, `"AAAAAAAAAAAAAAAAAAAAAA=="`, `(b64enc "0123456789abcdef0")`, `(b64enc "0123456789abcdefx")`, `(b64enc "0123456789abcdef")`, `"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`} {
		for _, k := range []string{`"key"`, `""`, `.long`, `"other"`} {
			add("decryptAES", fmt.Sprintf(`{{ decryptAES %s %s | b64enc }}`, k, t), true)
		}
	}
	for _, t := range []string{".hex", ".odd", ".upper", ".nohex", ".empty", ".uni", ".long", `"7f"`, `"0x7f"`, `" 7f"`} {
		add("hexdec", fmt.Sprintf(`{{ hexdec %s | b64enc }}`, t), true)
	}
	return rows
}

func esoPEM() []Row {
	junk := "some text\nsubject=x\n"
	texts := map[string]string{
		"empty": "", "junk": junk, "begin": "-----BEGIN CERTIFICATE-----\n", "bundle": junk + fixtures["chain"] + junk + fixtures["rsaeight"], "after": fixtures["root"] + junk,
		"crlf": strings.ReplaceAll(fixtures["root"], "\n", "\r\n"), "notail": strings.TrimSuffix(fixtures["root"], "\n"), "headers": "-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\nB: c\nA: b\n\nAAAA\n-----END X-----\n",
		"none": "-----BEGIN X-----\n-----END X-----\n", "spaces": "-----BEGIN X-----  \n A A A A \n-----END X-----\t\nrest", "indented": " " + fixtures["root"], "mismatch": "-----BEGIN X-----\nAAAA\n-----END Y-----\n" + fixtures["root"],
		"bad64": "-----BEGIN X-----\nA\n-----END X-----\n" + fixtures["root"], "nested": "-----BEGIN X-----\n" + fixtures["root"], "oneline": strings.ReplaceAll(fixtures["root"], "\n", " "), "badcert": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"glued": strings.TrimSuffix(fixtures["root"], "\n") + fixtures["inter"], "colon": "-----BEGIN X-----\n:\n\nAAAA\n-----END X-----\n", "keyfirst": fixtures["rsaone"] + fixtures["ecleaf"], "lines": "\n\n" + fixtures["root"] + "\n\n" + fixtures["inter"] + "\n",
	}
	names := []string{"bare", "chain", "disjunct", "ecleaf", "edleaf", "inter", "leaf", "mixed", "other", "root", "short", "twice", "rsaone", "ecasec"}
	for name := range texts {
		names = append(names, name)
	}
	sortStrings(names)
	var rows []Row
	for _, name := range names {
		for _, kind := range []string{"CERTIFICATE", "certificate", "PRIVATE KEY", "X", ""} {
			rows = append(rows, esoRow("filterPEM", fmt.Sprintf(`{{ filterPEM %q .%s }}`, kind, name), texts))
		}
		for _, part := range []string{"leaf", "intermediate", "root", "Leaf"} {
			row := esoRow("filterCertChain", fmt.Sprintf(`{{ .%s | filterCertChain %q }}`, name, part), texts)
			row.AnyError = true
			rows = append(rows, row)
		}
		row := esoRow("certSANs", fmt.Sprintf(`{{ certSANs .%s | join "," }} {{ certSANs .%s | typeOf }}`, name, name), texts)
		row.AnyError = true
		rows = append(rows, row)
	}
	return rows
}

func esoKeys() []Row {
	var rows []Row
	texts := map[string]string{"empty": "", "junk": "junk", "short": "base64:MAA=", "jwkbad": `{"kty":"RSA"}`, "jwkecbad": `{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}`, "jwkcrv": `{"kty":"EC","crv":"X","x":"AQ","y":"AQ"}`,
		"jwknot": `[]`, "jwksym": `{"kty":"none"}`, "jwkx": `{"kty":"OKP","crv":"X25519","x":"3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"}`}
	add := func(fn, format string, args ...any) {
		row := esoRow(fn, fmt.Sprintf(format, args...), texts)
		row.AnyError = true
		rows = append(rows, row)
	}
	for _, file := range []string{"p12modern", "p12des", "p12rc", "p12modernempty", "p12desempty", "p12rcempty", "p12plain", "p12umlaut", "p12trust", "empty", "junk", "short"} {
		for _, password := range []string{`"1234"`, `""`, `"wrong"`, `"pässwörd€"`} {
			add("pkcs12keyPass", `{{ pkcs12keyPass %s .%s }}`, password, file)
			add("pkcs12certPass", `{{ .%s | pkcs12certPass %s }}`, file, password)
		}
		add("pkcs12key", `{{ pkcs12key .%s }}`, file)
		add("pkcs12cert", `{{ pkcs12cert .%s }}`, file)
	}
	for _, key := range []string{"rsa", "ed", "eca", "ecb", "ecc", "oct", "rsapub", "edpub", "ecapub", "ecbpub", "eccpub", "bad", "ecbad", "crv", "not", "sym", "x"} {
		add("jwkPublicKeyPem", `{{ jwkPublicKeyPem .jwk%s }}`, key)
		add("jwkPrivateKeyPem", `{{ jwkPrivateKeyPem .jwk%s }}`, key)
	}
	for _, scheme := range []string{"None", "RSA-OAEP", "RSA", ""} {
		for _, name := range []string{"SHA1", "SHA256", "SHA512", "None", "x"} {
			for _, text := range []string{"oaepone", "oaeptwo", "oaepfive", "junk"} {
				add("rsaDecrypt", `{{ .rsaone | rsaDecrypt %q %q .%s }}`, scheme, name, text)
			}
		}
	}
	for _, key := range []string{"rsaone", "rsaeight", "rsapub", "ecasec", "edeight", "junk", "empty", "root"} {
		add("rsaDecrypt", `{{ rsaDecrypt "RSA-OAEP" "SHA256" .oaeptwo .%s }}`, key)
	}
	return rows
}
