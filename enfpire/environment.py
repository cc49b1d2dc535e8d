"""Settings from the environment, and a clear line where one of them cannot be used."""

from __future__ import annotations

import sys
from typing import NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from enfpire.errors import EnfPireError, UsageError

Settings = TypeVar("Settings", bound=BaseSettings)


def settings_error(error: ValidationError) -> UsageError | None:
    """What is wrong with which variable, without its value; None where no settings are at fault."""
    prefixes = {kind.__name__: str(kind.model_config["env_prefix"]) for kind in BaseSettings.__subclasses__()}
    if error.title not in prefixes:
        return None
    found = error.errors(include_url=False, include_context=False, include_input=False)
    faults = [f"{prefixes[error.title]}{str(one['loc'][0]).upper()}: {one['msg']}" for one in found]
    return UsageError(f"correct or unset what stands in the environment: {'; '.join(faults)}")


def settings_or_exit(kind: type[Settings]) -> Settings:
    """Settings of a process that starts; a bad one ends it with one line on stderr."""
    try:
        return kind()
    except ValidationError as error:
        refuse_to_start(settings_error(error) or error)


def refuse_to_start(error: Exception) -> NoReturn:
    """End this process with one line on stderr: whoever imports its module would show a traceback instead."""
    print(f"enfpire: {error}", file=sys.stderr)
    sys.exit(error.exit_code if isinstance(error, EnfPireError) else 1)
