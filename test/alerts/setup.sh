#!/usr/bin/env bash
# Fetches promtool, which the tests of the alerts need, from the distribution's package prometheus into the cache folder of
# test/peers/setup.sh. The package is unpacked and not installed: that would start a server. What is there already is kept. What
# cannot be had never makes the script fail; the tests say then that they are skipped.
set -u
exec </dev/null

base=${LOGFERRY_PEERS:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}}
cache=$base/logferry-peers/prometheus
mkdir -p "$cache" || exit 0
have() { command -v "$1" >/dev/null; }

# Two checkouts may share the cache: one at a time.
if have flock; then
  exec 9>"$cache/lock"
  flock 9
fi
[[ ! -x $cache/promtool ]] || exit 0
have apt-get && have dpkg-deb || { echo "alerts: skipped unless promtool is on the PATH: there is no apt-get to fetch it with" >&2; exit 0; }

echo "alerts: fetching promtool" >&2
stage=$(mktemp -d "$cache/stage.XXXXXX") || exit 0
trap 'rm -rf "$stage"' EXIT
download() { (cd "$stage" && apt-get -o APT::Sandbox::User=root download prometheus); }
{
  download || { [[ $(id -u) == 0 ]] && apt-get update && download; }
} >"$cache/apt.log" 2>&1
if dpkg-deb -x "$stage"/prometheus_*.deb "$stage/x" >>"$cache/apt.log" 2>&1; then
  mv "$stage/x/usr/bin/promtool" "$cache/promtool"
else
  echo "alerts: skipped unless promtool is on the PATH, which is not to be had: see $cache/apt.log" >&2
fi
exit 0
