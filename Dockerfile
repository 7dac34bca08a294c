# Two images, for the machine that builds them (amd64, arm64: the target follows the host):
#
#   docker build --target premain -t premain .                     the binary alone, FROM scratch
#   docker build --target reverse-engineer -t reverse-engineer .   the reference application with it
#
# In an image of your own:
#   COPY --from=premain /premain /premain
#   ENTRYPOINT ["/premain", "--"]

FROM rust:1-bookworm AS source
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY .cargo .cargo
COPY src src
COPY migrations migrations
COPY docker/reverse-engineer/abilities.rs docker/reverse-engineer/abilities.rs

# The caches hold the crates and what was compiled of them, so that a change of ours compiles ours
# alone. They are no part of an image: what a stage gives away lies in /out.
FROM source AS build-premain
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=premain-target,target=/src/target,sharing=locked \
    cargo build --release --locked --bin premain \
    && install -D target/$(uname -m)-*/release/premain /out/premain

# One command each: building both at once would give premain the application's features.
FROM source AS build-reverse-engineer
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=premain-target,target=/src/target,sharing=locked \
    PREMAIN_EMBED=migrations cargo build --release --locked --bin premain \
    && cargo build --release --locked --example abilities \
    && install -D -t /out target/$(uname -m)-*/release/premain target/$(uname -m)-*/release/examples/abilities

FROM scratch AS reverse-engineer
COPY --from=build-reverse-engineer /out/premain /premain
COPY --from=build-reverse-engineer /out/abilities /app/abilities
WORKDIR /app
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/premain", "--"]
CMD ["/app/abilities"]

# The last stage, so what a bare `docker build .` makes. The authorities are for verify-full.
FROM scratch AS premain
COPY --from=build-premain /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build-premain /out/premain /premain
USER 65532:65532
ENTRYPOINT ["/premain"]
