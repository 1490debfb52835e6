#!/usr/bin/env bash
# build.sh [FILE] builds the image logferry:VERSION: with docker or podman where one of them runs, into its own store, and else with
# buildah (apt install buildah), which needs neither an engine nor root: that writes FILE, default dist/logferry-image.tar, for
# `docker load -i` or `podman load -i`.
#
#   BUILDER             docker, podman or buildah instead of what is found
#   VERSION, REVISION, SOURCE_DATE_EPOCH   default: what git says of the commit
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
file=${1:-$root/dist/logferry-image.tar}

from_git() { git -C "$root" "$@" 2>/dev/null; }
export VERSION=${VERSION:-$(from_git describe --tags --always --dirty || echo dev)}
export REVISION=${REVISION:-$(from_git rev-parse HEAD || true)}
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(from_git log -1 --format=%ct || echo 0)}
tag=logferry:${VERSION//+/_} # a tag cannot have a plus sign
stamps=(--build-arg "VERSION=$VERSION" --build-arg "REVISION=$REVISION" --build-arg "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH")

builder() {
  local b
  for b in docker podman; do
    if "$b" info >/dev/null 2>&1; then echo "$b" && return; fi
  done
  if command -v buildah >/dev/null; then echo buildah && return; fi
  echo "build.sh: neither docker nor podman runs, and buildah is not installed: apt install buildah" >&2
  return 1
}

# rootless builds the Dockerfile's last stage with buildah. Nothing is run in it, so a store of plain folders is enough, and the
# build stage's place is taken by what rootfs.sh makes here.
rootless() {
  local work store
  work=$(mktemp -d)
  # Files of a rootless store may belong to other ids of the user's range: buildah unshare removes them.
  trap 'rm -rf "'"$work"'" 2>/dev/null || buildah unshare rm -rf "'"$work"'"' EXIT
  export XDG_RUNTIME_DIR=$work # else buildah leaves folders behind in TMPDIR
  store=(--storage-driver vfs --root "$work/store" --runroot "$work/run")
  "$root/deploy/image/rootfs.sh" "$work/rootfs"
  sed -n '/^FROM scratch/,$p' "$root/Dockerfile" >"$work/Dockerfile"
  mkdir "$work/empty"
  # Format docker, because that of OCI has no health check.
  buildah "${store[@]}" build --quiet --isolation chroot --format docker --timestamp "$SOURCE_DATE_EPOCH" --build-context "build=$work" \
    --identity-label=false "${stamps[@]}" -t "$tag" -f "$work/Dockerfile" "$work/empty" >/dev/null
  buildah "${store[@]}" push --quiet "$tag" "docker-archive:$work/image.tar:$tag"
  nameless "$work" "$file"
}

# nameless packs WORK/image.tar again as FILE without the random names of the container that buildah worked in, the only thing in
# it that differs from build to build.
nameless() {
  local dir=$1/image config digest
  mkdir "$dir" && tar -C "$dir" -xf "$1/image.tar" --no-same-permissions
  config=$(sed -E 's/.*"Config":"([^"]+)".*/\1/' "$dir/manifest.json")
  sed -E -i 's/"(Hostname|container)":"[0-9a-f]*"/"\1":""/g' "$dir/$config"
  digest=$(sha256sum "$dir/$config" | cut -d' ' -f1)
  mv "$dir/$config" "$dir/$digest.json"
  sed -i "s/$config/$digest.json/" "$dir/manifest.json"
  (cd "$dir" && tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=0644 --format=ustar -cf - manifest.json "$digest.json" ./*.tar) >"$2"
}

with=${BUILDER:-$(builder)}
case $with in
  docker | podman)
    "$with" build "${stamps[@]}" -t "$tag" "$root"
    echo "image: $tag, built with $with"
    ;;
  buildah)
    mkdir -p "$(dirname "$file")"
    rootless
    user="rootless"
    [[ $(id -u) != 0 ]] || user="as root, because the caller is: any user could"
    echo "image: $tag in $file, built with $(buildah --version | cut -d' ' -f1-3), $user"
    ;;
  *)
    echo "build.sh: BUILDER=$with: docker, podman or buildah" >&2
    exit 2
    ;;
esac
