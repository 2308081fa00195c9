# Builds the programs of Lethe, a target each. `make images` makes the same without Docker, on no base
# image; a test (hack/lab/release) holds the two together.
#
#   docker build --target manager       -t lethe.dev/manager .
#   docker build --target stager        -t lethe.dev/stager .
#   docker build --target portal        -t lethe.dev/portal .
#   docker build --target kubectl-lethe -t lethe.dev/kubectl-lethe .
#   docker build --target minio         -t lethe.dev/minio .
#
# The same commit gives the same programs, byte for byte, with the same Go: no path, no time
# and no state of the repository is in them. For an image that is the same too, name both base
# images by digest, and let BuildKit set all times to that of the commit:
#
#   export SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
#   docker buildx build --target manager --provenance=false \
#     --build-arg VERSION=$(git describe --tags --always --dirty) --build-arg SOURCE_DATE_EPOCH \
#     --build-arg GO_IMAGE=golang:1.26@sha256:... --build-arg BASE_IMAGE=gcr.io/distroless/static@sha256:... \
#     --output type=image,name=registry.example.com/lethe/manager,push=true,rewrite-timestamp=true .
#
# The digests are not written down here, because a digest that nobody renews is a base
# image without its security fixes. "docker buildx imagetools inspect golang:1.26" shows the newest;
# a release notes those that it was built with.
ARG GO_IMAGE=golang:1.26
ARG BASE_IMAGE=gcr.io/distroless/static:nonroot

FROM ${GO_IMAGE} AS go
# No other Go than the image's, whatever go.mod asks for, and only what go.sum knows.
ENV CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS="-trimpath -buildvcs=false -mod=readonly"
WORKDIR /src

FROM go AS build
COPY go.mod go.sum ./
RUN go mod download
COPY api api
COPY controllers controllers
COPY webhook webhook
COPY portal portal
COPY cmd cmd
# What "version" says; it is the only thing that comes in beside the sources.
ARG VERSION=
RUN go build -ldflags="-s -w -buildid= -X main.version=${VERSION}" -o /out/ ./cmd/manager ./cmd/stager ./cmd/portal ./cmd/kubectl-lethe

# The store of config/overlays/single-node: the version that Lethe is tested with
# (hack/lab/toolchain), from its sources, because nobody publishes images of it any more. Its
# licence is AGPL-3.0; Lethe speaks to it over the network and has nothing of it.
FROM go AS build-minio
RUN GOFLAGS="-trimpath -buildvcs=false" GOBIN=/out go install -ldflags="-s -w -buildid=" \
    github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c

# Nothing but certificates, a user and the program: no shell, no package manager.
FROM ${BASE_IMAGE} AS base
USER 65532:65532

FROM base AS minio
COPY --from=build-minio /out/minio /minio
ENTRYPOINT ["/minio"]

FROM base AS manager
COPY --from=build /out/manager /manager
ENTRYPOINT ["/manager"]

FROM base AS stager
COPY --from=build /out/stager /stager
ENTRYPOINT ["/stager"]

FROM base AS portal
COPY --from=build /out/portal /portal
ENTRYPOINT ["/portal"]
CMD ["serve"]

FROM base AS kubectl-lethe
COPY --from=build /out/kubectl-lethe /kubectl-lethe
ENTRYPOINT ["/kubectl-lethe"]
