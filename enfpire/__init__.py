"""EnfPire: private photo recognition at the speed of a lookup.

The client sends a protected feature, the server returns a set of candidates, and only the client learns
which of them its photo shows. The SDK's names are loaded on first use, so that a server never loads torch:

    from enfpire import Recognizer
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enfpire.client.job import Job as Job
    from enfpire.client.recognition import Recognition as Recognition
    from enfpire.client.recognizer import Recognizer as Recognizer

__version__ = "0.1.0"
__all__ = ["Job", "Recognition", "Recognizer", "__version__"]

_HOMES = {
    "Job": "enfpire.client.job",
    "Recognition": "enfpire.client.recognition",
    "Recognizer": "enfpire.client.recognizer",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - what a lazy export is, the type checker reads above
    if name not in _HOMES:
        raise AttributeError(f"module 'enfpire' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
