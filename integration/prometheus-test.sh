#!/usr/bin/env bash
# Checks deploy/prometheus with Prometheus' own promtool: the configuration, the alert rules, and what
# the rules say of made-up series. promtool is taken from PATH, else from the Debian package.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=integration/debian.sh
source integration/debian.sh

promtool=$(debian_program promtool prometheus "${CARGO_TARGET_DIR:-target}/debian")
"$promtool" check config deploy/prometheus/prometheus.yml
"$promtool" check rules deploy/prometheus/rules.yml
"$promtool" test rules deploy/prometheus/rules.test.yml
