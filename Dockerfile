# The images of this project.
#
#   docker build --target parts .    what docker-compose.yml puts around Envoy
#   docker build --target module .   the filter, as Istio and Envoy Gateway load it

FROM rust:1.95-slim-bookworm AS build
WORKDIR /project
COPY . .
# It is not debugged, and without symbols the image is a fifth as large.
ENV CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_STRIP=true
RUN cargo build --locked --package integration --bin parts

FROM debian:bookworm-slim AS parts
COPY --from=build /project/target/debug/parts /usr/local/bin/parts
ENTRYPOINT ["parts"]

# Exactly one layer with exactly one file of this name: any other image is no Wasm image for Istio and Envoy
# Gateway. The file is the one that `cargo xtask build` wrote and checked, so that the shipped file is the
# tested one. It is the last stage because builders without BuildKit run all stages before the requested one,
# and the others need no module.
FROM scratch AS module
ARG MODULE=target/wasm32-wasip1/release/oidc_token_connector.wasm
COPY ${MODULE} /plugin.wasm
