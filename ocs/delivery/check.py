"""``delivery.toml`` and the words together: who is told of an event has to be told in words that there are."""

from __future__ import annotations

from pathlib import Path

from ocs.charging.account_events import EVENT_TYPES
from ocs.delivery.settings import DELIVERY_FILE, EVERY_EVENT, Delivery, load_delivery
from ocs.delivery.words import WORDS_FOLDER, Dictionary, load_words
from ocs.rating.faults import ConfigFault


def check_delivery(config_dir: Path) -> list[ConfigFault]:
    """Every fault of both."""
    read = read_delivery(config_dir)
    return read if isinstance(read, list) else []


def read_delivery(config_dir: Path) -> tuple[Delivery, Dictionary] | list[ConfigFault]:
    """Both, or every fault of them."""
    delivery = load_delivery(config_dir)
    language = delivery.file.language if isinstance(delivery, Delivery) else "en"
    words = load_words(config_dir, language)
    if isinstance(delivery, list) or isinstance(words, list):
        return [*(delivery if isinstance(delivery, list) else ()), *(words if isinstance(words, list) else ())]
    named = {name for tell in delivery.file.tell for name in tell.events}
    told = EVENT_TYPES if EVERY_EVENT in named else named
    faults = [
        ConfigFault(
            DELIVERY_FILE,
            1,
            "tell",
            f"there are no words for {name}",
            f"add [{name}] to {WORDS_FOLDER}/{language}.toml",
        )
        for name in sorted(told)
        if not words.knows(name)
    ]
    return faults or (delivery, words)
