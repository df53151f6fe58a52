{{/*
Values of the VSO chart that were set and have no effect, or not the wanted one: one line each, for NOTES.txt.
*/}}
{{- define "vso.values.ignored" -}}
{{- $reasons := dict
  "controller.kubeRbacProxy" "there is no such sidecar, the operator serves its metrics itself"
  "controller.controllerConfigMapYaml" "nothing reads this ConfigMap"
  "controller.preDeleteHookTimeoutSeconds" "there is no uninstall hook yet"
  "controller.rbac.clusterRoleAggregation.viewerRoles" "viewer and editor roles are not made yet"
  "controller.rbac.clusterRoleAggregation.editorRoles" "viewer and editor roles are not made yet"
  "controller.rbac.clusterRoleAggregation.userFacingRoles.view" "viewer and editor roles are not made yet"
  "controller.rbac.clusterRoleAggregation.userFacingRoles.edit" "viewer and editor roles are not made yet"
  "controller.manager.clientCache.storageEncryption" "no VaultAuth is made for the encryption of stored sessions yet"
  "telemetry.serviceMonitor.enabled" "no ServiceMonitor is made yet"
  "hooks" "there are no hooks yet: CRDs are upgraded by hand, see above"
  "csi.enabled" "the CSI driver is not part of this chart"
}}
{{- range $path, $reason := $reasons }}
{{- $value := $.Values }}
{{- range splitList "." $path }}
{{- $value = get ($value | default dict) . }}
{{- end }}
{{- if $value }}
  - {{ $path }}: {{ $reason }}
{{- end }}
{{- end }}
{{- if not (has (.Values.controller.manager.clientCache).persistenceModel (list nil "" "none")) }}
  - controller.manager.clientCache.persistenceModel: sessions are kept in memory only, after a restart there is a new login
{{- end }}
{{- range .Values.metricsService.ports }}
{{- if eq (toString .targetPort) "https" }}
  - metricsService.ports, targetPort https: the operator has no HTTPS port yet, use http-metrics
{{- end }}
{{- end }}
{{- if contains "hashicorp/vault-secrets-operator" .Values.controller.manager.image.repository }}
  - controller.manager.image names the image of VSO: name the one of this operator, or leave it out
{{- end }}
{{- end }}
