{{/*
Values that were set and have no effect, or not the one they have with VSO: one line each, for NOTES.txt.
*/}}
{{- define "vso.values.ignored" -}}
{{- $reasons := dict
  "controller.kubeRbacProxy" "there is no such container, the operator serves its metrics itself"
  "csi.enabled" "the CSI driver is an image of Vault Enterprise that this chart does not install, see docs/migrate-from-vso.md"
}}
{{- if eq .Values.controller.rbac.scope "namespaces" }}
{{- $why := "no ClusterRole is made with controller.rbac.scope=namespaces" }}
{{- $_ := set $reasons "controller.rbac.clusterRoleAggregation.viewerRoles" $why }}
{{- $_ := set $reasons "controller.rbac.clusterRoleAggregation.editorRoles" $why }}
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
{{- range $name, $value := .Values }}
{{- $known := list "nameOverride" "fullnameOverride" "controller" "metricsService" "telemetry" "hooks" "tests" "csi" }}
{{- $known = concat $known (list "defaultVaultConnection" "defaultAuthMethod" "global") }}
{{- if not (or (has $name $known) (hasPrefix "x-" $name)) }}
  - {{ $name }}: not a value of this chart
{{- end }}
{{- end }}
{{- $cache := .Values.controller.manager.clientCache | default dict }}
{{- if and ($cache.storageEncryption).enabled (ne ($cache.persistenceModel | default "") "direct-encrypted") }}
  - controller.manager.clientCache.storageEncryption: used only with persistenceModel direct-encrypted
{{- end }}
{{- if include "vso.manager.image.isUpstream" . }}
  - controller.manager.image: names the image of VSO; {{ include "vso.manager.image" . }} is used
{{- else if contains "hashicorp/vault-secrets-operator" .Values.controller.manager.image.repository }}
  - controller.manager.image: looks like the image of VSO, which this chart cannot run
{{- end }}
{{- end }}
