{{/*
"true" if metrics are served over HTTPS to those whose token may get /metrics. That takes the right to review tokens, which
only a ClusterRole can give; where the chart makes none, they are plain HTTP.
*/}}
{{- define "vso.metrics.secure" -}}
{{- $wanted := (.Values.controller.manager.metrics).secure }}
{{- $secure := kindIs "invalid" $wanted | ternary (ne .Values.controller.rbac.scope "namespaces") $wanted }}
{{- if $secure }}true{{ end }}
{{- end }}

{{/* The container's port, and its name. */}}
{{- define "vso.metrics.port" -}}
{{- include "vso.metrics.secure" . | empty | ternary 8080 8443 }}
{{- end }}
{{- define "vso.metrics.portName" -}}
{{- include "vso.metrics.secure" . | empty | ternary "http-metrics" "https" }}
{{- end }}

{{/* The ports of the Service. Where there is no HTTPS, ports called https are called what they are. */}}
{{- define "vso.metrics.ports" -}}
{{- $name := include "vso.metrics.portName" . }}
{{- range .Values.metricsService.ports }}
{{- $port := deepCopy . }}
{{- range list "name" "targetPort" }}
{{- if eq (get $port . | toString) "https" }}
{{- $_ := set $port . $name }}
{{- end }}
{{- end }}
{{ list $port | toYaml }}
{{- end }}
{{- end }}
