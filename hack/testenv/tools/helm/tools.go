//go:build tools

// Package tools pins the helm binary of the test environment.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
