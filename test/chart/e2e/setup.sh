#!/usr/bin/env bash
# Builds into a cache folder what the chart's test against a real Kubernetes needs: etcd, the API server, Helm, and the custom
# resource definitions of the Prometheus operator. All of it comes from the Go module proxy. What is there already is kept, so
# a second run takes no time; the first one takes four minutes on two processors that have nothing else to do. What cannot be
# had is told in a file NAME.why and never makes the script fail: the test decides.
#
#   LOGFERRY_PEERS   folder that holds the cache folder logferry-peers; default $XDG_CACHE_HOME, else ~/.cache
set -u
exec </dev/null

helm=v3.22.0
# The last version that the module proxy has of the module with the definitions in it, and its hash as go.sum would have it.
operator=github.com/prometheus-operator/prometheus-operator@v0.85.0
operator_sum=h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=

cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
base=${LOGFERRY_PEERS:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}}
mkdir -p "$base/logferry-peers/cluster" || exit 1
cache=$(cd "$base/logferry-peers/cluster" && pwd)

# Two checkouts may share the cache: one at a time.
if command -v flock >/dev/null; then
  exec 9>"$cache/lock"
  flock 9
fi

# A run that was killed leaves its folder.
rm -rf "$cache"/stage.*

note() { printf '%s\n' "cluster: $*" >&2; }

key_of() { sha256sum | cut -d' ' -f1; }

# had NAME KEY: whether what is there was made from the same things.
had() { [[ -e $cache/$1 && $(cat "$cache/$1.key" 2>/dev/null) == "$2" ]]; }

# begin NAME KEY: never let an older one pass for this one.
begin() {
  note "making $1"
  rm -rf "${cache:?}/$1" "$cache/$1.key" "$cache/$1.why"
  stage=$(mktemp -d "$cache/stage.XXXXXX")
}

# end NAME KEY RC: puts it in its place in one step, or says why it is not there.
end() {
  if [[ $3 == 0 ]] && mv "$stage/$1" "$cache/$1"; then
    printf '%s\n' "$2" >"$cache/$1.key"
  else
    printf 'it could not be made: see %s\n' "$cache/$1.log" >"$cache/$1.why"
    note "$(tail -n 1 "$cache/$1.log")"
  fi
  rm -rf "$stage"
}

export GOWORK=off CGO_ENABLED=0
# Kubernetes is told its version when it is built; Helm asks it.
kube=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' go.mod)
minor=${kube#v1.}
stamp="-X k8s.io/component-base/version.gitVersion=$kube -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%%.*}"
build=(go build -trimpath -buildvcs=false -ldflags "-s -w $stamp")

command -v go >/dev/null || {
  note "go is not installed: nothing is built"
  for name in etcd kubeapi helm crds; do
    had "$name" "$(cat "$cache/$name.key" 2>/dev/null)" || printf 'go is not installed\n' >"$cache/$name.why"
  done
  exit 0
}

version=$(go version)
for name in etcd kubeapi; do
  key=$({ printf '%s\n' "$version" "${build[@]}"; cat go.mod go.sum "cmd/$name/main.go"; } | key_of)
  had "$name" "$key" && continue
  begin "$name"
  "${build[@]}" -o "$stage/$name" "./cmd/$name" >"$cache/$name.log" 2>&1
  end "$name" "$key" $?
done

# Helm lies where the other tests of the chart look for it, and may have put it.
had helm "$helm" || {
  begin helm
  {
    [[ -x $cache/../bin/helm-$helm ]] || {
      GOBIN=$stage go install -trimpath "helm.sh/helm/v3/cmd/helm@$helm" && mkdir -p "$cache/../bin" && mv "$stage/helm" "$cache/../bin/helm-$helm"
    }
  } >"$cache/helm.log" 2>&1 && ln -s "../bin/helm-$helm" "$stage/helm"
  end helm "$helm" $?
}

key=$(printf '%s\n' "$operator" "$operator_sum" | key_of)
had crds "$key" || {
  begin crds
  {
    said=$(go mod download -json "$operator") && grep -qF "\"Sum\": \"$operator_sum\"" <<<"$said" &&
      from=$(sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p' <<<"$said") && mkdir "$stage/crds" &&
      cp "$from"/example/prometheus-operator-crd/monitoring.coreos.com_{podmonitors,prometheusrules}.yaml "$stage/crds/"
  } >"$cache/crds.log" 2>&1
  rc=$?
  ((rc == 0)) || grep '"Error"' <<<"$said" >>"$cache/crds.log"
  chmod -R u+w "$stage"
  end crds "$key" $rc
}
