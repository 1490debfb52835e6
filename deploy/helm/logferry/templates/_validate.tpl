{{/* What a schema cannot tell. Everything here ends the rendering with the key and the way out. */}}
{{- define "logferry.validate" -}}
{{- $state := .Values.config.state | default dict -}}
{{- $admin := .Values.config.admin | default dict -}}
{{- range $list := list "sources" "sinks" -}}
{{- if not (get $.Values.config $list) -}}
{{- fail (printf "config.%s: missing: write the configuration below config, as it stands in the file" $list) -}}
{{- end -}}
{{- end -}}
{{- if ne ($state.dir | default "/var/lib/logferry") "/var/lib/logferry" -}}
{{- fail "config.state.dir: the state is on the pod's claim, at /var/lib/logferry: leave it out" -}}
{{- end -}}
{{- $port := int64 .Values.adminPort -}}
{{- if and (hasKey $admin "listen") (not (has ($admin.listen | toString) (list (printf ":%d" $port) (printf "0.0.0.0:%d" $port)))) -}}
{{- fail "config.admin.listen: the probes need it on adminPort: leave it out" -}}
{{- end -}}
{{- range $i, $sink := .Values.config.sinks -}}
{{- $mode := dig "file" "mode" "" $sink -}}
{{- if not (kindIs "string" $mode) -}}
{{- fail (printf "config.sinks[%d].file.mode: Helm has read the octal number as %v: write it in quotes, such as \"0640\"" $i $mode) -}}
{{- end -}}
{{- end -}}
{{- include "logferry.noSecret" (dict "value" .Values.config "at" "config") -}}
{{- $mounted := dict -}}
{{- range $list := list "secrets" "extraVolumeMounts" -}}
{{- range $i, $mount := get $.Values $list -}}
{{- $path := clean $mount.mountPath -}}
{{- if hasKey $mounted $path -}}
{{- fail (printf "%s[%d].mountPath: %s is where %s is mounted already: take another folder" $list $i $path (get $mounted $path)) -}}
{{- end -}}
{{- $_ := set $mounted $path (printf "%s[%d]" $list $i) -}}
{{- if regexMatch "^/+(var/lib|etc)/+logferry(/|$)" $mount.mountPath -}}
{{- fail (printf "%s[%d].mountPath: %s is where the state or the configuration is: take another folder, such as /run/secrets/NAME" $list $i $mount.mountPath) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $own := printf "^%s(config|state|token|secret-[0-9]+)$" (include "logferry.volumePrefix" .) -}}
{{- range $i, $volume := .Values.extraVolumes -}}
{{- if regexMatch $own $volume.name -}}
{{- fail (printf "extraVolumes[%d].name: %s is the name of a volume of the chart's own: take another one" $i $volume.name) -}}
{{- end -}}
{{- end -}}
{{- include "logferry.validateClaim" . -}}
{{- if .Values.sidecar.enabled -}}
{{- include "logferry.validateSidecar" . -}}
{{- else -}}
{{- include "logferry.validateGrace" . -}}
{{- end -}}
{{- if and (eq .Values.workloadIdentity.mode "webhook") (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.name: missing: workloadIdentity.mode webhook needs a service account that bears its annotation" -}}
{{- end -}}
{{- end -}}

{{- define "logferry.validateClaim" -}}
{{- $journal := dig "state" "journal_max_bytes" "8GiB" .Values.config -}}
{{- $least := include "logferry.bytes" (dict "size" $journal "at" "config.state.journal_max_bytes") | int64 | add 2147483648 -}}
{{- $size := include "logferry.bytes" (dict "size" .Values.persistence.size "at" "persistence.size") | int64 -}}
{{- if lt $size $least -}}
{{- fail (printf "persistence.size: %s is too small: the journal may grow to %s (config.state.journal_max_bytes), and what else is in the state file needs 2Gi: %d bytes or more" (include "logferry.plain" .Values.persistence.size) (include "logferry.plain" $journal) $least) -}}
{{- end -}}
{{- end -}}

{{- define "logferry.validateGrace" -}}
{{- $grace := dig "state" "shutdown_grace" "20s" .Values.config -}}
{{- $least := include "logferry.seconds" (dict "duration" $grace "at" "config.state.shutdown_grace") | int64 | add 5 -}}
{{- if lt (int64 .Values.terminationGracePeriodSeconds) $least -}}
{{- fail (printf "terminationGracePeriodSeconds: %v is too short: the sinks have %v to finish (config.state.shutdown_grace), and logferry a few seconds more: %d or more" .Values.terminationGracePeriodSeconds $grace $least) -}}
{{- end -}}
{{- end -}}

{{- define "logferry.validateSidecar" -}}
{{- if .Values.networkPolicy.enabled -}}
{{- fail "networkPolicy.enabled: a policy holds for a whole pod, which is not this chart's where logferry is a sidecar: write the pod's own" -}}
{{- end -}}
{{- if eq .Values.workloadIdentity.mode "webhook" -}}
{{- fail "workloadIdentity.mode: the service account and the labels of a sidecar's pod are not this chart's: prepare them for the webhook there and leave mode empty, or use projected" -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled (not .Values.sidecar.podLabels) -}}
{{- fail "sidecar.podLabels: missing: podMonitor needs the labels of the pods that hold the sidecar" -}}
{{- end -}}
{{- end -}}

{{/* A text or a whole number as it was written: Helm would print 1.073741824e+10. */}}
{{- define "logferry.plain" -}}
{{- kindIs "string" . | ternary . (int64 .) -}}
{{- end -}}

{{/* A size in bytes, as logferry writes it (8GiB, 8Gi, 8GB, 8G, 512MiB, 8589934592) and as Kubernetes does (10Gi, 10G, 1500M). */}}
{{- define "logferry.bytes" -}}
{{- if not (kindIs "string" .size) -}}
{{- int64 .size -}}
{{- else -}}
{{- $text := upper (nospace .size) -}}
{{- if not (regexMatch "^[0-9]+([.][0-9]+)?([KMGT]I?B?|B)?$" $text) -}}
{{- fail (printf "%s: %q is not a size that the chart can compare: write a number with a unit, such as 8Gi" .at .size) -}}
{{- end -}}
{{- $bytes := regexFind "^[0-9.]+" $text | float64 -}}
{{- $unit := regexFind "[KMGT]I?" $text -}}
{{- $base := ternary 1024.0 1000.0 (hasSuffix "I" $unit) -}}
{{- range until (get (dict "" 0 "K" 1 "M" 2 "G" 3 "T" 4) (trunc 1 $unit)) -}}
{{- $bytes = mulf $bytes $base -}}
{{- end -}}
{{- int64 $bytes -}}
{{- end -}}
{{- end -}}

{{/* A duration in whole seconds, rounded up: 20s, 1m30s, 1.5m, 500ms. */}}
{{- define "logferry.seconds" -}}
{{- if not (regexMatch "^([0-9]+([.][0-9]+)?(d|h|ms|m|s))+$" (.duration | toString)) -}}
{{- fail (printf "%s: %v is not a duration that the chart can compare: write 90s or 2m" .at .duration) -}}
{{- end -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9.]+(d|h|ms|m|s)" .duration -1 -}}
{{- $sum = addf $sum (mulf (regexFind "[0-9.]+" . | float64) (get (dict "d" 86400.0 "h" 3600.0 "m" 60.0 "s" 1.0 "ms" 0.001) (regexFind "[a-z]+" .))) -}}
{{- end -}}
{{- ceil $sum | int64 -}}
{{- end -}}

{{/* Refuses a secret in clear at any depth. The value is not shown. */}}
{{- define "logferry.noSecret" -}}
{{- $at := .at -}}
{{- if kindIs "map" .value -}}
{{- range $key, $value := .value -}}
{{- if regexMatch "^((client|hec|access|refresh|bearer)_)?(secret|token|password|passphrase)$|^(api|hash|private)_key$" (lower $key | replace "-" "_") -}}
{{- if kindIs "string" $value -}}
{{- fail (printf "%s.%s: no secret stands in values: put it into a Secret, name that below secrets, and write %s_file" $at $key $key) -}}
{{- end -}}
{{- end -}}
{{- if ne $key "secret_headers" -}}
{{- include "logferry.noSecret" (dict "value" $value "at" (printf "%s.%s" $at $key)) -}}
{{- end -}}
{{- end -}}
{{- else if kindIs "slice" .value -}}
{{- range $i, $value := .value -}}
{{- include "logferry.noSecret" (dict "value" $value "at" (printf "%s[%d]" $at $i)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The files that the configuration names below no mount that the chart knows, a line each. An injector may add mounts, so this is a
     warning only. */}}
{{- define "logferry.unmounted" -}}
{{- $mounts := list "/var/lib/logferry" "/etc/logferry" "/etc/ssl/certs" (include "logferry.tokenFile" . | dir) -}}
{{- range concat .Values.secrets .Values.extraVolumeMounts -}}
{{- $mounts = append $mounts .mountPath -}}
{{- end -}}
{{- range $line := include "logferry.files" (dict "value" .Values.config "at" "config") | splitList "\n" -}}
{{- $file := splitList ": " $line | last -}}
{{- $covered := or (eq $file "") (contains "${env:" $file) -}}
{{- range $mount := $mounts -}}
{{- $covered = or $covered (eq $file $mount) (hasPrefix (printf "%s/" (trimSuffix "/" $mount)) $file) -}}
{{- end -}}
{{- if not $covered }}
  {{ $line }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Every file that the configuration reads, a line "KEY: FILE" each. */}}
{{- define "logferry.files" -}}
{{- $at := .at -}}
{{- $all := .all | default false -}}
{{- if kindIs "map" .value -}}
{{- range $key, $value := .value -}}
{{- $here := printf "%s.%s" $at $key -}}
{{- if and (kindIs "string" $value) (or $all (hasSuffix "_file" $key)) }}
{{ $here }}: {{ $value }}
{{- else -}}
{{- include "logferry.files" (dict "value" $value "at" $here "all" (eq $key "secret_headers")) -}}
{{- end -}}
{{- end -}}
{{- else if kindIs "slice" .value -}}
{{- range $i, $value := .value -}}
{{- include "logferry.files" (dict "value" $value "at" (printf "%s[%d]" $at $i)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
