#!/usr/bin/env bash
# Writes the manifests for a released image: its name and digest in the place of the example's.
#
#   deploy/pin.sh registry/owner/oidc-token-connector:1.2.3 DIGEST DIR    DIGEST: 64 hexadecimal digits
set -euo pipefail

if [[ $# != 3 || ! $2 =~ ^[0-9a-f]{64}$ || ! $1 =~ ^[A-Za-z0-9./:_-]+$ ]]; then
  sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
image=$1 digest=$2 to=$(mkdir -p "$3" && cd "$3" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")"

zeros=$(printf '0%.0s' {1..64})
for manifest in istio/wasmplugin istio-routes/envoyfilter envoy-gateway/policy; do
  # One flat directory: it is what a release has.
  sed -e "s#registry\.example/oidc-token-connector:[0-9.]*#$image#" -e "s/$zeros/$digest/" \
    "$manifest.yaml" >"$to/${manifest%/*}.yaml"
done
