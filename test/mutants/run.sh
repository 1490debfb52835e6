#!/usr/bin/env bash
# Applies each patch of this folder to a copy of the tree and expects the named test to fail: a test that passes over a
# broken program proves nothing. A patch begins with
#
#   # package: ./pkg/x
#   # test: TestName          (TestName/sub and TestA|TestB are possible)
#   # args: -flag 1           (for the test, if it takes any)
#
# and goes on as `diff -u a/pkg/x/file.go b/pkg/x/file.go` prints it. A mutant is "caught" when the test fails, "SURVIVED"
# when it passes, and "BROKEN" when it says nothing: the patch does not apply, the code does not compile, the test is not
# there or fails without the patch too. Arguments are patches to run instead of all. Exits with 1 unless all are caught.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
export JOBS=${JOBS:-2} TIMEOUT=${TIMEOUT:-180s}

patches=("$@")
if ((${#patches[@]} == 0)); then
  shopt -s nullglob
  patches=("$here"/*.patch)
fi
((${#patches[@]})) || { echo "no mutants in $here" >&2; exit 1; }

WORK=$(mktemp -d)
export WORK TMPDIR=$WORK # what a failed test keeps goes with the copies
trap 'rm -rf "$WORK"' EXIT
trap 'exit 1' INT TERM

# What git knows or would know, as it is now; files that are deleted but still in the index are passed over.
copy() {
  mkdir -p "$1"
  git -C "$root" ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' f; do [[ -e $root/$f ]] && printf '%s\0' "$f"; done |
    tar -C "$root" --null -T - -cf - | tar -C "$1" -xf -
}

header() { sed -n "1,10s/^# $2: *//p" "$1" | head -1; }

# TestA|TestB/sub as go test -run takes it, matching whole names only.
pattern() {
  local IFS='|' one all=()
  for one in $1; do all+=("^${one//\//\$\/^}\$"); done
  printf '%s' "${all[*]}"
}

# gotest DIR PACKAGE TEST ARGS: 0 passed, 1 failed, 2 not compiled or no such test. -trimpath lets all copies share the build cache.
gotest() {
  local out=$1.out
  (cd "$1" && go test -trimpath -vet=off -c -o /dev/null "$2") >"$out" 2>&1 || return 2
  (cd "$1" && go test -trimpath -vet=off -count=1 -v -timeout "$TIMEOUT" -run "$(pattern "$3")" "$2" $4) >"$out" 2>&1 || return 1
  grep -q '^=== RUN' "$out" || return 2
}

# one PATCH: writes its row into $WORK/rows.
one() {
  local patch=$1 name dir package test args verdict rc=0
  name=$(basename "$patch" .patch)
  dir=$WORK/$name
  package=$(header "$patch" package)
  test=$(header "$patch" test)
  args=$(header "$patch" args)
  cp -r "$WORK/tree" "$dir" && : >"$dir.out"
  if [[ -z $package || -z $test ]]; then
    verdict="BROKEN: lines '# package:' and '# test:' are missing"
  elif ! patch -d "$dir" -p1 -s -f --no-backup-if-mismatch <"$patch" >"$dir.out" 2>&1; then
    verdict="BROKEN: the patch does not apply"
  else
    gotest "$dir" "$package" "$test" "$args" || rc=$?
    case $rc in
      0) verdict=SURVIVED ;;
      2) verdict="BROKEN: it does not compile, or there is no such test" ;;
      *) if baseline "$package" "$test" "$args"; then verdict=yes; else verdict="BROKEN: the test fails without the patch too"; fi ;;
    esac
  fi
  printf '%s\t%s\t%s\n' "$name" "$test" "$verdict" >"$WORK/rows/$name"
  [[ $verdict == yes ]] || { echo "--- $name"; tail -n 15 "$dir.out"; } >&2
  rm -rf "$dir"
}

# baseline PACKAGE TEST ARGS: whether the test passes on the tree as it is; asked once for each.
baseline() {
  local key
  key=$WORK/base/$(printf '%s %s %s' "$1" "$2" "$3" | cksum | tr ' ' -)
  (
    flock 9
    if [[ ! -e $key.rc ]]; then
      cp -r "$WORK/tree" "$key"
      local rc=0
      gotest "$key" "$1" "$2" "$3" || rc=$?
      echo "$rc" >"$key.rc"
      rm -rf "$key"
    fi
    [[ $(<"$key.rc") == 0 ]]
  ) 9>"$key.lock"
}
export -f header pattern gotest one baseline

mkdir "$WORK/rows" "$WORK/base"
copy "$WORK/tree"
printf '%s\0' "${patches[@]}" | xargs -0 -n 1 -P "$JOBS" bash -c 'set -uo pipefail; one "$1"' _

cat "$WORK"/rows/* | awk -F '\t' '
  BEGIN { printf "%-40s %-50s %s\n", "MUTANT", "TEST", "CAUGHT" }
  { printf "%-40s %-50s %s\n", $1, $2, $3; $3 == "yes" ? caught++ : rest++ }
  END { printf "mutants: %d passed, %d failed\n", caught, rest; exit rest > 0 }'
