"""The client's own settings; the exchange's URL is in `ExchangeSettings`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024


class ClientSettings(BaseSettings):
    """`ENFPIRE_CLIENT_*`."""

    model_config = SettingsConfigDict(env_prefix="ENFPIRE_CLIENT_", frozen=True)

    id: str = Field(default="", description="the id that the operator registered")
    key: str = Field(default="", repr=False, description="the key that came with it, 64 hexadecimal digits")
    store: str = Field(default="~/.enfpire", repr=False, description="directory, *.sqlite file, or redis:// URL")
    broker_url: str = Field(default="", repr=False, description="the client's own Redis, for resolution workers")
    weights: str = Field(default="", description="weights file, where the bundle's network needs one")
    photos_per_query: Annotated[int, Field(ge=1, le=1024)] = 256
    window: Annotated[int, Field(ge=1)] = Field(default=8, description="most queries on their way at a time")
    deadline_seconds: Annotated[float, Field(gt=0, le=600)] = Field(
        default=10, description="then a query is asked again"
    )
    patience_seconds: Annotated[float, Field(gt=0)] = Field(
        default=600, description="how long the exchange may be gone before a job is interrupted"
    )
    memory_bytes: Annotated[int, Field(ge=0)] = Field(
        default=256 * MIB, description="candidate sets that are kept for a gallery; 0 turns the memory off"
    )
    resolve_seconds: Annotated[int, Field(ge=1)] = Field(default=30, description="a resolution task is killed then")
