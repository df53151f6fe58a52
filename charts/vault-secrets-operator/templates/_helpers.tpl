{{/*
Names. With release name "r" the fullname is "r-vault-secrets-operator", or just "r" where "r" already contains the
chart's name. All names end at 63 characters, the limit of a label value.
*/}}
{{- define "vso.chart.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "vso.chart.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name }}
{{- $fullname := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- .Values.fullnameOverride | default $fullname | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "vso.chart.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Labels. A Deployment's selector cannot be changed later: the selector labels must stay as they are. */}}
{{- define "vso.chart.labels" -}}
helm.sh/chart: {{ include "vso.chart.chart" . }}
{{ include "vso.chart.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "vso.chart.selectorLabels" -}}
app.kubernetes.io/name: {{ include "vso.chart.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "vso.manager.selectorLabels" -}}
{{ include "vso.chart.selectorLabels" . }}
control-plane: controller-manager
{{- end }}

{{/*
The image. A values file that was copied whole from VSO's chart names the image of VSO, which cannot be run by this chart:
that name counts as not set.
*/}}
{{- define "vso.manager.image" -}}
{{- if include "vso.manager.image.isOfVSO" . }}
{{- printf "localhost/vault-secrets-operator:%s" .Chart.AppVersion }}
{{- else }}
{{- with .Values.controller.manager.image }}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion | toString) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "vso.manager.image.isOfVSO" -}}
{{- if regexMatch "^([a-z0-9.-]*docker[.]io/)?hashicorp/vault-secrets-operator$" .Values.controller.manager.image.repository }}true{{ end }}
{{- end }}

{{/* The entries of imagePullSecrets. Each is a name, or a map with a name. */}}
{{- define "vso.imagePullSecrets" -}}
{{- range . }}
{{- if kindIs "map" . }}
- name: {{ .name }}
{{- else }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* The entries of extraEnv. */}}
{{- define "vso.env" -}}
{{- range . }}
- name: {{ .name }}
  {{- if hasKey . "valueFrom" }}
  valueFrom:
    {{- toYaml .valueFrom | nindent 4 }}
  {{- else }}
  value: {{ include "vso.string" .value | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{/* A scalar as text, whatever YAML made of it: 1000000 and not 1e+06. */}}
{{- define "vso.string" -}}
{{- if kindIs "float64" . }}{{ toJson . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{/* The lines of a map of strings. */}}
{{- define "vso.stringMap" -}}
{{- range $key, $value := . }}
{{ $key }}: {{ include "vso.string" $value | quote }}
{{- end }}
{{- end }}

{{/*
The members of a VaultAuth spec that name the login method. Takes a map with method, mount, params, headers and one
block per method. Blocks have the field names of the VaultAuth but for tokenAudiences; empty and unknown fields are left
out.
*/}}
{{- define "vso.vaultAuthMethod" -}}
{{- $fields := dict
  "kubernetes" (list "role" "serviceAccount" "tokenAudiences")
  "jwt" (list "role" "secretRef" "serviceAccount" "tokenAudiences")
  "appRole" (list "roleId" "secretRef")
  "aws" (list "role" "region" "headerValue" "sessionName" "stsEndpoint" "iamEndpoint" "secretRef" "irsaServiceAccount")
  "gcp" (list "role" "workloadIdentityServiceAccount" "region" "clusterName" "projectID")
  "token" (list "secretRef")
}}
{{- $block := dict }}
{{- range $field := get $fields .method }}
{{- $value := get (get $ $.method | default dict) $field }}
{{- if kindIs "map" $value }}
{{- $members := dict }}
{{- range $name, $member := $value }}
{{- if $member }}
{{- $_ := set $members $name $member }}
{{- end }}
{{- end }}
{{- $value = $members }}
{{- end }}
{{- if $value }}
{{- $_ := set $block (eq $field "tokenAudiences" | ternary "audiences" $field) $value }}
{{- end }}
{{- end }}
{{- if and (eq .method "jwt") $block.secretRef }}
{{- /* The operator prefers a service account, and values.yaml always names one: a given Secret takes its place. */}}
{{- $block = omit $block "serviceAccount" "audiences" }}
{{- end }}
method: {{ .method }}
{{- if and .mount (ne .method "token") }}
mount: {{ .mount }}
{{- end }}
{{- with $block }}
{{ $.method }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .params }}
params:
  {{- include "vso.stringMap" . | trim | nindent 2 }}
{{- end }}
{{- with .headers }}
headers:
  {{- include "vso.stringMap" . | trim | nindent 2 }}
{{- end }}
{{- end }}
