# As distroless images are: no shell, no package manager, a user with a name who is not root.
#
#     docker build -f examples/docker/distroless.Dockerfile -t app DIRECTORY   # that holds `app`
FROM debian:bookworm-slim AS files
RUN echo 'app:x:65532:65532::/:/sbin/nologin' >/passwd && echo 'app:x:65532:' >/group

FROM scratch
COPY --from=files /passwd /group /etc/
COPY --from=sexton /init /init
COPY app /app
USER app
ENTRYPOINT ["/init", "--"]
CMD ["/app"]
