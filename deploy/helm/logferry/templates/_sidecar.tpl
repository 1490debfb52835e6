{{/*
For charts that have logferry as a dependency with sidecar.enabled: true. Each takes the context .Subcharts.logferry, or the alias of
the dependency. What else such a chart has to do: docs/kubernetes.md.

  logferry.sidecar.container            an element of spec.initContainers
  logferry.sidecar.volumes              elements of spec.volumes
  logferry.sidecar.volumeClaimTemplate  an element of the StatefulSet's spec.volumeClaimTemplates
*/}}
{{- define "logferry.sidecar.container" -}}
{{- if not .Values.sidecar.enabled -}}
{{- fail (printf "sidecar.enabled: must be true below %s: otherwise that chart runs a pod of its own" .Chart.Name) -}}
{{- end -}}
- {{ include "logferry.container" . | nindent 2 | trim }}
{{- end -}}

{{- define "logferry.sidecar.volumes" -}}
{{- include "logferry.volumes" . -}}
{{- end -}}

{{- define "logferry.sidecar.volumeClaimTemplate" -}}
{{- include "logferry.claim" . -}}
{{- end -}}
