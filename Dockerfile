# The production image: the worker alone, without the simulated WeChat and without the private Postgres.
#
#   docker build -t wxpatrol .

FROM rust:1.95-slim-bookworm AS build
# The TLS library is built from C.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# What comes along is listed in .dockerignore.
COPY . .
RUN cargo build --release --locked --no-default-features --bin wxpatrol

FROM debian:bookworm-slim
# The roots that WeChat's certificate, and Postgres's, are checked against.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin wxpatrol
COPY --from=build /build/target/release/wxpatrol /usr/local/bin/wxpatrol
# A forgotten DATABASE_URL is a fault with a sentence; nothing is ever begun on a container's own disk.
ENV WXPATROL_PRIVATE_POSTGRES=off \
    WXPATROL_STATUS_ADDR=0.0.0.0:9464
USER wxpatrol
EXPOSE 9464
# Alive, not ready: a halted platform or an absent Postgres is no reason to restart the worker. The slim image has no
# curl; bash speaks to the port by itself. Operators' commands in the same image have no status server, and end first.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9464 && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q ' 200 ' <&3"]
ENTRYPOINT ["wxpatrol"]
CMD ["run"]
