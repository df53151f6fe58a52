{{/*
Values that were set and have no effect, or not the one they have with VSO: one line each, for NOTES.txt.
*/}}
{{- define "vso.values.ignored" -}}
{{- $reasons := dict
  "controller.kubeRbacProxy" "there is no such container, the operator serves its metrics itself"
}}
{{- if eq .Values.controller.rbac.scope "namespaces" }}
{{- $why := "no ClusterRole is made with controller.rbac.scope=namespaces" }}
{{- $_ := set $reasons "controller.rbac.clusterRoleAggregation.viewerRoles" $why }}
{{- $_ := set $reasons "controller.rbac.clusterRoleAggregation.editorRoles" $why }}
{{- $_ := set $reasons "csi.enabled" (printf "the CSI driver gets no rights: %s" $why) }}
{{- end }}
{{- range $path, $reason := $reasons }}
{{- $value := $.Values }}
{{- range splitList "." $path }}
{{- $value = get ($value | default dict) . }}
{{- end }}
{{- if $value }}
  - {{ $path }}: {{ $reason }}
{{- end }}
{{- end }}
{{- include "vso.values.unknown" (dict "values" (omit .Values "global") "above" "" "known" (.Files.Get "files/known-values.txt")) }}
{{- $logging := .Values.controller.manager.logging | default dict }}
{{- if not (hasPrefix "rfc3339" ($logging.timeEncoding | default "rfc3339")) }}
  - controller.manager.logging.timeEncoding: times are written as RFC 3339
{{- end }}
{{- if ne ($logging.stacktraceLevel | default "panic") "panic" }}
  - controller.manager.logging.stacktraceLevel: a panic alone has a stack trace
{{- end }}
{{- $cache := .Values.controller.manager.clientCache | default dict }}
{{- if and ($cache.storageEncryption).enabled (ne ($cache.persistenceModel | default "") "direct-encrypted") }}
  - controller.manager.clientCache.storageEncryption: used only with persistenceModel direct-encrypted
{{- end }}
{{- if include "vso.manager.image.isOfVSO" . }}
  - controller.manager.image: names the image of VSO; {{ include "vso.manager.image" . }} is used
{{- else if contains "hashicorp/vault-secrets-operator" .Values.controller.manager.image.repository }}
  - controller.manager.image: looks like the image of VSO, which this chart cannot run
{{- end }}
{{- end }}

{{/*
Names that are in no list of the chart. Below a name that has none below it in the list everything is free. Takes a map with
values, above (the names above, with a dot at the end) and known (the list).
*/}}
{{- define "vso.values.unknown" -}}
{{- range $name, $value := .values }}
{{- $path := printf "%s%s" $.above $name }}
{{- if contains (printf "\n%s\n" $path) (printf "\n%s" $.known) }}
{{- $below := printf "%s." $path }}
{{- if and (kindIs "map" $value) (contains (printf "\n%s" $below) $.known) }}
{{- include "vso.values.unknown" (dict "values" $value "above" $below "known" $.known) }}
{{- end }}
{{- else if or $.above (not (hasPrefix "x-" $name)) }}
  - {{ $path }}: not a value of this chart
{{- end }}
{{- end }}
{{- end }}
