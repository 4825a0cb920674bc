"""The products RADIUS is spoken with: dictionaries and profiles, read from their folders. The only module here with IO."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from ocs.errors import EXIT_CONFIG, StartRefusedError
from ocs.gateways.radius_profile import Dialect, read_profile
from ocs.rating.faults import ConfigFault, FaultList, Problem, did_you_mean
from ocs.settings import Radius, RadiusClient
from protocols.radius.dictionary import Dictionary, read_dictionary
from protocols.radius.reading import Field, Reader

PROFILE_OCTETS_MAX: Final = 1 << 20

Fault: TypeAlias = Callable[[tuple[str | int, ...], str, str], None]


class Products(msgspec.Struct, frozen=True):
    """All that one configuration folder says of RADIUS products."""

    dictionary: Dictionary
    dialects: dict[str, Dialect]

    def dialect_of(self, client: RadiusClient) -> Dialect:
        """How this client speaks. Raises StartRefusedError for a profile or an attribute that is not there."""
        for field, message, cure in self.problems_of(client):
            raise StartRefusedError(f"radius client {client.name}: {field}: {message} ({cure})", EXIT_CONFIG)
        dialect = self.dialects[client.profile]
        return dialect.with_account(client.account_from, self.dictionary) if client.account_from else dialect

    def problems_of(self, client: RadiusClient) -> list[Problem]:
        """What a client says of products that are not there."""
        found = []
        if client.profile not in self.dialects:
            cure = did_you_mean(client.profile, self.dialects)
            found.append(Problem("profile", f"there is no profile {client.profile}", cure))
        for fault in Reader(self.dictionary, {Field.ACCOUNT: client.account_from}).faults:
            cure = did_you_mean(fault.near, (attribute.name for attribute in self.dictionary.attributes.values()))
            found.append(Problem("account_from", f"{fault.name} {fault.message}", cure))
        return found


def load_products(config_dir: Path, settings: Radius) -> Products:
    """Raises StartRefusedError with every fault on a line of its own."""
    dictionary, found = load_dictionary(config_dir / settings.dictionaries)
    dialects, faults = load_profiles(config_dir, settings.profiles, dictionary)
    lines = found + [str(fault) for fault in faults]
    if lines:
        raise StartRefusedError("\n".join(lines), EXIT_CONFIG)
    return Products(dictionary, dialects)


def load_dictionary(folder: Path) -> tuple[Dictionary, list[str]]:
    """Read ``folder/dictionary`` and what it includes, and all faults in it."""

    def read_text(path: str) -> str | None:
        file = folder / path
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None

    dictionary, faults = read_dictionary("dictionary", read_text)
    return dictionary, [f"{folder}/{fault}" for fault in faults]


def load_profiles(
    config_dir: Path, folder: str, dictionary: Dictionary
) -> tuple[dict[str, Dialect], list[ConfigFault]]:
    """Every ``*.toml`` of the folder under its file's name, and all faults in them."""
    dialects: dict[str, Dialect] = {}
    faults: list[ConfigFault] = []
    for path in sorted((config_dir / folder).glob("*.toml")):
        found = FaultList(f"{config_dir}/{path.relative_to(config_dir)}")
        dialect = read_profile(path.stem, _text(path, found), dictionary, found)
        faults += found.sorted()
        if dialect is not None:
            dialects[path.stem] = dialect
    return dialects, faults


def check_products(config_dir: Path, settings: Radius, fault: Fault) -> list[str]:
    """All faults of dictionaries and profiles; ``fault`` is told of those in what the settings' clients say of them."""
    dictionary, lines = load_dictionary(config_dir / settings.dictionaries)
    dialects, faults = load_profiles(config_dir, settings.profiles, dictionary)
    products = Products(dictionary, dialects)
    lines += [str(each) for each in faults]
    for at, client in enumerate(settings.clients if not lines else ()):
        for field, message, cure in products.problems_of(client):
            fault(("radius", "clients", at, field), message, cure)
    return lines


def _text(path: Path, faults: FaultList) -> str:
    try:
        if path.stat().st_size <= PROFILE_OCTETS_MAX:
            return path.read_text(encoding="utf-8")
        faults.add(0, "file", f"is larger than {PROFILE_OCTETS_MAX} octets", "is it the right file?")
    except (OSError, UnicodeDecodeError) as error:
        faults.add(0, "file", f"cannot be read: {error}", "it has to be UTF-8 text that this user may read")
    return ""
