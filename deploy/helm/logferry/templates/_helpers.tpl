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

{{- define "logferry.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "logferry.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "logferry.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The configuration with what only the chart can know: where the volume is, and that probes come from outside the pod. */}}
{{- define "logferry.config" -}}
{{- $own := dict "state" (dict "dir" "/var/lib/logferry") "admin" (dict "listen" (printf ":%d" (int64 .Values.adminPort))) -}}
{{- mustMergeOverwrite (deepCopy .Values.config) $own | toYaml -}}
{{- end -}}

{{/* Other charts put it at their pod template where logferry is a sidecar. */}}
{{- define "logferry.configChecksum" -}}
{{- include "logferry.config" . | sha256sum -}}
{{- end -}}

{{/* Where tokens of the service account are: the path that the workload identity webhook takes. */}}
{{- define "logferry.tokenFile" -}}
/var/run/secrets/azure/tokens/azure-identity-token
{{- end -}}
