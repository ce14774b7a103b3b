# An image that holds /init and nothing else. Copy it into another image,
#
#     COPY --from=sexton /init /init
#
# or build on this one: a static program copied into it runs under sexton.
FROM rust:1-alpine AS build
WORKDIR /sexton
COPY . .
# The image does not keep the caches, so the result is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/sexton/target \
    cargo build --release --locked && cp target/release/sexton /init

FROM scratch
COPY --from=build /init /init
ENTRYPOINT ["/init", "--"]
