# syntax=docker/dockerfile:1
# The image of AdaMem. The steps are those of `make check-wheels`, which runs them without Docker.

FROM rust:1.95.0-slim-bookworm AS build
# The image's own toolchain, without the components that rust-toolchain.toml adds for developers.
ENV RUSTUP_TOOLCHAIN=1.95.0
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN make wheels

FROM python:3.12-slim-bookworm
# Installed as root, so that the server cannot change its own code.
RUN --mount=type=bind,from=build,source=/source,target=/source \
    /source/.ci/install.sh python3 /opt/adamem /source/dist /source/requirements.lock \
    && useradd --uid 10001 --create-home --home-dir /home/adamem --shell /usr/sbin/nologin adamem \
    && install --directory --owner adamem --group adamem /data
ENV PATH=/opt/adamem/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ADAMEM_HOST=0.0.0.0 \
    ADAMEM_DATA_DIR=/data \
    ADAMEM_MODELS_DIR=/data/models
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 50051 9000
# Asks the standard health service. With TLS turned on, give a health check of your own.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import grpc; from grpc_health.v1 import health_pb2 as m, health_pb2_grpc as s; assert s.HealthStub(grpc.insecure_channel('localhost:50051')).Check(m.HealthCheckRequest(), timeout=4).status == 1"]
# SIGTERM ends calls under way and writes the indexes.
STOPSIGNAL SIGTERM
ENTRYPOINT ["adamem"]
CMD ["serve"]
