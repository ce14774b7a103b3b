# A script as entrypoint, on Debian. Without /init the script is PID 1, and what it leaves behind is killed at once.
#
#     docker build -t sexton .                                             # once, in the clone
#     docker build -f examples/docker/debian.Dockerfile -t app examples/docker
#     docker run --rm --name app app &  docker stop app                    # at once: "saved"
FROM debian:bookworm-slim
COPY --from=sexton /init /init
COPY app.sh /app.sh
# How long the workers have to end after the script has ended.
ENV SEXTON_GRACE=3s
HEALTHCHECK CMD ["/init", "--inspect"]
ENTRYPOINT ["/init", "--"]
CMD ["/app.sh"]
