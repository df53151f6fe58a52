//go:build tools

// Package tools pins the Vault binary of the test environment.
package tools

import _ "github.com/hashicorp/vault"
