#!/usr/bin/env bash
# Starts docker-compose.yml and runs compose-test.sh against it, wherever that can be done at all:
#
#   - with the Docker engine that is running here; or
#   - as root on Debian, with an engine that this script installs (packages docker.io, docker-compose),
#     starts and stops. It gets a network of its own, in which there is nothing but its containers: no port of
#     this machine is taken, and nothing leaves it. Its images are replacements, see compose-images.sh.
#
# What it cannot do is a failure on Debian and under CI; elsewhere it says so and ends well. Nothing has to be
# built before, as for a user. Only what was started here is ended here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dir=${CARGO_TARGET_DIR:-target}/compose
dir=$(mkdir -p "$dir" && cd "$dir" && pwd)
project=oidc-compose-$$
engine= # the process id of the engine that was started here
run=    # where that has its sockets: short, because the name of a socket has to be
services=(ready prometheus grafana)
file=docker-compose.yml

say() { echo "compose-ci: $*"; }

cannot() {
  local needed="it needs a running Docker engine with compose, or root on Debian with packages available"
  if [[ -n ${CI:-} || -e /etc/debian_version ]]; then
    say "FAILED: $*; $needed" >&2
    exit 1
  fi
  # The text that every test of this project prints if it proved nothing.
  say "LEFT OUT: docker-compose.yml and the images: $*; $needed" >&2
  exit 0
}

# Runs a command where the published ports are.
inside() {
  if [[ -n $engine ]]; then nsenter --net="/proc/$engine/ns/net" "$@"; else "$@"; fi
}

compose() {
  local command=(docker compose)
  docker compose version >/dev/null 2>&1 || command=(docker-compose)
  "${command[@]}" --project-name "$project" --project-directory . --file "$file" "$@"
}

install_engine() {
  local wanted=() program
  for program in dockerd:docker.io docker-compose:docker-compose debootstrap:debootstrap ip:iproute2 \
    iptables:iptables curl:curl; do
    command -v "${program%%:*}" >/dev/null || wanted+=("${program##*:}")
  done
  ((${#wanted[@]} == 0)) && return
  say "installing ${wanted[*]}"
  # Without this Debian's packages would start an engine of their own.
  local policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f /usr/sbin/policy-rc.d' RETURN
  fi
  { apt-get update --quiet && DEBIAN_FRONTEND=noninteractive \
    apt-get install --quiet --yes --no-install-recommends "${wanted[@]}"; } >"$dir/apt.log" 2>&1 ||
    { tail -n 20 "$dir/apt.log" >&2 && cannot "the packages ${wanted[*]} are not available"; }
}

start_engine() {
  run=$(mktemp -d /tmp/oidc-engine.XXXXXX)
  say "starting an engine with a network of its own"
  # `exec` twice: the process that is started here is the engine itself.
  # shellcheck disable=SC2016 # expanded by the shell inside
  unshare --net --mount -- sh -c 'ip link set lo up && exec dockerd "$@"' sh \
    --host "unix://$run/docker.sock" --data-root "$dir/engine" --exec-root "$run/exec" \
    --pidfile "$run/pid" >"$dir/engine.log" 2>&1 &
  engine=$!
  export DOCKER_HOST=unix://$run/docker.sock
  # Builders with BuildKit contact registries even for local images.
  export DOCKER_BUILDKIT=0
  local since=$SECONDS
  until docker info >/dev/null 2>&1; do
    if ! kill -0 "$engine" 2>/dev/null || ((SECONDS - since > 60)); then
      tail -n 30 "$dir/engine.log" >&2
      cannot "the engine did not start"
    fi
    sleep 0.2
  done
}

clean_up() {
  local ended=$?
  set +e
  if ((ended != 0)) && docker info >/dev/null 2>&1; then
    compose logs --no-color --tail=40 >&2
  fi
  if docker info >/dev/null 2>&1; then
    compose down --volumes --timeout 5 >/dev/null 2>&1
  fi
  if [[ -n $engine ]]; then
    kill "$engine" 2>/dev/null
    wait "$engine" 2>/dev/null
    rm -rf "$dir/engine" "$run"
  fi
  exit "$ended"
}

# What the last line says, is so: its command gets through.
check_last_line() {
  local said answer
  said=$(compose logs --no-color ready | sed -n 's/^.*\(curl -i http.*\)$/\1/p')
  [[ -n $said ]] || { say "the last line names nothing to try" >&2 && return 1; }
  answer=$(inside bash -c "$said --silent")
  [[ $answer == "HTTP/1.1 200"* ]] || { say "got no 200, expected it from: $said" >&2 && return 1; }
  say "ok: what the last line says works: $said"
}

# The image that a control plane loads: one layer, one file, the module.
check_module_image() {
  local image=$project-module saved=$dir/module.tar layers files
  docker build --quiet --target module --tag "$image" . >/dev/null
  layers=$(docker image inspect --format '{{range .RootFS.Layers}}{{.}} {{end}}' "$image" | wc -w)
  ((layers == 1)) || { say "the module's image has $layers layers" >&2 && return 1; }
  # The layer is the one file of the archive that is an archive itself.
  docker save --output "$saved" "$image"
  docker image rm "$image" >/dev/null
  files=$(tar --list --file "$saved" | while read -r name; do
    tar --extract --to-stdout --file "$saved" "$name" 2>/dev/null | tar --list 2>/dev/null || :
  done)
  rm -f "$saved"
  [[ $files == plugin.wasm ]] || { say "the module's image holds: $files" >&2 && return 1; }
  say "ok: the module's image has one layer, and that has plugin.wasm"
}

trap clean_up EXIT

if docker info >/dev/null 2>&1; then
  say "with the engine that runs here"
else
  if ! command -v apt-get >/dev/null || [[ $(id -u) != 0 ]]; then
    cannot "no Docker engine runs here"
  fi
  install_engine
  start_engine
  integration/compose-images.sh "$dir"
  # Grafana has no replacement, so nothing may wait for it.
  services=(ready prometheus)
  file=$dir/compose.yml
  sed '/^ *grafana: { condition/d' docker-compose.yml >"$file"
fi

say "starting ${services[*]}, with all that they need; the first time that builds the images"
compose up --detach "${services[@]}"
inside integration/compose-test.sh
check_last_line
check_module_image
# Its gateway listens on the same port.
compose down --volumes --timeout 5
# These fetch what they need, which is not possible where the engine is.
cargo build --quiet --package integration --bin parts --bin fetch
"${CARGO_TARGET_DIR:-target}/debug/fetch" provider
inside integration/first-hour.sh docker
say "passed"
