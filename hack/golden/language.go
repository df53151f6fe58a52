package main

import _ "embed"

import "strings"

// languageRows holds one template per block, blocks parted by a line of dashes.
//
//go:embed language.txt
var languageRows string

func language() []Row {
	var rows []Row
	for _, t := range strings.Split(languageRows, "\n----\n") {
		t = strings.TrimSuffix(t, "\n")
		rows = append(rows, Row{Template: t, Input: input(t)})
	}
	return rows
}
