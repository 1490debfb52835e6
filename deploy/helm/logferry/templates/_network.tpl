{{/* Where Microsoft's clouds sign in and answer, as in pkg/fetcher/entra. */}}
{{- define "logferry.clouds" -}}
graph:
  global: [login.microsoftonline.com, graph.microsoft.com]
  usgov: [login.microsoftonline.us, graph.microsoft.us]
  usgov-dod: [login.microsoftonline.us, dod-graph.microsoft.us]
  china: [login.partner.microsoftonline.cn, microsoftgraph.chinacloudapi.cn]
azuread:
  global: [login.microsoftonline.com, graph.windows.net]
  usgov: [login.microsoftonline.us, graph.microsoftazure.us]
  china: [login.partner.microsoftonline.cn, graph.chinacloudapi.cn]
{{- end -}}

{{/* Everything that the configuration makes logferry call, a line "HOST PORT" each: sorted, none twice. */}}
{{- define "logferry.calls" -}}
{{- $lines := list -}}
{{- range $i, $source := .Values.config.sources -}}
{{- $lines = concat $lines (include "logferry.sourceCalls" (dict "entra" ($source.entra | default dict) "at" (printf "config.sources[%d].entra" $i)) | splitList "\n") -}}
{{- end -}}
{{- range $i, $sink := .Values.config.sinks -}}
{{- $lines = concat $lines (include "logferry.sinkCalls" (dict "sink" $sink "at" (printf "config.sinks[%d]" $i)) | splitList "\n") -}}
{{- end -}}
{{- range $i, $env := .Values.env -}}
{{- if and (has (upper $env.name) (list "HTTPS_PROXY" "HTTP_PROXY" "ALL_PROXY")) $env.value -}}
{{- $lines = append $lines (include "logferry.call" (dict "url" $env.value "at" (printf "env[%d].value" $i))) -}}
{{- end -}}
{{- end -}}
{{- without $lines "" | uniq | sortAlpha | join "\n" -}}
{{- end -}}

{{- define "logferry.sourceCalls" -}}
{{- $entra := .entra -}}
{{- if dig "auth" "managed_identity" false $entra | kindIs "map" }}
169.254.169.254 80
{{- end }}
{{- if $entra.proxy }}
{{ include "logferry.call" (dict "url" $entra.proxy "at" (printf "%s.proxy" .at)) }}
{{- else }}
{{- $hosts := dig ($entra.api | default "graph") ($entra.cloud | default "global") list (include "logferry.clouds" . | fromYaml) }}
{{- range $i, $key := list "login_url" "graph_url" }}
{{- with get $entra $key }}
{{ include "logferry.call" (dict "url" . "at" (printf "%s.%s" $.at $key)) }}
{{- else }}
{{- if $hosts }}
{{ index $hosts $i }} 443
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "logferry.sinkCalls" -}}
{{- $at := .at -}}
{{- range $kind, $sink := .sink }}
{{- if kindIs "map" $sink }}
{{- $urls := dict }}
{{- if $sink.proxy }}
{{- $_ := set $urls "proxy" $sink.proxy }}
{{- else }}
{{- range $list := list "endpoints" "brokers" }}
{{- range $i, $url := get $sink $list | default list }}
{{- $_ := set $urls (printf "%s[%d]" $list $i) $url }}
{{- end }}
{{- end }}
{{- with $sink.address }}
{{- $_ := set $urls "address" . }}
{{- end }}
{{- with dig "oauth2" "token_url" "" $sink }}
{{- $_ := set $urls "oauth2.token_url" . }}
{{- end }}
{{- end }}
{{- range $key, $url := $urls }}
{{ include "logferry.call" (dict "url" $url "at" (printf "%s.%s.%s" $at $kind $key)) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* "HOST PORT" of a URL or of host:port; nothing for loopback. A variable with a default counts as its default. */}}
{{- define "logferry.call" -}}
{{- $url := regexReplaceAll "[$][{]env:[A-Za-z0-9_]+:-([^}]*)[}]" .url "${1}" -}}
{{- $scheme := regexFind "^[a-z0-9+]+://" $url -}}
{{- $place := regexFind "^(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9._-]+)(:[0-9]+)?($|[/?#])" (trimPrefix $scheme $url) | trimAll "/?#" -}}
{{- $port := regexFind ":[0-9]+$" (regexReplaceAll "^\\[.*\\]" $place "") | trimPrefix ":" | default (get (dict "https://" "443" "http://" "80" "tls://" "6514" "socks5://" "1080") $scheme) -}}
{{- $host := regexReplaceAll "(\\]|^[^:]+):[0-9]+$" $place "${1}" | trimAll "[]" -}}
{{- if not (and $host $port) -}}
{{- fail (printf "%s: %s: networkPolicy needs a host and a port that it can read: write them out, without ${env:..}" .at .url) -}}
{{- end -}}
{{- if not (regexMatch "^(localhost|127[.][0-9.]+|::1)$" $host) -}}
{{ $host }} {{ $port }}
{{- end -}}
{{- end -}}
