//go:build tools

// Package tools pins the etcd binary of the test environment.
package tools

import _ "go.etcd.io/etcd/server/v3"
