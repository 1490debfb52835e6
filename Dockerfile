# make image builds this, also where no engine runs: see deploy/image/build.sh. The build stage runs on the builder's own platform
# and cross-compiles: no emulation is needed for other platforms.
ARG GO=1.26
FROM --platform=$BUILDPLATFORM golang:$GO AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY LICENSE ./
COPY deploy/image ./deploy/image
COPY cmd ./cmd
COPY pkg ./pkg
ARG TARGETOS TARGETARCH VERSION=dev SOURCE_DATE_EPOCH=0
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH deploy/image/rootfs.sh /rootfs

FROM scratch
ARG VERSION=dev REVISION=""
LABEL org.opencontainers.image.title="logferry" \
      org.opencontainers.image.description="Carries Microsoft Entra ID sign-in and audit records to a SIEM" \
      org.opencontainers.image.source="https://github.com/logferry/logferry" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /rootfs/ /
# The only place that logferry writes to: its state, the files of sinks with relative paths, and what the demo makes.
VOLUME ["/var/lib/logferry"]
WORKDIR /var/lib/logferry
ENV TMPDIR=/var/lib/logferry
USER 65532:65532
EXPOSE 9797
# The state file is opened, and after a fault checked, before the endpoint is there: a large one takes its time.
HEALTHCHECK --interval=30s --timeout=2s --start-period=10m CMD ["/logferry", "health"]
ENTRYPOINT ["/logferry"]
CMD ["run", "-c", "/etc/logferry"]
