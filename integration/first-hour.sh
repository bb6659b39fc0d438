#!/usr/bin/env bash
# Runs the commands of README and docs/first-hour.md that lead a new user to a protected API. Prints how many
# commands each way has and how long it takes; fails where a command does. The way with Docker: compose-ci.sh.
#
#   first-hour.sh [demo] [init] [chart]     default: all
#
# What stands in for what a user has: a real provider and a backend on loopback, and their addresses in the
# commands. Ports 10000 and 9901 have to be free. Only what was started here is ended here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dir=$(mktemp -d /tmp/oidc-first-hour.XXXXXX)
started=() # process ids
parts=
export CARGO_INSTALL_ROOT=$dir PATH=$dir/bin:$PATH

say() { echo "first-hour: $*"; }
die() { say "FAILED: $*" >&2 && exit 1; }

clean_up() {
  local ended=$?
  ((ended == 0)) || tail -n 20 "$dir"/*.log >&2 || :
  for process in "${started[@]}"; do kill "$process" 2>/dev/null && wait "$process" || :; done
  rm -rf "$dir"
  exit "$ended"
}
trap clean_up EXIT

# The documents' commands have it.
if ! command -v curl >/dev/null; then
  [[ $EUID == 0 ]] && command -v apt-get >/dev/null || die "got no curl, expected it on PATH: install it"
  { apt-get update --quiet && DEBIAN_FRONTEND=noninteractive \
    apt-get install --quiet --yes --no-install-recommends curl ca-certificates; } >"$dir/apt.log" 2>&1 ||
    die "curl cannot be installed"
fi

# The lines of the Nth ```sh block of a section of a page, without their comments.
commands() {
  local page=$1 section=$2 number=$3
  awk -v section="$section" -v number="$number" '
    /^#/ { here = ($0 == section) }
    here && /^```(sh|console)$/ { inside = ++block == number; next }
    /^```$/ { inside = 0 }
    inside' "$page" | sed -E 's/[[:blank:]]+#.*//' | grep .
}

# run COMMAND: as the user enters it.
run() {
  echo "\$ $1"
  count=$((count + 1))
  # Not the loop's input: a command that read it would take the commands after it away.
  bash -euo pipefail -c "$1" </dev/null || die "the command of the documents: $1"
}

# until_it_holds WHAT COMMAND…
until_it_holds() {
  local what=$1 since=$SECONDS
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS - since < 120)) || die "waited 120 s without success: $what"
    sleep 0.2
  done
}

# background NAME COMMAND…: goes on until the end of this script.
background() {
  local name=$1
  shift
  "$@" >"$dir/$name.log" 2>&1 &
  started+=($!)
}

demo() {
  while read -r line; do
    run "$line"
  done < <(commands README.md "## Try it" 1 | grep -v -- --serve)
}

# The status of a command with curl that a user enters.
status_of() { bash -c "${1/#curl/curl --silent --show-error --max-time 20}" </dev/null | sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p'; }

# A provider and a backend, in the place of the user's.
stand_ins() {
  cargo build --quiet --package integration --bin parts
  parts=${CARGO_TARGET_DIR:-target}/debug/parts
  background provider "$parts" openid-provider "$dir"
  background backend "$parts" upstream
  until_it_holds "the provider has a token" test -f "$dir/token"
}

# starts COMMAND: Envoy.
starts() {
  echo "\$ $1"
  count=$((count + 1))
  background envoy bash -euo pipefail -c "exec $1"
  until_it_holds "Envoy is ready" curl --silent --fail http://127.0.0.1:9901/ready
}

# requests SECTION: its second block, first without a token, then with one.
requests() {
  TOKEN=$(cat "$dir/token")
  export TOKEN
  local line expected=(401 200) got
  while read -r line; do
    echo "\$ $line"
    count=$((count + 1))
    got=$(status_of "$line")
    [[ $got == "${expected[0]}" ]] || die "got status $got, expected ${expected[0]}: $line"
    expected=("${expected[@]:1}")
  done < <(commands docs/first-hour.md "$1" 2)
  ((${#expected[@]} == 0)) || die "docs/first-hour.md sends ${#expected[@]} requests fewer than expected: $1"
}

init() {
  stand_ins
  mkdir -p "$dir/bin"
  ln -sf "$("$parts" envoy-binary)" "$dir/bin/envoy"
  local line envoy= mine
  while read -r line; do
    # What a user replaces as well; and this provider's own authority.
    mine=$(sed -e "s,https://idp.example,$(cat "$dir/issuer") --ca $dir/ca.pem," -e "s,127.0.0.1:8080,127.0.0.1:10001," \
      -e "s, gateway\b, $dir/gateway," <<<"$line")
    if [[ $line == envoy* ]]; then starts "$mine" && envoy=1; else run "$mine"; fi
  done < <(commands docs/first-hour.md "## With init" 1)
  [[ -n $envoy ]] || die "docs/first-hour.md starts no Envoy"
  requests "## With init"
}

docker_alone() {
  docker info >/dev/null 2>&1 || die "got no Docker engine, expected one that runs: integration/compose-ci.sh starts one"
  stand_ins
  # Envoy's image is not root's.
  chmod 755 "$dir"
  local line envoy= mine
  while read -r line; do
    # As above. The directory of the walk is the one that is removed at the end, and the provider is on loopback.
    mine=$(sed -E -e "s,https://idp.example,$(cat "$dir/issuer") --ca ca.pem," -e "s,127.0.0.1:8080,127.0.0.1:10001," \
      -e "s,\\\$PWD,$dir," -e "/--network host/!s,docker (run|build),\0 --network host," <<<"$line")
    if [[ $line == *" envoy "* ]]; then starts "$mine" && envoy=1; else run "$mine"; fi
  done < <(commands docs/first-hour.md "## With Docker alone" 1)
  [[ -n $envoy ]] || die "docs/first-hour.md starts no Envoy"
  requests "## With Docker alone"
}

chart() {
  cargo build --quiet --package integration --bin parts
  parts=${CARGO_TARGET_DIR:-target}/debug/parts
  mkdir -p "$dir/bin"
  # Stands in for Helm where that is missing; the code that renders is Helm's.
  command -v helm >/dev/null ||
    { printf '#!/bin/sh\nexec "%s" helm "$@"\n' "$(realpath "$parts")" >"$dir/bin/helm" && chmod +x "$dir/bin/helm"; }
  local line
  # What a user writes: the values that the page shows.
  awk '/^# values.yaml/ { inside = 1 } /^```$/ { inside = 0 } inside' docs/deployment.md >"$dir/values.yaml"
  while read -r line; do
    case $line in
      NAMESPACE=*) export "${line?}" ;;
      # There is no registry and no cluster here.
      skopeo* | kubectl*) ;;
      *) run "$(sed -E -e "s,(values|manifests).yaml,$dir/\0,g" -e "s, dist/, $dir/dist/," \
        -e "s,release --only,release --output $dir/dist --only," -e "s,registry.example,registry.test," <<<"$line")" ;;
    esac
  done < <(commands docs/first-hour.md "## In a cluster" 1)
}

for way in "${@:-demo init chart}"; do
  for one in $way; do
    count=0 since=$SECONDS
    if [[ $one == docker ]]; then docker_alone; else "$one"; fi
    ((count > 0)) || die "got no commands for $one, expected them in the documents: has a heading changed?"
    summary+=("$one: $count commands, $((SECONDS - since)) s")
  done
done
printf 'first-hour: %s\n' "${summary[@]}" "passed"
