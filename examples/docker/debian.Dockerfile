# A script as entrypoint, on Debian. Without /init the script is PID 1, and what it leaves behind is killed on the spot.
#
#     docker build -t sexton .                                             # once, in the clone
#     docker build -f examples/docker/debian.Dockerfile -t app examples/docker
#     docker run --rm --name app app &  docker stop app                    # at once: "saved"
FROM debian:bookworm-slim
COPY --from=sexton /init /init
COPY app.sh /app.sh
# What the workers need to end when the script has ended.
ENV SEXTON_GRACE=3s
HEALTHCHECK CMD ["/init", "--inspect"]
ENTRYPOINT ["/init", "--"]
CMD ["/app.sh"]
