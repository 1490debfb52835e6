#!/usr/bin/env bash
# Installs buildah where it is missing, as root on Debian. Elsewhere it says so: the tests of the image are skipped then, and
# with CI=true they fail.
set -euo pipefail
exec </dev/null
command -v buildah >/dev/null && exit
if ! command -v apt-get >/dev/null || [[ $(id -u) != 0 ]]; then
  echo "image: buildah is not installed, and installing it takes root on Debian" >&2
  exit
fi
install() { DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends buildah >/dev/null; }
echo "image: installing buildah" >&2
install || { apt-get update >/dev/null && install; } || echo "image: apt-get failed" >&2
