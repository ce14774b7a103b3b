# Like a distroless image: no shell, no package manager, and a named user that is not root.
#
#     docker build -f examples/docker/distroless.Dockerfile -t app DIRECTORY   # it holds `app`
FROM debian:bookworm-slim AS files
RUN echo 'app:x:65532:65532::/:/sbin/nologin' >/passwd && echo 'app:x:65532:' >/group

FROM scratch
COPY --from=files /passwd /group /etc/
COPY --from=sexton /init /init
COPY app /app
USER app
ENTRYPOINT ["/init", "--"]
CMD ["/app"]
