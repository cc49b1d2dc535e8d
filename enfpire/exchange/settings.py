"""Where the exchange is; the same for both parties, each with its own credential in the URL."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ExchangeSettings(BaseSettings):
    """`ENFPIRE_EXCHANGE_*`."""

    model_config = SettingsConfigDict(env_prefix="ENFPIRE_EXCHANGE_", frozen=True)

    url: str = Field(default="redis://127.0.0.1:6379/0", repr=False)
    reply_seconds: int = Field(default=300, ge=5, description="how long a reply waits for its client")
    task_seconds: int = Field(default=20, ge=1, description="a query task is killed after so long")
