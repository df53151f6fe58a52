{{/*
What the binary of this version cannot do yet: "true" or "". Each goes away with the feature.
*/}}
{{- define "vso.missing.persistence" -}}{{- end }}
