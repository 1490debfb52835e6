#!/usr/bin/env bash
# Fetches and builds the receivers into a cache folder, then writes there peers.json: which of them can run on this
# machine, how each is started, and why the others cannot. What is there already is kept, so a second run takes a second
# or two. A receiver that cannot be had never makes the script fail.
#
#   LOGFERRY_PEERS   folder that holds the cache folder logferry-peers; default $XDG_CACHE_HOME, else ~/.cache
set -u
exec </dev/null

cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
base=${LOGFERRY_PEERS:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}}
mkdir -p "$base/logferry-peers" || exit 1
cache=$(cd "$base/logferry-peers" && pwd)
mkdir -p "$cache/bin" "$cache/log"

peers=(hecpeer kfakepeer kafkapeer rsyslogpeer opensearchpeer)

# Two checkouts may share the cache: one at a time.
if command -v flock >/dev/null; then
  exec 9>"$cache/lock"
  flock 9
fi

note() { printf '%s\n' "peers: $*" >&2; }
have() { command -v "$1" >/dev/null; }

# What a binary depends on: sources, module versions, compiler.
source_key() {
  {
    go version
    find go.mod go.sum cmd internal -type f ! -name '*_test.go' | LC_ALL=C sort | xargs cat
  } | sha256sum | cut -d' ' -f1
}

build_binaries() {
  have go || { note "go is not installed: nothing is built"; return; }
  local key name stage
  key=$(source_key)
  stage=$(mktemp -d "$cache/stage.XXXXXX") || return
  # One build each, the large one last: a module that cannot be fetched costs its own receiver only.
  for name in kafkadump kfakepeer kafkapeer rsyslogpeer opensearchpeer hecpeer; do
    [[ -x $cache/bin/$name && $(cat "$cache/bin/$name.key" 2>/dev/null) == "$key" ]] && continue
    note "building $name"
    rm -f "$cache/bin/$name" "$cache/bin/$name.key" # never let an older build pass for this one
    if GOWORK=off CGO_ENABLED=0 go build -trimpath -o "$stage/$name" "./cmd/$name" >"$cache/log/$name.log" 2>&1; then
      mv "$stage/$name" "$cache/bin/$name" && printf '%s\n' "$key" >"$cache/bin/$name.key"
    fi
  done
  rm -rf "$stage"
}

# fetch_jars copies what NAME/pom.xml lists, and what that needs, to the cache. Maven holds each file against its checksum (-C).
fetch_jars() {
  local name=$1 key stage
  key=$(sha256sum <"$name/pom.xml")
  [[ $(cat "$cache/$name/key" 2>/dev/null) == "$key" ]] && return
  have mvn && have java || { note "mvn or java is not installed: no jars for $name"; return; }
  note "fetching the jars of $name"
  mkdir -p "$cache/$name"
  stage=$(mktemp -d "$cache/stage.XXXXXX") || return
  if mvn -q -B -C -f "$name/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$stage/jars" >"$cache/log/mvn-$name.log" 2>&1; then
    rm -rf "$cache/$name/jars" && mv "$stage/jars" "$cache/$name/jars" && printf '%s\n' "$key" >"$cache/$name/key"
  else
    note "mvn failed: see $cache/log/mvn-$name.log"
  fi
  rm -rf "$stage"
}

packages=(rsyslog rsyslog-openssl rsyslog-relp)

installed() {
  local p
  for p in "${packages[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) == installed ]] || return 1
  done
}

apt_install() {
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "${packages[@]}"
}

# The packages' scripts would start a system-wide rsyslogd. Debian's switch against that is a policy-rc.d that exits
# with 101; one that was there before is put back.
install_packages() (
  have apt-get && have dpkg-query || return
  installed && return
  [[ $(id -u) == 0 ]] || { note "not root: ${packages[*]} are not installed"; return; }
  note "installing ${packages[*]}"
  policy=/usr/sbin/policy-rc.d saved=/usr/sbin/policy-rc.d.logferry-saved
  if [[ -e $policy && ! -e $saved ]]; then # one that is there already was left by a run that was killed
    mv "$policy" "$saved"
  fi
  restore() {
    rm -f "$policy"
    [[ ! -e $saved ]] || mv "$saved" "$policy"
  }
  trap restore EXIT
  trap 'exit 1' INT TERM
  printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
  {
    apt_install || { apt-get update && apt_install; }
  } >"$cache/log/apt.log" 2>&1 || note "apt-get failed: see $cache/log/apt.log"
)

# probe prints one receiver's entry of peers.json.
probe() {
  local args=() why
  case $1 in
    kafkapeer) args=("-jars=$cache/kafka/jars") ;;
    opensearchpeer) args=("-jars=$cache/opensearch/jars") ;;
  esac
  if [[ -x $cache/bin/$1 ]]; then
    timeout 30 "$cache/bin/$1" -probe "${args[@]}" && return
    why="$cache/bin/$1 -probe failed"
  elif have go; then
    why="go build failed: see $cache/log/$1.log"
  else
    why="go is not installed"
  fi
  printf '{"name":"%s","version":"","ready":false,"why":"%s","command":[]}\n' "$1" "${why//[\"\\]/}"
}

install_packages &
{ fetch_jars kafka; fetch_jars opensearch; } &
build_binaries
wait

entries=()
for name in "${peers[@]}"; do
  entries+=("$(probe "$name")")
done
{
  printf '[\n'
  for i in "${!entries[@]}"; do
    printf '  %s' "${entries[$i]}"
    ((i + 1 < ${#entries[@]})) && printf ','
    printf '\n'
  done
  printf ']\n'
} >"$cache/peers.json.new" && mv "$cache/peers.json.new" "$cache/peers.json"
printf '%s\n' "${entries[@]}"
note "wrote $cache/peers.json"
exit 0
