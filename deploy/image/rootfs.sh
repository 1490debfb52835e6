#!/usr/bin/env bash
# rootfs.sh DIR makes the image's root file system in DIR, which must not be there yet. The Dockerfile's build stage runs it, and
# build.sh where no engine runs. The same sources, Go release and ca-certificates package give the same bytes.
#
#   VERSION             stamped into the binary; default dev
#   SOURCE_DATE_EPOCH   the time of all files, in seconds since 1970; default 0
#   GOOS, GOARCH        the system that the image is for; default this one
#   CA_BUNDLE           a file of certificates to trust instead of Mozilla's in Debian's package
set -euo pipefail
umask 022
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
mkdir "$1"
out=$(cd "$1" && pwd)
cd "$root"
mkdir -p "$out"/{etc/logferry,etc/ssl/certs,licenses,var/lib/logferry}

# As `make build` does it: the binary in the image is the same, byte for byte.
CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION:-dev}" -o "$out/logferry" ./cmd/logferry

# Not /etc/ssl/certs/ca-certificates.crt of this machine: its owner may have added authorities that nobody else trusts.
mozilla=/usr/share/ca-certificates/mozilla
if [[ -n ${CA_BUNDLE:-} ]]; then
  cat "$CA_BUNDLE"
elif compgen -G "$mozilla/*.crt" >/dev/null; then
  (export LC_ALL=C && cat "$mozilla"/*.crt)
else
  echo "rootfs.sh: $mozilla is not there: install Debian's ca-certificates, or name a file in CA_BUNDLE" >&2
  exit 1
fi >"$out/etc/ssl/certs/ca-certificates.crt"

# The licences of all parts ask that their texts go along.
cp LICENSE "$out/licenses/LICENSE"
env -u GOOS -u GOARCH go run ./deploy/image/inventory -notices "$out/licenses/THIRD_PARTY_NOTICES" "$out/logferry" >/dev/null
if [[ -z ${CA_BUNDLE:-} && -e /usr/share/doc/ca-certificates/copyright ]]; then
  cp /usr/share/doc/ca-certificates/copyright "$out/licenses/ca-certificates"
fi

chmod -R u=rwX,go=rX "$out" # whatever the sources' own modes are
# Like /tmp, whoever the container runs as: builders do not agree on how to give one folder to a user without a stamp of their own
# time on those above it.
chmod 1777 "$out/var/lib/logferry"
find "$out" -exec touch -h -d "@${SOURCE_DATE_EPOCH:-0}" {} +
