{{/* The name of all objects, or its beginning. */}}
{{- define "oidc.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The metadata of an object: dict root, name. */}}
{{- define "oidc.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  app.kubernetes.io/name: {{ .root.Chart.Name }}
  app.kubernetes.io/instance: {{ .root.Release.Name }}
  app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- end -}}

{{/* A host as a part of an object's name. */}}
{{- define "oidc.slug" -}}
{{- . | lower | replace "." "-" | replace "_" "-" -}}
{{- end -}}

{{/* The URIs of a configuration's endpoints, as JSON: {"uris": […]}. */}}
{{- define "oidc.uris" -}}
{{- $values := list -}}
{{- range $key := list "userinfo_endpoint" "introspection_endpoint" -}}
  {{- $endpoint := get $ $key | default dict -}}
  {{- with $endpoint.defaultURI -}}{{- $values = append $values . -}}{{- end -}}
  {{- range $uri := $endpoint.regionCodeValue | default dict -}}{{- $values = append $values $uri -}}{{- end -}}
  {{- range $issuer := $endpoint.issuers | default dict -}}{{- $values = append $values $issuer.uri -}}{{- end -}}
{{- end -}}
{{- $uris := list -}}
{{- range $value := $values -}}
  {{- if kindIs "slice" $value -}}
    {{- $uris = concat $uris $value -}}
  {{- else -}}
    {{- $uris = append $uris $value -}}
  {{- end -}}
{{- end -}}
{{- toJson (dict "uris" $uris) -}}
{{- end -}}

{{/* Host and port of a URI, as JSON. Only https: a token must not cross the network in clear. */}}
{{- define "oidc.place" -}}
{{- $url := urlParse . -}}
{{- if ne (lower $url.scheme) "https" -}}
  {{- fail (printf "%s: got %s, expected https: the token would cross the network in clear" . $url.scheme) -}}
{{- end -}}
{{- if hasPrefix "[" $url.host -}}
  {{- fail (printf "%s: got an address in brackets, expected a host's name: write its cluster under connector.clusters" .) -}}
{{- end -}}
{{- $parts := splitList ":" $url.host -}}
{{- toJson (dict "authority" $url.host "host" (first $parts | lower) "port" (ternary (last $parts) "443" (gt (len $parts) 1))) -}}
{{- end -}}

{{/* The port that the mesh knows for a provider's port: plain to the mesh, which encrypts on the way. */}}
{{- define "oidc.meshPort" -}}
{{- if eq . "80" -}}{{- fail "an https URI with port 80: expected another port, since the mesh has 80 for 443" -}}{{- end -}}
{{- ternary "80" . (eq . "443") -}}
{{- end -}}

{{/* The name of the provider's HTTPRoute, Backend, ServiceEntry …: dict root, host, port. */}}
{{- define "oidc.providerName" -}}
{{- $name := printf "%s-%s" (include "oidc.name" .root) (include "oidc.slug" .host) -}}
{{- ternary $name (printf "%s-%s" $name .port) (eq .port "443") -}}
{{- end -}}

{{/* One configuration, complete, as JSON: dict root, own (as values have it). */}}
{{- define "oidc.config" -}}
{{- $root := .root -}}
{{- $config := mergeOverwrite (deepCopy $root.Values.defaults) (deepCopy .own) -}}
{{- $uris := (include "oidc.uris" $config | fromJson).uris -}}
{{- if not $uris -}}
  {{- fail "connector: got no endpoint, expected userinfo_endpoint or introspection_endpoint with defaultURI" -}}
{{- end -}}
{{- $clusters := $config.clusters | default dict -}}
{{- range $uri := $uris -}}
  {{- $at := include "oidc.place" $uri | fromJson -}}
  {{- if not (hasKey $clusters $at.authority) -}}
    {{- $cluster := "" -}}
    {{- if eq $root.Values.platform "istio" -}}
      {{- $cluster = printf "outbound|%s||%s" (include "oidc.meshPort" $at.port) $at.host -}}
    {{- else -}}
      {{- $route := include "oidc.providerName" (dict "root" $root "host" $at.host "port" $at.port) -}}
      {{- $cluster = printf "httproute/%s/%s/rule/0" $root.Release.Namespace $route -}}
    {{- end -}}
    {{- $clusters = set $clusters $at.authority $cluster -}}
  {{- end -}}
{{- end -}}
{{- $_ := set $config "clusters" $clusters -}}
{{- $_ := set $config "access_log_state" true -}}
{{- if eq (include "oidc.isPlugin" $root) "true" -}}
  {{- if ($config.cache | default dict).shared -}}
    {{- fail "cache.shared: got true, expected false: a WasmPlugin has no vm_id of its own, and other plugins would read the verdicts; or istio.mode: envoyFilter" -}}
  {{- end -}}
  {{- if not (hasKey $config "preflight") -}}{{- $_ := set $config "preflight" "pass" -}}{{- end -}}
{{- else if and $config.cache (not (hasKey $config.cache "shared")) -}}
  {{- $_ := set $config.cache "shared" true -}}
{{- end -}}
{{- toJson $config -}}
{{- end -}}

{{/* "true" where the filter comes by a WasmPlugin. */}}
{{- define "oidc.isPlugin" -}}
{{- and (eq .Values.platform "istio") (eq .Values.istio.mode "wasmPlugin") -}}
{{- end -}}

{{/* All configurations, as JSON: {"all": [{"name", "routes", "config"}]}; the first is for every route. */}}
{{- define "oidc.instances" -}}
{{- $root := . -}}
{{- $name := include "oidc.name" . -}}
{{- if and .Values.instances (eq (include "oidc.isPlugin" .) "true") -}}
  {{- fail "instances: got some with istio.mode wasmPlugin, expected istio.mode: envoyFilter: a WasmPlugin has one configuration for all routes" -}}
{{- end -}}
{{- if and .Values.istio.publicRoutes (eq (include "oidc.isPlugin" .) "true") -}}
  {{- fail "istio.publicRoutes: got some with istio.mode wasmPlugin, expected istio.mode: envoyFilter" -}}
{{- end -}}
{{- $own := include "oidc.config" (dict "root" . "own" .Values.connector) | fromJson -}}
{{- $all := list (dict "name" $name "routes" list "config" $own) -}}
{{- range $short, $instance := .Values.instances -}}
  {{- $config := include "oidc.config" (dict "root" $root "own" $instance.connector) | fromJson -}}
  {{- $all = append $all (dict "name" (printf "%s-%s" $name $short) "routes" $instance.routes "config" $config) -}}
{{- end -}}
{{- toJson (dict "all" $all) -}}
{{- end -}}

{{/* The providers whose clusters this chart makes, as JSON: {"hosts": {"idp.example": ["443"]}}. */}}
{{- define "oidc.providers" -}}
{{- $root := . -}}
{{- $hosts := dict -}}
{{- $given := list .Values.connector -}}
{{- range $instance := .Values.instances -}}{{- $given = append $given $instance.connector -}}{{- end -}}
{{- range $own := $given -}}
  {{- $config := mergeOverwrite (deepCopy $root.Values.defaults) (deepCopy $own) -}}
  {{- range $uri := (include "oidc.uris" $config | fromJson).uris -}}
    {{- $at := include "oidc.place" $uri | fromJson -}}
    {{- if not (hasKey ($config.clusters | default dict) $at.authority) -}}
      {{- $ports := append (get $hosts $at.host | default list) $at.port -}}
      {{- $_ := set $hosts $at.host ($ports | uniq | sortAlpha) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- toJson (dict "hosts" $hosts) -}}
{{- end -}}

{{/* The variables that the configurations name, as JSON: {"names": […]}. */}}
{{- define "oidc.variables" -}}
{{- $names := list -}}
{{- range $instance := (include "oidc.instances" . | fromJson).all -}}
  {{- $client := $instance.config.introspection_client | default dict -}}
  {{- range $one := append (values $client) $client -}}
    {{- if kindIs "map" $one -}}
      {{- with $one.client_secret_env -}}{{- $names = append $names . -}}{{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $names = $names | uniq | sortAlpha -}}
{{- range $name := $names -}}
  {{- if not (hasKey $.Values.secretEnv $name) -}}
    {{- fail (printf "secretEnv: got no %s, expected the Secret of that variable, { name: …, key: … }: a client_secret_env names it" $name) -}}
  {{- end -}}
{{- end -}}
{{- toJson (dict "names" $names) -}}
{{- end -}}

{{/* Entries of a container's `env`. */}}
{{- define "oidc.containerEnv" -}}
{{- range $name := (include "oidc.variables" . | fromJson).names }}
{{- $secret := get $.Values.secretEnv $name }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef: { name: {{ $secret.name }}, key: {{ $secret.key }} }
{{- end }}
{{- end -}}

{{/* The names of all headers that say who somebody is, as JSON: {"names": […]}. */}}
{{- define "oidc.identityHeaders" -}}
{{- $names := list -}}
{{- range $instance := (include "oidc.instances" . | fromJson).all -}}
  {{- with $instance.config.region_header -}}{{- $names = append $names . -}}{{- end -}}
  {{- with $instance.config.anonymous_header -}}{{- $names = append $names . -}}{{- end -}}
  {{- range $name, $rule := $instance.config.inject_headers | default dict -}}
    {{- if and (kindIs "map" $rule) (not (hasKey $rule "path")) -}}
      {{- $names = concat $names (keys $rule) -}}
    {{- else -}}
      {{- $names = append $names $name -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- toJson (dict "names" ($names | uniq | sortAlpha)) -}}
{{- end -}}

{{/* The guard, an entry of Envoy's http_filters. */}}
{{- define "oidc.guard" -}}
{{- $passes := list "pass;" -}}
{{- range $instance := (include "oidc.instances" . | fromJson).all -}}
  {{- if eq ($instance.config.preflight | default "") "pass" -}}{{- $passes = append $passes "preflight;" -}}{{- end -}}
  {{- if eq ($instance.config.credentials | default "") "optional" -}}{{- $passes = append $passes "anonymous;" -}}{{- end -}}
{{- end -}}
name: {{ include "oidc.name" . }}-guard
typed_config:
  "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
  rules_stat_prefix: oidc_token_connector_guard
  rules:
    action: ALLOW
    policies:
      passed-by-the-connector:
        permissions:
          - any: true
        principals:
          {{- range $passes | uniq }}
          - filter_state:
              key: wasm.oidc_outcome
              string_match: { prefix: {{ . | quote }} }
          {{- end }}
{{- end -}}

{{/* The labels that the alert rules and the dashboard read, an Envoy's stats_tags. */}}
{{- define "oidc.labels" -}}
- { tag_name: outcome, regex: '^wasmcustom\.oidc_outcome(\.(\w+?))(?:\.instance\.\w+)?$' }
- { tag_name: source, regex: '^wasmcustom\.oidc_source(\.(\w+?))(?:\.instance\.\w+)?$' }
- { tag_name: reason, regex: '^wasmcustom\.oidc_reason(\.(\w+?))(?:\.instance\.\w+)?$' }
- { tag_name: region, regex: '^wasmcustom\.oidc_(?:region|region_failed|userinfo_ms)(\.([\w-]+?))(?:\.instance\.\w+)?$' }
- { tag_name: connector, regex: '^wasmcustom\.oidc_[\w.-]+?(\.instance\.(\w+))$' }
- { tag_name: event, regex: '^wasmcustom\.oidc_(?:cache|calls|breaker)(\.(\w+))$' }
- { tag_name: wasm_plugin, regex: '^wasm(\.(.+))\.vm_reload' }
{{- end -}}
