{{/*
The arguments of the operator. Their order is fixed: people patch them by position.
*/}}
{{- define "vso.manager.args" -}}
{{- $manager := .Values.controller.manager }}
- --health-probe-bind-address=:8081
- --metrics-bind-address=:{{ include "vso.metrics.port" . }}
- --leader-elect
{{- with $manager.clientCache }}
{{- with .persistenceModel }}
- --client-cache-persistence-model={{ . }}
{{- end }}
{{- if not (kindIs "invalid" .cacheSize) }}
- --client-cache-size={{ int64 .cacheSize }}
{{- end }}
{{- if not (kindIs "invalid" .numLocks) }}
- --client-cache-num-locks={{ int64 .numLocks }}
{{- end }}
{{- end }}
{{- with $manager.maxConcurrentReconciles }}
- --max-concurrent-reconciles={{ int64 . }}
{{- end }}
{{- if ($manager.globalTransformationOptions).excludeRaw }}
- --global-transformation-options=exclude-raw
{{- end }}
{{- $allow := ($manager.globalVaultAuthOptions).allowDefaultGlobals | toString | ne "false" }}
- --global-vault-auth-options={{ $allow | ternary "allow-default-globals" "" }}
{{ include "vso.args.backoff" $manager.backoffOnSecretSourceError | trim }}
{{ include "vso.args.logging" $manager | trim }}
{{- range $manager.extraArgs }}
- {{ . | toString | quote }}
{{- end }}
{{- with ($manager.kubeClient).qps }}
- --kube-client-qps={{ include "vso.string" . }}
{{- end }}
{{- with ($manager.kubeClient).burst }}
- --kube-client-burst={{ int64 . }}
{{- end }}
{{- /* Ours come last, so that those of VSO keep their places. */}}
{{- if include "vso.metrics.secure" . }}
- --metrics-secure
{{- if ($manager.metrics).certificateSecret }}
- --metrics-cert-path=/var/run/metrics-certificate
{{- end }}
{{- end }}
{{- if (.Values.externalSecrets).enabled }}
- --external-secrets
{{- with (.Values.externalSecrets).controllerClass }}
- --external-secrets-class={{ . }}
{{- end }}
{{- if (.Values.externalSecrets).processClusterExternalSecret }}
- --cluster-external-secrets
{{- end }}
{{- if (.Values.externalSecrets).processClusterPushSecret }}
- --cluster-push-secrets
{{- end }}
{{- end }}
{{- $window := ($manager.rollouts).window }}
{{- if not (has $window (list nil "")) }}
- --rollout-window={{ $window }}
{{- end }}
{{- with ($manager.rollouts).maxPerNamespace }}
- --max-rollouts-per-namespace={{ int64 . }}
{{- end }}
{{- if (.Values.reloader).enabled }}
- --reloader
{{- if (.Values.reloader).configMaps }}
- --reloader-config-maps
{{- end }}
{{- if (.Values.reloader).autoReloadAll }}
- --reloader-auto-reload-all
{{- end }}
{{- end }}
{{- with $manager.watchNamespaces }}
- --watch-namespaces={{ join "," . }}
{{- end }}
{{- end }}

{{/* Those of `backoffOnSecretSourceError`, which the CSI driver has too. */}}
{{- define "vso.args.backoff" -}}
{{- with . }}
{{- with .initialInterval }}
- --backoff-initial-interval={{ . }}
{{- end }}
{{- with .maxInterval }}
- --backoff-max-interval={{ . }}
{{- end }}
{{- with .maxElapsedTime }}
- --backoff-max-elapsed-time={{ . }}
{{- end }}
{{- with .multiplier }}
- --backoff-multiplier={{ printf "%.2f" (float64 .) }}
{{- end }}
{{- with .randomizationFactor }}
- --backoff-randomization-factor={{ printf "%.2f" (float64 .) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Those of `logging`, unless `extraArgs` has them. Takes the map that has both. */}}
{{- define "vso.args.logging" -}}
{{- $extra := join " " .extraArgs }}
{{- with .logging }}
{{- if and .level (not (regexMatch "(^| )--?zap-log-level\\b" $extra)) }}
- --zap-log-level={{ get (dict "debug-extended" "5" "trace" "6") .level | default .level }}
{{- end }}
{{- if and .timeEncoding (not (regexMatch "(^| )--?zap-time-encoding\\b" $extra)) }}
- --zap-time-encoding={{ .timeEncoding }}
{{- end }}
{{- if and .stacktraceLevel (not (regexMatch "(^| )--?zap-stacktrace-level\\b" $extra)) }}
- --zap-stacktrace-level={{ .stacktraceLevel }}
{{- end }}
{{- end }}
{{- end }}
