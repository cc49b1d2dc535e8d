"""Redis and Milvus Lite as we run them: configuration, embedded start, health. Never part of the wheel."""
