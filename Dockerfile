# One image for all programs: the service (`livestream-server serve`), the gateway alone (`gateway --target ...`),
# and the client's command (`--entrypoint livestream`).
#
# The base is named by tag. For builds that can be repeated, put its digest here (python:3.13-slim@sha256:...): it
# could not be looked up where this file was written. Everything on top of it is locked by hash.

FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements/run.txt requirements/build.txt requirements/
# Without build isolation: what has no wheel is built by the setuptools that is locked here, not by the newest.
RUN python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/build.txt \
    && /opt/build/bin/python -m pip wheel --no-cache-dir --require-hashes --no-deps --no-build-isolation --wheel-dir wheels -r requirements/run.txt \
    && /opt/build/bin/python -m pip install --no-cache-dir --no-deps --no-index wheels/googleapis_common_protos-*.whl
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY protos protos
COPY server server
COPY clients clients
RUN /opt/build/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir wheels . \
    && python -m venv /opt/livestream \
    && /opt/livestream/bin/python -m pip install --no-cache-dir --no-deps --no-index wheels/*.whl \
    && /opt/livestream/bin/python -m pip check \
    && /opt/livestream/bin/python -m pip uninstall --yes pip

FROM python:3.13-slim
COPY --from=build /opt/livestream /opt/livestream
# The only directory that is written to, besides /tmp; unused where pictures go to a bucket.
RUN install -d -o 10001 -g 10001 /var/lib/livestream/media
ENV PATH=/opt/livestream/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    MEDIA_DIRECTORY=/var/lib/livestream/media \
    LIVESTREAM_OPERATIONS_ADDRESS=:9090 \
    GATEWAY_OPERATIONS_ADDRESS=:9090
WORKDIR /var/lib/livestream
USER 10001:10001
# 9090 is for probes and metrics, and never public.
EXPOSE 50051 8080 9090
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:9090/readyz', timeout=4)"]
ENTRYPOINT ["livestream-server"]
CMD ["serve", "--grpc", ":50051", "--http", ":8080"]
