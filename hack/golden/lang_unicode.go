//go:build ignore

// Writes src/gocompat/template/unicode_tables.rs: what Go takes for a letter, a digit and a printable character. Go and
// Rust follow different versions of Unicode, and "printable" is Go's own notion.
//
//	go run hack/golden/lang_unicode.go > src/gocompat/template/unicode_tables.rs
package main

import (
	"fmt"
	"runtime"
	"strings"
	"unicode"
)

func main() {
	fmt.Println("//! Ranges of Go's `unicode` package, beyond ASCII. Written by `hack/golden/lang_unicode.go`; do not edit.")
	fmt.Printf("//! Unicode %s, as of %s.\n", unicode.Version, strings.Fields(runtime.Version())[0][:6])
	for _, table := range []struct {
		name, doc string
		in        func(rune) bool
	}{
		{"LETTER", "`unicode.IsLetter`", unicode.IsLetter},
		{"DIGIT", "`unicode.IsDigit`", unicode.IsDigit},
		{"PRINT", "`unicode.IsPrint`", unicode.IsPrint},
	} {
		var ranges []string
		start := rune(-1)
		for r := rune(0x80); r <= unicode.MaxRune+1; r++ {
			in := r <= unicode.MaxRune && table.in(r)
			if in && start < 0 {
				start = r
			} else if !in && start >= 0 {
				ranges = append(ranges, fmt.Sprintf("(0x%x, 0x%x)", start, r-1))
				start = -1
			}
		}
		fmt.Printf("\n/// %s\n#[rustfmt::skip]\npub(super) const %s: &[(u32, u32)] = &[\n", table.doc, table.name)
		for len(ranges) > 0 {
			line := "   "
			for len(ranges) > 0 && len(line)+len(ranges[0]) < 118 {
				line += " " + ranges[0] + ","
				ranges = ranges[1:]
			}
			fmt.Println(line)
		}
		fmt.Println("];")
	}
}
