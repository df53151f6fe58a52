# The operator's image: nothing but the binary, the libraries that it names, CA certificates and the CRDs.
# The same files as `make image` puts into it, which needs no daemon.
#
#   docker build --tag vault-secrets-operator .
FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
RUN cargo build --release --locked --bin vault-secrets-operator \
    && hack/image rootfs --binary target/release/vault-secrets-operator --output /rootfs

FROM scratch
COPY --from=build /rootfs /
# With a heap for each thread the process takes a MiB more.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt MALLOC_ARENA_MAX=1
# Nothing is written below /: run it with a read-only root file system.
USER 65532:65532
ENTRYPOINT ["/vault-secrets-operator"]
