# One image for every process of a cluster; which one it is, the command says: python -m services.<name>.entrypoints…
# Needs nothing writable but /tmp and NUTMEG_DATA_DIR, so the root file system may be read-only. Health is asked by
# whoever runs it, at /healthz and /readyz, hence no HEALTHCHECK here.
# linux/amd64: one locked package (faust-streaming) has no wheel for other platforms, and no compiler is put in.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/nutmeg
ENV PATH=/opt/nutmeg/bin:$PATH
WORKDIR /build
# The lock first: what changes seldom is a layer of its own.
COPY requirements/requirements-cluster.txt requirements/
RUN pip install --require-hashes --only-binary :all: --requirement requirements/requirements-cluster.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY services services
COPY shared shared
# The build backend came with the lock, so this step downloads nothing.
RUN pip install --no-deps --no-build-isolation . && python -m compileall -q /opt/nutmeg/lib

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="nutmeg" org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 nutmeg \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/nutmeg --shell /usr/sbin/nologin nutmeg \
 && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/nutmeg /var/lib/nutmeg/feeds
COPY --from=build /opt/nutmeg /opt/nutmeg
ENV PATH=/opt/nutmeg/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NUTMEG_DATA_DIR=/var/lib/nutmeg \
    NUTMEG_HOST=0.0.0.0 \
    NUTMEG_PORT=8080
WORKDIR /var/lib/nutmeg
# By number: Kubernetes checks runAsNonRoot without reading /etc/passwd.
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
CMD ["nutmeg", "--help"]
