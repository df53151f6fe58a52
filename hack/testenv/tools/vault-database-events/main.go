// Vault's Community Edition with the event stream that only Enterprise has had since 1.16. It has all that the stream tells
// of: the events of the database engine, and the bus that carries them.
//
// The build adds events.go, the stream of Vault 1.15.0: of the version before, and made from the file of that name there.
// What that file needs of its package is here.
//
// Vault tells of leases since 2.0. One that is revoked by its ID is told here as the documentation of 2.0 has it.
package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/hashicorp/vault/command"
	"github.com/hashicorp/vault/helper/namespace"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/vault"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	prefix        = "/v1/"
	subscribePath = "sys/events/subscribe/"
	revokePath    = "sys/leases/revoke"
	maxBodyBytes  = 1 << 20
)

func main() {
	withoutEvents := vaulthttp.Handler
	vaulthttp.Handler = vaulthttp.HandlerFunc(func(props *vault.HandlerProperties) http.Handler {
		rest := withoutEvents.Handler(props)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			path := strings.TrimPrefix(r.URL.Path, prefix)
			switch {
			case strings.HasPrefix(path, subscribePath):
				subscribe(props.Core, path, w, r)
			case path == revokePath:
				revoke(props.Core, rest, w, r)
			default:
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

// revoke tells of a lease when it is revoked.
func revoke(core *vault.Core, rest http.Handler, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBodyBytes))
	if err != nil {
		respondError(w, http.StatusBadRequest, err)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
	rest.ServeHTTP(answer, r)
	var lease struct {
		ID string `json:"lease_id"`
	}
	if json.Unmarshal(body, &lease) != nil || answer.status >= http.StatusMultipleChoices {
		return
	}
	event, err := logical.NewEvent()
	if err == nil {
		event.Metadata, err = structpb.NewStruct(map[string]any{
			"lease_id": lease.ID, "modified": "true", "operation": "revoked", "path": "sys/leases/" + lease.ID,
		})
	}
	if err == nil {
		err = core.Events().SendEventInternal(r.Context(), namespace.RootNamespace, nil, "lease/revoked", false, event)
	}
	if err != nil {
		core.Logger().Error("an event of a lease is lost", "error", err)
	}
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (recorder *statusRecorder) WriteHeader(status int) {
	recorder.status = status
	recorder.ResponseWriter.WriteHeader(status)
}

func respondError(w http.ResponseWriter, status int, err error) {
	logical.RespondError(w, status, err)
}
