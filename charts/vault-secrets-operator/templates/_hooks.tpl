{{/* The parts of a pod that all hooks have in common with the operator's. Takes a map with root and account. */}}
{{- define "vso.hook.pod" -}}
{{- $controller := .root.Values.controller }}
serviceAccountName: {{ .account }}
restartPolicy: Never
{{- with $controller.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $controller.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $controller.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $controller.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The same of its container. */}}
{{- define "vso.hook.container" -}}
image: {{ include "vso.manager.image" . | quote }}
imagePullPolicy: {{ .Values.controller.manager.image.pullPolicy }}
{{- with (.Values.hooks).resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.controller.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The annotations of the pods are those of the Jobs too, but for those that make them hooks. */}}
{{- define "vso.hook.annotations" -}}
{{- omit (.Values.controller.annotations | default dict) "helm.sh/hook" "helm.sh/hook-delete-policy" "helm.sh/hook-weight" | include "vso.stringMap" }}
{{- end }}

{{/*
"true" if `helm upgrade` is to bring the CRDs up to date. That takes rights on the whole cluster, so it is not done with
controller.rbac.scope=namespaces.
*/}}
{{- define "vso.hooks.upgradeCRDs" -}}
{{- $on := ((.Values.hooks).upgradeCRDs).enabled }}
{{- if and $on (ne .Values.controller.rbac.scope "namespaces") }}true{{ end }}
{{- end }}
