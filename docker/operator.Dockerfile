# The operator's tools: enrol, fit and publish on its own photos. It holds the operator's signing key (in the volume).
FROM python:3.11-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1
WORKDIR /app

RUN pip install --index-url "$TORCH_INDEX" torch torchvision
COPY pyproject.toml README.md LICENSE ./
COPY enfpire enfpire
RUN pip install ".[curation]" && rm -rf enfpire build *.egg-info

# Made here, so that the volume that is mounted over it belongs to the user.
RUN useradd --create-home --uid 10001 enfpire && install -d -o enfpire -g enfpire -m 700 /workspace
USER enfpire
ENV ENFPIRE_OPERATOR_WORKSPACE=/workspace

ENTRYPOINT ["enfpire"]
CMD ["--help"]
