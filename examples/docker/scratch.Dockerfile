# A static program and sexton, and nothing else. There is no shell to look around with, but there is `/init --inspect`.
#
#     docker build -f examples/docker/scratch.Dockerfile -t app DIRECTORY      # that holds `app`
FROM scratch
COPY --from=sexton /init /init
COPY app /app
ENTRYPOINT ["/init", "--"]
CMD ["/app"]
