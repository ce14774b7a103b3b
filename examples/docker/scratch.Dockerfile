# A static program and sexton, and nothing else. There is no shell to look around with, but `/init --inspect` works.
#
#     docker build -f examples/docker/scratch.Dockerfile -t app DIRECTORY      # it holds `app`
FROM scratch
COPY --from=sexton /init /init
COPY app /app
ENTRYPOINT ["/init", "--"]
CMD ["/app"]
