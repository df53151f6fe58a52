//go:build tools

// Package tools pins the fault-injecting proxy of the test environment.
package tools

import _ "github.com/Shopify/toxiproxy/v2/cmd/server"
