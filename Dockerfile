# syntax=docker/dockerfile:1
# ReplyHQ as an image: docker build -t replyhq .   How to run it: docs/operations.md

FROM node:22-bookworm-slim AS web
WORKDIR /build
COPY web/package.json web/package-lock.json web/
RUN cd web && npm ci --ignore-scripts --no-audit --no-fund
COPY web web
RUN cd web && npm run --silent build

FROM rust:1-bookworm AS build
WORKDIR /build
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock clippy.toml ./
COPY crates crates
COPY sdk/rust sdk/rust
COPY xtask xtask
COPY --from=web /build/web/dist web/dist
# The caches are shared between builds and are no part of the image, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/build/target,sharing=locked \
    cargo build --release --locked --package server --bin replyhq \
    && install -D target/release/replyhq /out/replyhq

FROM debian:bookworm-slim
# rediss:// trusts the system's certificates.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 replyhq \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/replyhq --shell /usr/sbin/nologin replyhq \
    && install -d -m 0700 -o 10001 -g 10001 /var/lib/replyhq
COPY --from=build /out/replyhq /usr/local/bin/replyhq
ENV REPLYHQ_LISTEN=0.0.0.0:3000 \
    REPLYHQ_DATA_DIR=/var/lib/replyhq \
    REPLYHQ_LOG_FORMAT=json
# By number, so that an orchestrator can tell that it is not root.
USER 10001:10001
VOLUME /var/lib/replyhq
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["replyhq", "healthcheck"]
# The process itself is PID 1 and takes SIGTERM; a shell before it would keep the signal.
STOPSIGNAL SIGTERM
ENTRYPOINT ["replyhq"]
CMD ["serve"]
