from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from enfpire.exchange.connection import connect
from tests.acceptance.stage import Stage, build_stage


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One real service with a published gallery, for the whole session."""
    with build_stage(tmp_path_factory.mktemp("stage")) as built:
        yield built


@pytest.fixture
def exchange(stage: Stage) -> Iterator[redis.Redis]:
    """A connection to the exchange with its operator's rights."""
    with connect(stage.service.exchange_url) as connection:
        yield connection
