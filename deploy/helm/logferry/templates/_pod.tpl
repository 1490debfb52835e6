{{/* What the StatefulSet and a sidecar have in common. In another chart's pod the volumes have names of their own. */}}
{{- define "logferry.volumePrefix" -}}
{{- ternary "logferry-" "" .Values.sidecar.enabled -}}
{{- end -}}

{{- define "logferry.container" -}}
{{- $prefix := include "logferry.volumePrefix" . -}}
name: logferry
image: {{ include "logferry.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- if .Values.sidecar.enabled }}
restartPolicy: Always
args: [run, -c, /etc/logferry, --only-ordinal, "0"]
{{- else }}
args: [run, -c, /etc/logferry]
{{- end }}
{{- with include "logferry.env" . }}
env:
  {{- . | trim | nindent 2 }}
{{- end }}
ports:
  - name: {{ ternary "logferry" "admin" .Values.sidecar.enabled }}
    containerPort: {{ int64 .Values.adminPort }}
{{- if .Values.sidecar.enabled }}
# Neither a startup nor a readiness probe: the pod is another application's, which must not wait for logferry. Before the port is
# open the state file is, and after a fault checked, for which this gives ten minutes.
livenessProbe:
  httpGet: {path: /livez, port: logferry}
  periodSeconds: 30
  failureThreshold: 20
{{- else }}
# The state file is opened, and after a fault checked, before the port is: a large one takes its time.
startupProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 5
  failureThreshold: 120
livenessProbe:
  httpGet: {path: /livez, port: admin}
readinessProbe:
  httpGet: {path: /readyz, port: admin}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
  seccompProfile:
    type: RuntimeDefault
resources:
  {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  - name: {{ $prefix }}state
    mountPath: /var/lib/logferry
  - name: {{ $prefix }}config
    mountPath: /etc/logferry
    readOnly: true
  {{- range $i, $s := .Values.secrets }}
  - name: {{ $prefix }}secret-{{ $i }}
    mountPath: {{ $s.mountPath }}
    readOnly: true
  {{- end }}
  {{- if eq .Values.workloadIdentity.mode "projected" }}
  - name: {{ $prefix }}token
    mountPath: {{ include "logferry.tokenFile" . | dir }}
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* With workloadIdentity.mode webhook the webhook adds these variables and the token. */}}
{{- define "logferry.env" -}}
{{- if .Values.sidecar.enabled }}
- name: POD_NAME # its number says who polls
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end }}
{{- if eq .Values.workloadIdentity.mode "projected" }}
- name: AZURE_FEDERATED_TOKEN_FILE
  value: {{ include "logferry.tokenFile" . }}
{{- with .Values.workloadIdentity.clientId }}
- name: AZURE_CLIENT_ID
  value: {{ . | quote }}
{{- end }}
{{- with .Values.workloadIdentity.tenantId }}
- name: AZURE_TENANT_ID
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* All volumes but the claim. */}}
{{- define "logferry.volumes" -}}
{{- $prefix := include "logferry.volumePrefix" . -}}
- name: {{ $prefix }}config
  configMap:
    name: {{ include "logferry.fullname" . }}
{{- range $i, $s := .Values.secrets }}
- name: {{ $prefix }}secret-{{ $i }}
  secret:
    secretName: {{ $s.name }}
    defaultMode: 0440
    {{- with $s.items }}
    items:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
{{- if eq .Values.workloadIdentity.mode "projected" }}
- name: {{ $prefix }}token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          audience: {{ .Values.workloadIdentity.audience }}
          expirationSeconds: 3600
          path: {{ include "logferry.tokenFile" . | base }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "logferry.claim" -}}
- metadata:
    name: {{ include "logferry.volumePrefix" . }}state
  spec:
    accessModes: [{{ .Values.persistence.accessMode }}]
    {{- with .Values.persistence.storageClass }}
    storageClassName: {{ . }}
    {{- end }}
    resources:
      requests:
        storage: {{ include "logferry.plain" .Values.persistence.size }}
{{- end -}}
