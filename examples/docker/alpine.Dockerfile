# sexton instead of tini, on Alpine. Called by that name sexton takes tini's options, so nothing else has to change.
#
#     docker build -f examples/docker/alpine.Dockerfile -t app examples/docker
FROM alpine:3
COPY --from=sexton /init /sbin/tini
COPY app.sh /app.sh
ENTRYPOINT ["/sbin/tini", "-v", "--"]
CMD ["/app.sh"]
