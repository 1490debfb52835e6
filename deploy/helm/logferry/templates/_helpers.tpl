{{- define "logferry.fullname" -}}
{{- if contains "logferry" .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-logferry" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "logferry.selector" -}}
app.kubernetes.io/name: logferry
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "logferry.labels" -}}
{{ include "logferry.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The configuration with what only the chart can know: where the volume is, and that probes come from outside the pod. */}}
{{- define "logferry.config" -}}
{{- $own := dict "state" (dict "dir" "/var/lib/logferry") "admin" (dict "listen" "0.0.0.0:9797") -}}
{{- mustMergeOverwrite (deepCopy .Values.config) $own | toYaml -}}
{{- end -}}
