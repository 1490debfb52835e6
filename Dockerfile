# The build stage runs on the builder's own platform and cross-compiles: no emulation is needed for other platforms.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd ./cmd
COPY pkg ./pkg
ARG TARGETOS TARGETARCH VERSION=dev
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /logferry ./cmd/logferry

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /logferry /logferry
USER 65532:65532
ENTRYPOINT ["/logferry"]
CMD ["run", "-c", "/etc/logferry"]
