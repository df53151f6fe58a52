{{/*
VSO's CSI driver: an image of Vault Enterprise. Names, selector and the spec of the CSIDriver are those of VSO's chart, so
that an upgrade from there changes what runs in place.
*/}}
{{- define "vso.csi.labels" -}}
app.kubernetes.io/component: csi-driver
{{ include "vso.chart.labels" . }}
{{- end }}

{{- define "vso.csi.selectorLabels" -}}
app: vault-secrets-operator-csi
{{ include "vso.chart.selectorLabels" . }}
{{- end }}

{{/* "true" if the driver gets roles: they are ClusterRoles. */}}
{{- define "vso.csi.rbac" -}}
{{- if and (.Values.csi).enabled (eq (include "vso.rbac.scope" .) "cluster") }}true{{ end }}
{{- end }}

{{/* Image and pull policy of a container. Takes the map that has `image`. */}}
{{- define "vso.csi.image" -}}
image: {{ printf "%s:%s" .image.repository (toString .image.tag) | quote }}
{{- with .image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end }}

{{/* Resources of the two small containers. */}}
{{- define "vso.csi.smallResources" -}}
limits:
  cpu: 100m
  memory: 100Mi
requests:
  cpu: 10m
  memory: 20Mi
{{- end }}

{{/* A probe of the driver. Takes a map with path and failures. */}}
{{- define "vso.csi.probe" -}}
httpGet:
  path: {{ .path }}
  port: 8081
failureThreshold: {{ .failures }}
initialDelaySeconds: 30
periodSeconds: 15
timeoutSeconds: 10
{{- end }}

{{/* The driver runs on every Linux node, whatever its taints. */}}
{{- define "vso.csi.tolerations" -}}
{{- $tolerations := .Values.csi.tolerations | default list }}
{{- $all := false }}
{{- range $tolerations }}
{{- if eq (get . "operator" | toString) "Exists" }}
{{- $all = true }}
{{- end }}
{{- end }}
{{- toYaml ($all | ternary $tolerations (append $tolerations (dict "operator" "Exists"))) }}
{{- end }}

{{/* One of the driver's ClusterRoleBindings. Takes a map with root, name and role. */}}
{{- define "vso.csi.binding" -}}
{{- $fullname := include "vso.chart.fullname" .root }}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ $fullname }}-{{ .name }}
  labels:
    {{- include "vso.csi.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ .role }}
subjects:
  - kind: ServiceAccount
    name: {{ $fullname }}-csi
    namespace: {{ .root.Release.Namespace }}
{{- end }}
