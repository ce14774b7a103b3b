# Shows what an init is for: the program makes ten orphans per second for a minute, and waits for none of them.
#
#     docker build -f examples/docker/zombies.Dockerfile -t zombies .           # in the clone
#     docker run --rm -d --name with zombies
#     docker run --rm -d --name without --entrypoint /make_orphans zombies 600 10
#     docker exec with /init --inspect        # healthy
#     docker exec without /init --inspect     # more zombies each time, and the culprit
FROM rust:1-alpine AS build
WORKDIR /sexton
COPY . .
RUN cargo build --locked --example make_orphans && cp target/debug/examples/make_orphans /

FROM scratch
COPY --from=sexton /init /init
COPY --from=build /make_orphans /make_orphans
ENTRYPOINT ["/init", "--"]
CMD ["/make_orphans", "600", "10"]
