// Vault's Community Edition with the event stream that only Enterprise has had since 1.16. It has all that the stream tells
// of: the events of the database engine, and the bus that carries them.
//
// The build adds events.go, the stream of Vault 1.15.0: of the version before, and made from the file of that name there.
// What that file needs of its package is here.
package main

import (
	"net/http"
	"os"
	"strings"

	"github.com/hashicorp/vault/command"
	"github.com/hashicorp/vault/helper/namespace"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/vault"
)

const (
	prefix        = "/v1/"
	subscribePath = "sys/events/subscribe/"
)

func main() {
	withoutEvents := vaulthttp.Handler
	vaulthttp.Handler = vaulthttp.HandlerFunc(func(props *vault.HandlerProperties) http.Handler {
		rest := withoutEvents.Handler(props)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			path := strings.TrimPrefix(r.URL.Path, prefix)
			if strings.HasPrefix(path, subscribePath) {
				subscribe(props.Core, path, w, r)
			} else {
				rest.ServeHTTP(w, r)
			}
		})
	})
	os.Exit(command.Run(os.Args[1:]))
}

// subscribe serves a stream.
func subscribe(core *vault.Core, path string, w http.ResponseWriter, r *http.Request) {
	if core.Sealed() {
		respondError(w, http.StatusServiceUnavailable, consts.ErrSealed)
		return
	}
	request := &logical.Request{
		Operation:   logical.ReadOperation,
		Path:        path,
		ClientToken: r.Header.Get("X-Vault-Token"),
		Connection:  &logical.Connection{},
	}
	r = r.WithContext(namespace.RootContext(r.Context()))
	handleEventsSubscribe(core, request).ServeHTTP(w, r)
}

func respondError(w http.ResponseWriter, status int, err error) {
	logical.RespondError(w, status, err)
}
