{{/*
Roles for people: F-<name>-viewer-role and F-<name>-editor-role for each kind. The names follow the kind but for
VaultPKISecret, whose roles VSO calls vaultpki. Takes a map with root, kind (as in the name of the role), resource,
role, and group where it is not the operator's own.
*/}}
{{- define "vso.kind.role" -}}
{{- if eq (include "vso.rbac.scope" .root) "cluster" }}
{{- $instance := printf "%s-%s-role" .kind .role }}
{{- $group := .group | default "secrets.hashicorp.com" }}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ include "vso.chart.fullname" .root }}-{{ $instance }}
  labels:
    app.kubernetes.io/component: rbac
    {{- include "vso.chart.labels" .root | nindent 4 }}
    vso.hashicorp.com/role-instance: {{ $instance }}
    vso.hashicorp.com/aggregate-to-{{ .role }}: "true"
rules:
  - apiGroups: [{{ $group }}]
    resources: [{{ .resource }}]
    verbs: {{ eq .role "editor" | ternary "[create, delete, get, list, patch, update, watch]" "[get, list, watch]" }}
  - apiGroups: [{{ $group }}]
    resources: [{{ .resource }}/status]
    verbs: [get]
{{- end }}
{{- end }}

{{/* Roles for a kind of external-secrets.io, where these are served. */}}
{{- define "vso.kind.role.external" -}}
{{- if (.root.Values.externalSecrets).enabled }}
{{- include "vso.kind.role" (dict "root" .root "kind" .kind "resource" .resource "role" .role "group" "external-secrets.io") }}
{{- end }}
{{- end }}

{{/*
The role that joins those of the kinds listed, or of all with "*". Kinds are named as in manifests or as in the names of
their roles, in any case; the HCP kinds that VSO had are gone. Takes a map with root, role, names, and userFacing: whether the cluster's own role gets it.
*/}}
{{- define "vso.kind.aggregate" -}}
{{- if and .names (eq (include "vso.rbac.scope" .root) "cluster") }}
{{- $key := printf "controller.rbac.clusterRoleAggregation.%sRoles" .role }}
{{- $names := list }}
{{- range .names }}
{{- $name := toString . | lower }}
{{- /* The names with which VSO's chart finds this role, and the one people expect. */}}
{{- $name = eq $name "vaultpkisecret" | ternary "vaultpki" $name }}
{{- if has $name (list "csisecrets" "secrettransformation" "vaultauth" "vaultauthglobal" "vaultconnection" "vaultdynamicsecret" "vaultpki" "vaultstaticsecret" "externalsecret" "pushsecret" "secretstore" "clustersecretstore" "clusterexternalsecret" "clusterpushsecret" "*") }}
{{- $names = append $names $name }}
{{- else if not (has $name (list "hcpauth" "hcpsecretsapp" "hcpvaultsecretsapp")) }}
{{- fail (printf "%s: %q is not a kind of the operator; name kinds such as VaultStaticSecret, or '*' for all" $key .) }}
{{- end }}
{{- end }}
{{- if $names }}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ include "vso.chart.fullname" .root }}-aggregate-role-{{ .role }}
  labels:
    app.kubernetes.io/component: rbac
    {{- include "vso.chart.labels" .root | nindent 4 }}
    {{- with .userFacing }}
    rbac.authorization.k8s.io/aggregate-to-{{ . }}: "true"
    {{- end }}
aggregationRule:
  clusterRoleSelectors:
    {{- if has "*" $names }}
    - matchLabels:
        vso.hashicorp.com/aggregate-to-{{ .role }}: "true"
    {{- else }}
    {{- range $names | uniq }}
    - matchLabels:
        vso.hashicorp.com/role-instance: {{ . }}-{{ $.role }}-role
    {{- end }}
    {{- end }}
{{- /* Filled in by the control plane. */}}
rules: []
{{- end }}
{{- end }}
{{- end }}
