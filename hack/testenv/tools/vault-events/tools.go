//go:build tools

// Package tools pins the Vault binary whose Community Edition has an event stream.
package tools

import _ "github.com/hashicorp/vault"
