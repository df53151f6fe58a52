// Command golden produces the vectors that the Rust template engine is tested
// against: templates rendered by Go's text/template with the functions that
// VSO allows, which are a selection of sprig's hermetic text functions.
//
//	golden write DIR   write one JSON-lines file per family into DIR
//	golden fixtures    make other keys, certificates and keystores
//	golden fuzz        answer each JSON line of standard input with one line
//	golden bench       tell what each JSON line of standard input costs
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

func main() {
	// Dates are parsed in the local zone; containers run in UTC.
	time.Local = time.UTC
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "golden:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "write":
		return writeAll(args[1])
	case len(args) == 1 && args[0] == "fixtures":
		return writeFixtures("fixtures.json")
	case len(args) == 1 && args[0] == "fuzz":
		return answer()
	case len(args) == 1 && args[0] == "bench":
		return bench()
	default:
		return fmt.Errorf("usage: golden write DIR | golden fixtures | golden fuzz | golden bench")
	}
}

// answer reads rows without results and writes them with results, one per
// line, flushed so that a parent can work in lock step.
func answer() error {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(make([]byte, 1<<20), 1<<26)
	out := bufio.NewWriter(os.Stdout)
	for in.Scan() {
		var row Row
		if err := decode(in.Bytes(), &row); err != nil {
			return err
		}
		render(&row)
		if row.Error == "" {
			// A map's order may decide the result; such a row proves nothing.
			again := row
			render(&again)
			row.Unstable = again.Output != row.Output || again.Output64 != row.Output64 || again.Error != row.Error
		}
		row.Input = nil
		line, err := json.Marshal(row)
		if err != nil {
			return err
		}
		out.Write(line)
		out.WriteByte('\n')
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return in.Err()
}
