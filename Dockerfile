# Images of ClaraCore: ENGINE is cpu (the default), vulkan, cuda or rocm. Each has the server, its
# worker and an engine. cuda and rocm build llama-server from the source of the pinned version.

ARG ENGINE=cpu
ARG LLAMA_TAG=b10068
ARG CUDA_VERSION=12.8.1
ARG ROCM_VERSION=6.3.4

# ---- The Python packages, hashes checked -------------------------------------------------------
FROM python:3.11-slim-bookworm AS packages
WORKDIR /packages
COPY requirements.lock ./
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock

# ---- The program ---------------------------------------------------------------------------------
FROM scratch AS program
COPY manage.py LICENSE /app/
COPY claracore_site /app/claracore_site
COPY models_app /app/models_app
COPY proxy_app /app/proxy_app
COPY downloads_app /app/downloads_app
COPY ui_app /app/ui_app
COPY templates /app/templates
COPY static /app/static

# Four stages named after the engines hold what differs: system, packages, engine. They are stood on
# by the last one, which is the same for all.


# ---- cpu, and vulkan, which is the same with drivers for GPUs ---------------------------------------
FROM python:3.11-slim-bookworm AS on-cpu
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1=12.* \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --create-home claracore \
 && install -d -o claracore -m 0700 /data
COPY --from=packages /venv /venv

FROM on-cpu AS on-vulkan
RUN apt-get update && apt-get install -y --no-install-recommends mesa-vulkan-drivers=22.* libvulkan1=1.3.* \
 && rm -rf /var/lib/apt/lists/*

# ---- cuda -----------------------------------------------------------------------------------------
FROM nvidia/cuda:${CUDA_VERSION}-devel-ubuntu24.04 AS cuda-engine
ARG LLAMA_TAG
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends cmake git libcurl4-openssl-dev \
 && rm -rf /var/lib/apt/lists/* \
 && git clone --depth 1 --branch "$LLAMA_TAG" https://github.com/ggml-org/llama.cpp /source
WORKDIR /source
RUN cmake -B build -DCMAKE_BUILD_TYPE=Release -DGGML_CUDA=ON -DGGML_NATIVE=OFF \
      -DGGML_BACKEND_DL=ON -DGGML_CPU_ALL_VARIANTS=ON -DCMAKE_INSTALL_RPATH="\$ORIGIN" \
      -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON \
 && cmake --build build --target llama-server -j "$(nproc)"

FROM nvidia/cuda:${CUDA_VERSION}-runtime-ubuntu24.04 AS on-cuda
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 libcurl4 python3 python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --create-home claracore \
 && install -d -o claracore -m 0700 /data
COPY requirements.lock /tmp/
RUN python3 -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/requirements.lock
COPY --from=cuda-engine /source/build/bin /opt/llama
ENV CLARACORE_LLAMA_SERVER=/opt/llama/llama-server

# ---- rocm -----------------------------------------------------------------------------------------
FROM rocm/dev-ubuntu-24.04:${ROCM_VERSION}-complete AS on-rocm
ARG LLAMA_TAG
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends cmake git libcurl4-openssl-dev libgomp1 \
      python3 python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && git clone --depth 1 --branch "$LLAMA_TAG" https://github.com/ggml-org/llama.cpp /source \
 && HIPCXX="$(hipconfig -l)/clang" HIP_PATH="$(hipconfig -R)" cmake -S /source -B /source/build \
      -DCMAKE_BUILD_TYPE=Release -DGGML_HIP=ON -DGGML_NATIVE=OFF -DGGML_BACKEND_DL=ON \
      -DGGML_CPU_ALL_VARIANTS=ON -DCMAKE_INSTALL_RPATH="\$ORIGIN" -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON \
 && cmake --build /source/build --target llama-server -j "$(nproc)" \
 && cp -a /source/build/bin /opt/llama && rm -rf /source \
 && useradd --system --uid 10001 --create-home claracore \
 && install -d -o claracore -m 0700 /data
COPY requirements.lock /tmp/
RUN python3 -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/requirements.lock
ENV CLARACORE_LLAMA_SERVER=/opt/llama/llama-server

# ---- The server ------------------------------------------------------------------------------------
# hadolint ignore=DL3006
FROM on-${ENGINE} AS server
COPY --from=program /app /app
# The file system is read-only when it runs: what Python would keep there is made now.
RUN /venv/bin/python -m compileall -q /app
WORKDIR /app
USER 10001
ENV PATH=/venv/bin:$PATH CLARACORE_HOME=/data PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
VOLUME /data
EXPOSE 5800
CMD ["python", "manage.py", "serve", "--no-worker"]
