"""What an operator's worker must know; `ENFPIRE_SERVER_*`."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from enfpire.wire.query import Name


class ServerSettings(BaseSettings):
    """`ENFPIRE_SERVER_MILVUS_URI`, `..._MILVUS_TOKEN` and `..._GALLERIES` (`a,b` or a JSON list)."""

    model_config = SettingsConfigDict(env_prefix="ENFPIRE_SERVER_", frozen=True)

    milvus_uri: str = "http://127.0.0.1:19530"
    milvus_token: str | None = Field(default=None, repr=False, description="`user:password`, or an API key")
    galleries: Annotated[tuple[Name, ...], NoDecode] = Field(default=(), description="whose queues to work on")

    @field_validator("galleries", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:  # noqa: ANN401 - whatever stands in the environment
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            return json.loads(value)
        return tuple(name.strip() for name in value.split(",") if name.strip())
