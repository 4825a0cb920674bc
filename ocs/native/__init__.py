"""The hot path compiled, and its memory: see README.md. Everything runs without, at twice the cost."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any


def is_compiled() -> bool:
    """Whether this installation was built with a C compiler."""
    return find_spec("ocs.native.heap") is not None


def batches() -> Any:
    """Datagrams by the batch (``udp.pyi``); None where that was not built, as it is for Linux alone."""
    return import_module("ocs.native.udp") if find_spec("ocs.native.udp") is not None else None


def use_huge_pages() -> None:
    """Take the memory of small objects in huge pages from now on; nothing where that was not built."""
    if is_compiled():
        from ocs.native import heap

        heap.use_huge_pages()
