# The images of this project. They need nothing that was built before: no Rust on this machine.
#
#   docker build --target parts .     what docker-compose.yml puts around Envoy
#   docker build --target module .    the filter, as Istio and Envoy Gateway load it
#   docker build --target gateway .   Envoy with the filter: docs/first-hour.md
#   docker build --target tool .      oidc-connector

FROM rust:1.95-slim-bookworm AS build
WORKDIR /project
COPY . .
# What runs in the images is not debugged, and without symbols a fifth as large.
ENV CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_STRIP=true
# As it is built everywhere, with its lists of imports and exports compared.
RUN cargo xtask build && cp target/wasm32-wasip1/release/oidc_token_connector.wasm /plugin.wasm

FROM build AS build-tool
RUN cargo build --locked --package cli

# Exactly one layer with exactly one file of this name: any other image is no Wasm image for Istio and Envoy
# Gateway. What a release publishes is made by `cargo xtask release`, with the same digest on every machine.
FROM scratch AS module
COPY --from=build /plugin.wasm /plugin.wasm

# Where `oidc-connector init` expects the filter.
FROM envoyproxy/envoy:v1.40.0 AS gateway
COPY --from=build /plugin.wasm /etc/envoy/oidc_token_connector.wasm

# The authorities are for `init`, at the place where Envoy's image has them too.
FROM debian:bookworm-slim AS tool
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build-tool /project/target/debug/oidc-connector /usr/local/bin/oidc-connector
WORKDIR /work
ENTRYPOINT ["oidc-connector"]

FROM build AS build-parts
RUN cargo build --locked --package integration --bin parts

FROM debian:bookworm-slim AS parts
COPY --from=build-parts /project/target/debug/parts /usr/local/bin/parts
COPY --from=build /plugin.wasm /oidc_token_connector.wasm
ENTRYPOINT ["parts"]
