{{/*
What the operator is allowed to do. Each rule is here because the code uses it; there is no rule for kinds, verbs or
API groups that are not served yet.
*/}}

{{/* Everything it does in a namespace whose objects it serves. */}}
{{- define "vso.manager.rules" -}}
{{ include "vso.manager.rules.secrets" (list "create" "delete" "get" "list" "patch" "watch") }}
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get]
- apiGroups: [""]
  resources: [serviceaccounts/token]
  verbs: [create]
{{ include "vso.manager.rules.root" . }}
- apiGroups: [apps]
  resources: [daemonsets, deployments, statefulsets]
  verbs: [get, patch]
- apiGroups: [argoproj.io]
  resources: [rollouts]
  verbs: [get, patch]
{{ include "vso.manager.rules.kinds" (list "vaultauths" "vaultconnections" "vaultdynamicsecrets" "vaultpkisecrets" "vaultstaticsecrets") }}
{{ include "vso.manager.rules.shared" . }}
{{ include "vso.manager.rules.csi" . }}
{{ include "vso.manager.rules.ended" . }}
{{- if (.Values.externalSecrets).enabled }}
{{ include "vso.manager.rules.externalSecrets" . }}
{{- end }}
{{- if (.Values.reloader).enabled }}
{{ include "vso.manager.rules.reloader" . }}
{{- end }}
{{- end }}

{{/* What reloader.enabled adds. It watches the workloads that it may restart anyway, and what they use; CronJobs get Jobs. */}}
{{- define "vso.manager.rules.reloader" -}}
- apiGroups: [apps]
  resources: [daemonsets, deployments, statefulsets]
  verbs: [list, watch]
- apiGroups: [argoproj.io]
  resources: [rollouts]
  verbs: [list, watch]
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [get, list, patch, watch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create]
{{- if (.Values.reloader).configMaps }}
- apiGroups: [""]
  resources: [configmaps]
  verbs: [list, watch]
{{- end }}
{{- end }}

{{/*
What externalSecrets.enabled adds. Secrets are put in the place of others as ESO does, so that the fields belong to the
ExternalSecret; certificate authorities and templates come from ConfigMaps; a store logs in with a service account. What is in no namespace needs a ClusterRole.
*/}}
{{- define "vso.manager.rules.externalSecrets" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [update]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [list, watch]
- apiGroups: [external-secrets.io]
  resources: [externalsecrets, pushsecrets, secretstores]
  verbs: [list, patch, watch]
- apiGroups: [external-secrets.io]
  resources: [externalsecrets/status, pushsecrets/status, secretstores/status]
  verbs: [patch]
- apiGroups: [generators.external-secrets.io]
  resources: [passwords, uuids, vaultdynamicsecrets]
  verbs: [list, watch]
{{- if eq (include "vso.rbac.scope" .) "cluster" }}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
- apiGroups: [external-secrets.io]
  resources: [clustersecretstores]
  verbs: [list, patch, watch]
- apiGroups: [external-secrets.io]
  resources: [clustersecretstores/status]
  verbs: [patch]
{{- /* ExternalSecrets are made in many namespaces. The finalizers that ESO has put on namespaces are taken off. */}}
{{- if (.Values.externalSecrets).processClusterExternalSecret }}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [patch]
- apiGroups: [external-secrets.io]
  resources: [clusterexternalsecrets]
  verbs: [list, patch, watch]
- apiGroups: [external-secrets.io]
  resources: [clusterexternalsecrets/status]
  verbs: [patch]
- apiGroups: [external-secrets.io]
  resources: [externalsecrets]
  verbs: [create, delete, update]
{{- end }}
{{- if (.Values.externalSecrets).processClusterPushSecret }}
- apiGroups: [external-secrets.io]
  resources: [clusterpushsecrets]
  verbs: [list, watch]
- apiGroups: [external-secrets.io]
  resources: [clusterpushsecrets/status]
  verbs: [patch]
- apiGroups: [external-secrets.io]
  resources: [pushsecrets]
  verbs: [create, delete, update]
{{- end }}
{{- end }}
{{- end }}

{{/*
What it does in its own namespace when that is not one of the served: read the default VaultAuth, VaultAuthGlobal and
VaultConnection, the certificate authority they name and SecretTransformations for all, keep the key of the content MACs
and Vault tokens; without controller.manager.clientCache.persistenceModel it deletes those that are left. Their encryption
needs a login of its own.
*/}}
{{- define "vso.manager.rules.home" -}}
{{ include "vso.manager.rules.secrets" (list "create" "delete" "get" "list") }}
{{- if not (has (.Values.controller.manager.clientCache).persistenceModel (list nil "" "none")) }}
- apiGroups: [""]
  resources: [serviceaccounts/token]
  verbs: [create]
{{- end }}
{{ include "vso.manager.rules.root" . }}
{{ include "vso.manager.rules.kinds" (list "vaultauths" "vaultconnections") }}
{{ include "vso.manager.rules.shared" . }}
{{- /* The hook of an uninstall takes finalizers off here as well. */}}
- apiGroups: [secrets.hashicorp.com]
  resources: [vaultdynamicsecrets, vaultpkisecrets, vaultstaticsecrets]
  verbs: [list, patch]
- apiGroups: [secrets.hashicorp.com]
  resources: [csisecrets]
  verbs: [list]
{{ include "vso.manager.rules.ended" . }}
{{- end }}

{{/* The UID of this ConfigMap stands for the identity that the operator itself has at AWS. */}}
{{- define "vso.manager.rules.root" -}}
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [kube-root-ca.crt]
  verbs: [get]
{{- end }}

{{/* Events about objects, and Secrets with the verbs given. */}}
{{- define "vso.manager.rules.secrets" -}}
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [{{ join ", " . }}]
{{- end }}

{{/* Objects are read and watched. The only write besides the status puts finalizers on and takes them off. */}}
{{- define "vso.manager.rules.kinds" -}}
- apiGroups: [secrets.hashicorp.com]
  resources:
    {{- range . }}
    - {{ . }}
    {{- end }}
  verbs: [list, patch, watch]
- apiGroups: [secrets.hashicorp.com]
  resources:
    {{- range . }}
    - {{ . }}/status
    {{- end }}
  verbs: [patch]
{{- end }}

{{/* What others refer to, and has no finalizer. Nothing is written to VaultAuthGlobals. */}}
{{- define "vso.manager.rules.shared" -}}
- apiGroups: [secrets.hashicorp.com]
  resources: [secrettransformations, vaultauthglobals]
  verbs: [list, watch]
- apiGroups: [secrets.hashicorp.com]
  resources: [secrettransformations/status]
  verbs: [patch]
{{- end }}

{{/* CSISecrets are told that the CSI driver serves them. They have no finalizer. */}}
{{- define "vso.manager.rules.csi" -}}
- apiGroups: [secrets.hashicorp.com]
  resources: [csisecrets]
  verbs: [list, watch]
- apiGroups: [secrets.hashicorp.com]
  resources: [csisecrets/status]
  verbs: [patch]
{{- end }}

{{/* The hooks release what VSO has left of the kind whose service has ended. */}}
{{- define "vso.manager.rules.ended" -}}
- apiGroups: [secrets.hashicorp.com]
  resources: [hcpvaultsecretsapps]
  verbs: [list, patch]
{{- end }}

{{/* Who asks for /metrics, and whether he may. */}}
{{- define "vso.proxy.rules" -}}
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- end }}

{{/* The hook of an upgrade: the CRDs, and the finalizers of objects whose kind is gone. */}}
{{- define "vso.upgradeCRDs.rules" -}}
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [create]
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  resourceNames:
    {{- range $path, $_ := .Files.Glob "crds/*.yaml" }}
    {{- $name := base $path | trimSuffix ".yaml" | splitn "_" 2 }}
    - {{ $name._1 }}.{{ $name._0 }}
    {{- end }}
  verbs: [get, patch]
{{ include "vso.manager.rules.ended" . }}
{{- end }}

{{/* Who gets it. */}}
{{- define "vso.manager.subjects" -}}
- kind: ServiceAccount
  name: {{ include "vso.chart.fullname" . }}-controller-manager
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* "cluster" or "namespaces"; "" with controller.rbac.enabled=false. Everything else stops the rendering. */}}
{{- define "vso.rbac.scope" -}}
{{- $scope := .Values.controller.rbac.scope }}
{{- if not (has $scope (list "cluster" "namespaces")) }}
{{- fail (printf "controller.rbac.scope is %q: it must be \"cluster\" or \"namespaces\"" $scope) }}
{{- end }}
{{- if and (eq $scope "namespaces") (not .Values.controller.manager.watchNamespaces) }}
{{- fail "controller.rbac.scope=namespaces needs the list of namespaces in controller.manager.watchNamespaces" }}
{{- end }}
{{- if .Values.controller.rbac.enabled }}{{ $scope }}{{ end }}
{{- end }}
