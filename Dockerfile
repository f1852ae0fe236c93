# The image of every Stretto process: `docker build -t stretto .`, then `docker run stretto run capture`.
ARG PYTHON=3.11
ARG POSTGRES=18

# pg_dump, pg_restore and psql for `stretto follower add`, with the libraries that are not the C library's own.
FROM postgres:${POSTGRES} AS client
COPY deploy/image/collect-client /
RUN sh /collect-client /client

FROM python:${PYTHON}-slim AS build
WORKDIR /src
# Parts of requirements.lock: versions and hashes of what it needs to run, and of what builds it.
COPY deploy/image/run.lock deploy/image/build.lock ./
RUN python -m venv /build && python -m venv --without-pip /opt/stretto \
 && /build/bin/pip install --no-cache-dir --only-binary :all: --require-hashes -r build.lock \
 && /build/bin/pip --python /opt/stretto/bin/python install --no-cache-dir --only-binary :all: --require-hashes -r run.lock
COPY pyproject.toml LICENSE README.md ./
COPY schemas schemas
COPY connectors connectors
COPY producers producers
COPY consumers consumers
COPY stretto stretto
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation -w /build/dist . \
 && /build/bin/pip --python /opt/stretto/bin/python install --no-deps --no-index /build/dist/*.whl \
 && /opt/stretto/bin/python -m compileall -q /opt/stretto/lib

FROM python:${PYTHON}-slim
RUN groupadd --system --gid 10001 stretto \
 && useradd --system --uid 10001 --gid stretto --home-dir /var/lib/stretto --create-home --shell /usr/sbin/nologin stretto
COPY --from=client /client /opt/client
COPY --from=build /opt/stretto /opt/stretto
# One port for whichever process runs: a container has one. Inside it, loopback would hide it from everybody.
ENV PATH=/opt/stretto/bin:/opt/client/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    STRETTO_HTTP__HOST=0.0.0.0 \
    STRETTO_HTTP__CAPTURE_PORT=9188 \
    STRETTO_HTTP__FOLLOWER_PORT=9188 \
    STRETTO_HTTP__LAG_PORT=9188 \
    STRETTO_HTTP__WEB_PORT=9188 \
    STRETTO_FOLLOWER__SPILL_DIR=/var/lib/stretto
USER stretto
WORKDIR /var/lib/stretto
EXPOSE 9188
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "stretto.process.healthcheck", "9188"]
ENTRYPOINT ["stretto"]
CMD ["--help"]
