package main

import (
	"bytes"
	"encoding/json"
	"math/rand"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

// maxRow leaves out rows whose result would only make the files large.
const maxRow = 16 << 10

var member = regexp.MustCompile(`\.Secrets\.([a-z]+)`)

// writeAll writes every family and the language rows below dir.
func writeAll(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, f := range families {
		var rows []Row
		for _, fn := range f.functions() {
			rows = append(rows, grid(fn[0], fn[1])...)
		}
		if err := writeRows(filepath.Join(dir, f.name+".jsonl"), rows); err != nil {
			return err
		}
	}
	for _, f := range esoFamilies {
		if err := writeRows(filepath.Join(dir, "eso_"+f.name+".jsonl"), f.rows()); err != nil {
			return err
		}
	}
	if err := writeProperties(filepath.Join(dir, "property.jsonl"), 2000); err != nil {
		return err
	}
	if err := writeCron(filepath.Join(dir, "cron.jsonl")); err != nil {
		return err
	}
	return writeRows(filepath.Join(dir, "language.jsonl"), language())
}

// writeRows renders the rows and writes those that give the same result each
// time and are small enough, once each.
func writeRows(path string, rows []Row) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	seen := map[string]bool{}
	for _, row := range rows {
		id := row.Template + "\x00" + string(row.Input)
		if seen[id] {
			continue
		}
		seen[id] = true
		render(&row)
		if len(row.Output)+len(row.Output64) > maxRow || !stable(row) || strings.Contains(row.Error, "0xc0") {
			continue
		}
		if err := e.Encode(row); err != nil {
			return err
		}
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// stable tells whether a row gives its result again; the order of Go's maps
// is random.
func stable(row Row) bool {
	times := 6
	if strings.Contains(row.Template, "keys") || strings.Contains(row.Template, "values") || strings.Contains(row.Template, "erge") {
		times = 64
	}
	for range times {
		again := row
		render(&again)
		if again.Output != row.Output || again.Output64 != row.Output64 || again.Error != row.Error {
			return false
		}
	}
	return true
}

// input returns the values that a template names.
func input(template string) json.RawMessage {
	secrets := map[string]json.RawMessage{}
	for _, m := range member.FindAllStringSubmatch(template, -1) {
		if v, ok := values[m[1]]; ok {
			secrets[m[1]] = json.RawMessage(v)
		}
	}
	root := map[string]any{}
	if len(secrets) > 0 {
		root["Secrets"] = secrets
	}
	if strings.Contains(template, ".Labels") {
		root["Labels"] = map[string]string{"app": "web", "tier": "front"}
	}
	if strings.Contains(template, ".Annotations") {
		root["Annotations"] = map[string]string{"note": "x y", "empty": ""}
	}
	if strings.Contains(template, ".Metadata") {
		root["Metadata"] = map[string]any{"version": 3, "created_time": "2024-01-02T03:04:05.678Z", "custom_metadata": nil}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(root); err != nil {
		panic(err)
	}
	return bytes.TrimSpace(b.Bytes())
}

// grid makes the rows of one function: each argument over its pool while the
// others stand still, wrong types and counts, and random combinations.
func grid(fn, kinds string) []Row {
	variadic := strings.HasSuffix(kinds, "*")
	kinds = strings.TrimSuffix(kinds, "*")
	rng := rand.New(rand.NewSource(int64(len(fn))*7919 + int64(fn[0])))
	var rows []Row
	add := func(args []string, wrap func(string) string) {
		if fn == "set" && len(args) > 2 && args[0] == args[2] {
			return // A dictionary within itself ends the Go process.
		}
		t := wrap(strings.TrimSpace(fn + " " + strings.Join(args, " ")))
		rows = append(rows, Row{Function: fn, Template: t, Input: input(t)})
	}
	plain := func(call string) string { return "{{ " + call + " }}" }
	base := make([]string, len(kinds))
	for i := range kinds {
		base[i] = pools[kinds[i]][0]
	}
	with := func(i int, v string) []string {
		out := append([]string{}, base...)
		out[i] = v
		return out
	}
	add(base, plain)
	for i := range kinds {
		for _, v := range pools[kinds[i]] {
			add(with(i, v), plain)
		}
		for _, v := range wrong {
			add(with(i, v), plain)
		}
	}
	for n := range base {
		add(base[:n], plain)
	}
	add(append(append([]string{}, base...), base[len(base)-1]), plain)
	add(append(append([]string{}, base...), base[len(base)-1], `"more"`), plain)
	// As the end of a pipeline, and how the result is seen by others.
	last := len(base) - 1
	for _, v := range pools[kinds[last]][:3] {
		t := "{{ " + v + " | " + strings.TrimSpace(fn+" "+strings.Join(base[:last], " ")) + " }}"
		rows = append(rows, Row{Function: fn, Template: t, Input: input(t)})
	}
	for _, after := range []string{"typeOf", "kindOf", "toJson", "toString", `printf "%q"`, `printf "%v|%s|%d"`, "len", "quote", "empty"} {
		add(base, func(call string) string { return "{{ " + call + " | " + after + " }}" })
	}
	for i := range 30 {
		var args []string
		for k := range kinds {
			p := pools[kinds[k]]
			args = append(args, p[rng.Intn(len(p))])
		}
		if variadic {
			p := pools[kinds[len(kinds)-1]]
			for range rng.Intn(4) {
				args = append(args, p[rng.Intn(len(p))])
			}
		}
		switch i % 6 {
		case 4:
			add(args, func(call string) string { return "{{ " + call + " | toJson }}" })
		case 5:
			add(args, func(call string) string { return `{{ ` + call + ` | printf "%T %v" (` + call + `) }}` })
		default:
			add(args, plain)
		}
	}
	if len(kinds) > 0 && strings.ContainsAny(kinds, "d") {
		rows = append(rows, mutations(fn, base)...)
	}
	return rows
}

// mutations shows whether a function changes the dictionary it is given.
func mutations(fn string, base []string) []Row {
	var rows []Row
	for i, b := range base {
		if !strings.Contains(strings.Join(pools['d'], " "), b) {
			continue
		}
		for _, d := range pools['d'] {
			args := append([]string{}, base...)
			args[i] = "$d"
			t := "{{ $d := " + d + " }}{{ $r := " + fn + " " + strings.Join(args, " ") + " }}{{ toJson $d }}"
			rows = append(rows, Row{Function: fn, Template: t, Input: input(t)})
		}
	}
	sort.SliceStable(rows, func(a, b int) bool { return rows[a].Template < rows[b].Template })
	return rows
}
