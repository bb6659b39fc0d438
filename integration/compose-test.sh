#!/usr/bin/env bash
# Sends requests to what `docker compose up` has started, and looks at the answers. The exit code
# says whether all was as it should be. Waits for what is still starting, up to a deadline.
#
#   GATEWAY      http://127.0.0.1:10000   Envoy's listener
#   PROMETHEUS   http://127.0.0.1:9090    Prometheus; "" leaves its checks out
#   DEADLINE     120                      seconds to wait for each thing at most
set -euo pipefail

gateway=${GATEWAY:-http://127.0.0.1:10000}
prometheus=${PROMETHEUS-http://127.0.0.1:9090}
deadline=${DEADLINE:-120}
passed=0

answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# ask PATH [curl's arguments]: sends a request; status, header and body are then in $answer.
ask() {
  local path=$1
  shift
  curl --silent --include --max-time 20 --output "$answer" "$@" "$gateway$path" || : >"$answer"
  tr -d '\r' <"$answer" >"$answer.unix" && mv "$answer.unix" "$answer"
}

status() { sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p' "$answer"; }

die() {
  echo "compose-test: $*" >&2
  echo "compose-test: the last answer was:" >&2
  sed 's/^/    /' "$answer" >&2
  exit 1
}

# until WHAT COMMAND…: tries the command again until it succeeds.
until_it_holds() {
  local what=$1 since=$SECONDS
  shift
  until "$@"; do
    ((SECONDS - since < deadline)) || die "waited $deadline s without success: $what"
    sleep 0.2
  done
}

is() { [[ $(status) == "$1" ]] || die "$what: expected status $1"; }
has() { grep -qiF -- "$1" "$answer" || die "$what: expected to find: $1"; }
has_not() { ! grep -qiF -- "$1" "$answer" || die "$what: expected not to find: $1"; }
ok() {
  passed=$((passed + 1))
  echo "ok: $what"
}

# A header as the upstream shows what it received.
received() { printf '"name":"%s","value":"%s"' "$1" "$2"; }

# A request without a call, then one with a call to the provider.
answers() { ask "$@" && [[ $(status) == 200 ]]; }
until_it_holds "Envoy and the upstream answer" answers /public/health
until_it_holds "the provider answers" answers /orders -H 'Authorization: Bearer good'

what="a good token passes: its claims become headers, the token stays behind"
ask /orders -H 'Authorization: Bearer good'
is 200
has "$(received x-user-id 248289761001)"
has "$(received x-user-email claes@example.com)"
has "$(received x-user-region default)"
has_not '"name":"authorization"'
has_not 'Bearer good'
ok

what="a client that names itself is not believed"
ask /orders -H 'Authorization: Bearer good' -H 'X-User-Id: admin' -H 'X-Account-Number: 1'
is 200
has "$(received x-user-id 248289761001)"
has_not '"value":"admin"'
has_not '"name":"x-account-number"'
ok

what="a region has a provider and headers of its own"
ask /orders -H 'Authorization: Bearer good' -H 'X-Region: FR'
is 200
has "$(received x-user-region FR)"
has "$(received x-user-groups travel,approvers)"
ok

what="no token: 401 with a challenge"
ask /orders
is 401
has 'www-authenticate: Bearer realm="api"'
has InvalidAuthorizationHeaderValue
ok

what="a token that the provider refuses: 401 with its reason"
ask /orders -H 'Authorization: Bearer expired'
is 401
has 'error="invalid_token"'
has 'The access token expired'
ok

what="a token that the provider does not know: 401"
ask /orders -H 'Authorization: Bearer made-up'
is 401
has 'error="invalid_token"'
ok

what="a provider that cuts the connection: 503, not 401"
ask /orders -H 'Authorization: Bearer crash'
is 503
has 'retry-after: 5'
ok

what="another instance answers on its route"
ask /partners/orders
is 403
has 'Not a partner'
ok

# asked QUERY: the value of a PromQL expression.
asked() {
  curl --silent --max-time 10 --get --data-urlencode "query=$1" --output "$answer" \
    "$prometheus/api/v1/query" || : >"$answer"
  sed -n 's/.*"value":\[[^,]*,"\([0-9.]*\)"\].*/\1/p' "$answer"
}
at_least() {
  local value
  value=$(asked "$1")
  [[ -n $value ]] && ((${value%%.*} >= $2))
}
knows_rules() {
  curl --silent --max-time 10 --output "$answer" "$prometheus/api/v1/rules" || : >"$answer"
  grep -q '"name":"OidcProviderUnavailable"' "$answer"
}

if [[ -n $prometheus ]]; then
  what="Prometheus has the outcomes, by label"
  until_it_holds "$what: pass" at_least 'sum(oidc_outcome{outcome="pass"})' 3
  until_it_holds "$what: invalid_token" at_least 'sum(oidc_outcome{outcome="invalid_token"})' 2
  until_it_holds "$what: no_credentials" at_least 'sum(oidc_outcome{outcome="no_credentials"})' 2
  until_it_holds "$what: unavailable" at_least 'sum(oidc_outcome{outcome="unavailable"})' 1
  until_it_holds "$what: cache hits" at_least 'sum(oidc_cache{event=~"hit|shared_hit"})' 2
  ok

  what="Prometheus has the alert rules"
  until_it_holds "$what" knows_rules
  ok
fi

echo "compose-test: $passed passed"
