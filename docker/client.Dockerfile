# The client's side: the SDK and its command line with the extractor, and the resolution workers.
FROM python:3.11-slim

# Photo to feature runs on the CPU here; give another index for CUDA wheels.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1
WORKDIR /app

RUN pip install --index-url "$TORCH_INDEX" torch torchvision
COPY pyproject.toml README.md LICENSE ./
COPY enfpire enfpire
RUN pip install ".[client]" && rm -rf enfpire build *.egg-info
COPY workers/__init__.py workers/resolution.py workers/

RUN useradd --create-home --uid 10001 enfpire
USER enfpire

CMD ["celery", "-A", "workers.resolution", "worker", "--hostname", "resolution@%h", "--pool", "prefork", \
     "--concurrency", "2", "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
