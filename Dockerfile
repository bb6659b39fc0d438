# The images of this project.
#
#   docker build --target parts .    what docker-compose.yml puts around Envoy
#   docker build --target module .   the filter, as Istio and Envoy Gateway load it

FROM rust:1.95-slim-bookworm AS build
WORKDIR /project
COPY . .
# Nobody debugs it, and without symbols the image is a fifth as large.
ENV CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_STRIP=true
RUN cargo build --locked --package integration --bin parts

FROM debian:bookworm-slim AS parts
COPY --from=build /project/target/debug/parts /usr/local/bin/parts
ENTRYPOINT ["parts"]

# Exactly one layer with exactly one file of this name: more, or another name, is no Wasm image to
# Istio and Envoy Gateway. The file is the one that `cargo xtask build` has left and checked, so that
# what was tested is what is shipped. It is the last stage because builders without BuildKit run all that
# stand before the one asked for, and the others need no module.
FROM scratch AS module
ARG MODULE=target/wasm32-wasip1/release/oidc_token_connector.wasm
COPY ${MODULE} /plugin.wasm
