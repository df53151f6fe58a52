package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"

	"github.com/Masterminds/sprig/v3"
)

// Row is one vector. Exactly one of Output, Output64 and Error is meaningful;
// Output64 holds results that are not valid UTF-8.
type Row struct {
	Function string          `json:"fn,omitempty"`
	Template string          `json:"template"`
	Input    json.RawMessage `json:"input,omitempty"`
	Output   string          `json:"output,omitempty"`
	Output64 string          `json:"output64,omitempty"`
	Error    string          `json:"error,omitempty"`
	Unstable bool            `json:"unstable,omitempty"`
	// API is "eso" for templates of ExternalSecrets: other functions, a map of
	// strings as input, and a missing key is an error.
	API string `json:"api,omitempty"`
	// AnyError says that the text of the error is that of a library of Go's.
	AnyError bool `json:"anyError,omitempty"`
}

// Root has the shape of the object templates see.
type Root struct {
	Secrets     map[string]any
	Metadata    map[string]any
	Annotations map[string]string
	Labels      map[string]string
}

const (
	maxOutput = 1 << 20
	maxTime   = 2 * time.Second
)

var errLimit = errors.New("limit")

// limited stops a template that writes without end.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > maxOutput {
		return 0, errLimit
	}
	return l.Buffer.Write(p)
}

// functions is sprig's hermetic text map, reduced to the allowed names.
func functions() template.FuncMap {
	all := sprig.HermeticTxtFuncMap()
	out := template.FuncMap{}
	for _, name := range strings.Fields(names) {
		f, ok := all[name]
		if !ok {
			panic("sprig has no function " + name)
		}
		out[name] = f
	}
	return out
}

var funcs = functions()

// decode is json.Unmarshal with numbers kept as they are written, as Vault's
// client decodes them.
func decode(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(into)
}

// binary replaces {"$b64": "..."} by the string of those bytes.
func binary(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if s, ok := v["$b64"].(string); ok && len(v) == 1 {
			b, err := base64.StdEncoding.DecodeString(s)
			if err != nil {
				panic(err)
			}
			return string(b)
		}
		for k, e := range v {
			v[k] = binary(e)
		}
	case []any:
		for i, e := range v {
			v[i] = binary(e)
		}
	}
	return v
}

func root(input json.RawMessage) (Root, error) {
	r := Root{}
	if len(input) > 0 {
		if err := decode(input, &r); err != nil {
			return r, err
		}
	}
	if r.Secrets == nil {
		r.Secrets = map[string]any{}
	}
	if r.Metadata == nil {
		r.Metadata = map[string]any{}
	}
	if r.Annotations == nil {
		r.Annotations = map[string]string{}
	}
	if r.Labels == nil {
		r.Labels = map[string]string{}
	}
	binary(r.Secrets)
	binary(r.Metadata)
	return r, nil
}

// render fills in the result of a row.
func render(row *Row) {
	row.Output, row.Output64, row.Error = "", "", ""
	out, err := execute(row)
	switch {
	case err != nil:
		row.Error = strings.ToValidUTF8(err.Error(), "\uFFFD")
	case utf8.Valid(out):
		row.Output = string(out)
	default:
		row.Output64 = base64.StdEncoding.EncodeToString(out)
	}
}

func execute(row *Row) ([]byte, error) {
	if row.API == "eso" {
		return executeESO(row)
	}
	t, err := template.New("t").Funcs(funcs).Parse(row.Template)
	if err != nil {
		return nil, err
	}
	data, err := root(row.Input)
	if err != nil {
		return nil, err
	}
	var b limited
	err = t.Execute(&b, data)
	return b.Bytes(), err
}
