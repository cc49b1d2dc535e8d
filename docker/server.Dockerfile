# The operator's candidate workers: no torch, no image library, nothing of the client's.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 \
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
WORKDIR /app

COPY pyproject.toml README.md LICENSE ./
COPY enfpire enfpire
RUN pip install ".[server]" && rm -rf enfpire build *.egg-info
COPY workers/__init__.py workers/candidates.py workers/

RUN useradd --create-home --uid 10001 enfpire
USER enfpire

CMD ["celery", "-A", "workers.candidates", "worker", "--hostname", "candidates@%h", "--pool", "prefork", \
     "--concurrency", "2", "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
