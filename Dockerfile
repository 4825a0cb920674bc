# The whole server in one container: `docker run -p 127.0.0.1:8080:8080 -v ocs-data:/data ocs`.
# With valkey_url and postgres_dsn in the settings (or OCS_VALKEY_URL and OCS_POSTGRES_DSN) it runs on yours.
FROM python:3.13-slim AS build
WORKDIR /build
# The hot path is compiled (ocs/native): the compiler stays behind in this stage.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY requirements.lock requirements-run.lock pyproject.toml setup.py README.md LICENSE ./
# Two environments: mypyc has to see the types of the libraries, and is not to come into the image.
RUN python -m venv /opt/build && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
RUN python -m venv /opt/ocs && /opt/ocs/bin/pip install --no-cache-dir --require-hashes -r requirements-run.lock
COPY ocs ocs
COPY protocols protocols
COPY balance balance
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir wheels . && /opt/ocs/bin/pip install --no-deps wheels/*.whl

FROM python:3.13-slim
# PostgreSQL asks for the name of its user; a number alone would not do.
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin ocs \
    && install --directory --owner ocs --group ocs --mode 0711 /data
COPY --from=build /opt/ocs /opt/ocs
COPY config /etc/ocs
# Inside a container loopback is nobody's: the ports are opened, or not, by whoever runs it.
RUN sed -i -e 's/"127\.0\.0\.1:\(3868\|1812\|1813\|8080\)"/"0.0.0.0:\1"/' /etc/ocs/ocs.toml
ENV PATH=/opt/ocs/bin:$PATH OCS_CONFIG=/etc/ocs/ocs.toml OCS_DATA=/data PYTHONUNBUFFERED=1
USER ocs
VOLUME /data
EXPOSE 3868/tcp 1812/udp 1813/udp 8080/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/live', timeout=2)"]
ENTRYPOINT ["ocs"]
CMD ["run"]
