# Builds the three programs of Lethe. One target each:
#   docker build --target manager     -t lethe.dev/manager .
#   docker build --target stager      -t lethe.dev/stager .
#   docker build --target kubectl-lethe -t lethe.dev/kubectl-lethe .
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY api api
COPY controllers controllers
COPY cmd cmd
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /out/ ./cmd/manager ./cmd/stager ./cmd/kubectl-lethe

# Nothing but certificates, a user and the program: no shell, no package manager.
FROM gcr.io/distroless/static:nonroot AS base
USER 65532:65532

FROM base AS manager
COPY --from=build /out/manager /manager
ENTRYPOINT ["/manager"]

FROM base AS stager
COPY --from=build /out/stager /stager
ENTRYPOINT ["/stager"]

FROM base AS kubectl-lethe
COPY --from=build /out/kubectl-lethe /kubectl-lethe
ENTRYPOINT ["/kubectl-lethe"]
