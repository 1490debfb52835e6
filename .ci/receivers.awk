# Reads the lines "receiver: NAME VERSION ran|skipped WHY" of the end-to-end tests and prints them as a table. Several tests
# may use one receiver: it has run when one of them ran it. Fails when nothing ran; with -v ci=true also when one of the
# receivers that every machine can have did not run, or was left out by some test.
$1 == "receiver:" && ($3 == "ran" || $3 == "skipped") { $2 = $2 " -"; $0 = $0 } # no version is known
$1 == "receiver:" && NF >= 4 {
  key = $2 " " $3
  if (!(key in state)) order[++n] = key
  if (state[key] == "" || $4 == "ran") state[key] = $4
  if ($4 == "ran") did[server($2)] = 1
  if ($4 == "skipped") {
    why[key] = $5
    for (i = 6; i <= NF; i++) why[key] = why[key] " " $i
    left[server($2)] = 1
  }
}
function server(name) { return name ~ /hec/ ? "hecpeer" : name ~ /kfake/ ? "kfakepeer" : name ~ /rsyslog/ ? "rsyslogpeer" : name }
END {
  printf "\n%-20s %-38s %-8s %s\n", "RECEIVER", "VERSION", "STATE", "WHY"
  for (i = 1; i <= n; i++) {
    key = order[i]
    split(key, f, " ")
    printf "%-20s %-38s %-8s %s\n", f[1], f[2], state[key], why[key]
    if (state[key] == "ran") ran++; else skipped++
  }
  if (ci == "true") {
    m = split("hecpeer kfakepeer rsyslogpeer", required, " ")
    for (i = 1; i <= m; i++)
      if (!did[required[i]] || left[required[i]]) {
        print "receiver " required[i] " has to run where CI=true, and did not (or not in every test)"
        missing++
      }
  }
  printf "receivers: %d passed, %d failed, %d skipped\n", ran, missing, skipped
  if (missing || !ran) exit 1
}
