# Prints a Makefile's targets: "##@ Group" begins a group, "target: needs ## what it does" is a line of it.
/^##@ / { printf "\n%s\n", substr($0, 5) }
/^[a-z0-9-]+:.* ## / {
  target = $0
  sub(/:.*/, "", target)
  text = $0
  sub(/^[^#]*## /, "", text)
  printf "  make %-18s %s\n", target, text
}
