package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"testing"
	"text/template"
)

// Measured is what one row costs: nanoseconds, allocations and allocated bytes
// of parsing its template, and of executing it with an input that is decoded
// already.
type Measured struct {
	Output  []byte `json:"output"`
	Parse   Cost   `json:"parse"`
	Execute Cost   `json:"execute"`
}

// Cost is per operation.
type Cost struct {
	Nanoseconds float64 `json:"nanoseconds"`
	Allocations float64 `json:"allocations"`
	Bytes       float64 `json:"bytes"`
}

func measure(f func() error) (Cost, error) {
	var failed error
	r := testing.Benchmark(func(b *testing.B) {
		for range b.N {
			if err := f(); err != nil {
				failed = err
				b.FailNow()
			}
		}
	})
	n := float64(max(r.N, 1))
	return Cost{float64(r.T.Nanoseconds()) / n, float64(r.MemAllocs) / n, float64(r.MemBytes) / n}, failed
}

// bench reads rows without results and writes what each costs, one per line.
func bench() error {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(make([]byte, 1<<20), 1<<26)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		var row Row
		if err := decode(in.Bytes(), &row); err != nil {
			return err
		}
		data, err := root(row.Input)
		if err != nil {
			return err
		}
		var m Measured
		var parsed *template.Template
		m.Parse, err = measure(func() (err error) {
			parsed, err = template.New("t").Funcs(funcs).Parse(row.Template)
			return err
		})
		if err != nil {
			return err
		}
		m.Execute, err = measure(func() error {
			var b bytes.Buffer
			err := parsed.Execute(&b, data)
			m.Output = b.Bytes()
			return err
		})
		if err != nil {
			return err
		}
		if err := out.Encode(m); err != nil {
			return err
		}
	}
	return in.Err()
}
