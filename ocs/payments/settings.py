"""``config/payments.toml``: how automatic top-ups and the collection of invoices go about failures, and chargebacks."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from balance.money import AmountError, parse_amount
from ocs.errors import EXIT_CONFIG, StartRefusedError
from ocs.rating.faults import ConfigFault, FaultList, did_you_mean
from ocs.rating.tomlfile import TomlFile

PAYMENTS_FILE: Final = "payments.toml"
FEE_SCALE: Final = 6
PRENOTIFICATION_DAYS_MAX: Final = 30
RETRIES_MAX: Final = 15
"""Visa lets an issuer's "no" be tried again fifteen times in thirty days, and no more."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class AutomaticTopUps(_Section, frozen=True):
    """After a failure: the first pause, the second ... in minutes; after the last one's failure the rule stops.

    ``burst_count``: so many at most in ``burst_minutes``, whatever an account's rule allows for the day.
    """

    retry_minutes: tuple[int, ...] = (60, 360, 1440)
    burst_count: int = 2
    burst_minutes: int = 60


class Collection(_Section, frozen=True):
    """Invoices by card and direct debit: after a failure the next try so many days later, and none after the last.

    ``prenotification_days``: a direct debit is announced so long before it is collected, and not collected earlier; 0: it is not.

    ``return_fee`` and ``chargeback_fee`` are net, in the customer's currency, on the next invoice: for a direct debit that
    was returned after it had been paid, and for a card's chargeback. Empty: none.
    """

    retry_days: tuple[int, ...] = (3, 5, 7)
    prenotification_days: int = 0
    return_fee: str = ""
    chargeback_fee: str = ""


class Chargebacks(_Section, frozen=True):
    """Whether a chargeback of a top-up blocks the prepaid account, beside taking the money from it."""

    block_account: bool = True


class PaymentsFile(_Section, frozen=True):
    """The whole file."""

    automatic_top_up: AutomaticTopUps = AutomaticTopUps()
    collection: Collection = Collection()
    chargebacks: Chargebacks = Chargebacks()


def load_payments(config_dir: Path) -> PaymentsFile | list[ConfigFault]:
    """Read the file beside the settings; without one everything is as it is here."""
    faults = FaultList(PAYMENTS_FILE)
    try:
        text = (config_dir / PAYMENTS_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return PaymentsFile()
    except (OSError, UnicodeDecodeError) as error:
        faults.add(1, "file", f"cannot be read: {error}", "save it as UTF-8, readable for us")
        return faults.sorted()
    found = parse_payments(text, faults)
    return faults.sorted() or found


def read_payments(config_dir: Path) -> PaymentsFile:
    """The same for who starts. Raises StartRefusedError with every fault."""
    found = load_payments(config_dir)
    if isinstance(found, PaymentsFile):
        return found
    raise StartRefusedError(f"{PAYMENTS_FILE} has faults:\n" + "\n".join(map(str, found)), EXIT_CONFIG)


def parse_payments(text: str, faults: FaultList) -> PaymentsFile:
    file = TomlFile(text, faults)
    for name in file.table.keys() - set(PaymentsFile.__struct_fields__):
        file.fault((name,), "is not a known table", did_you_mean(name, PaymentsFile.__struct_fields__))
    sections = {
        field.name: file.decode(file.table.get(field.name, {}), field.type, (field.name,)) or field.default
        for field in msgspec.structs.fields(PaymentsFile)
    }
    found = PaymentsFile(**sections)
    pauses = {
        ("automatic_top_up", "retry_minutes"): (found.automatic_top_up.retry_minutes, 43_200),
        ("collection", "retry_days"): (found.collection.retry_days, 90),
    }
    for path, (values, most) in pauses.items():
        if len(values) > RETRIES_MAX or any(not 1 <= value <= most for value in values):
            file.fault(path, "is too long, or has a pause out of range", f"at most {RETRIES_MAX}, each 1 to {most}")
    if not 0 <= found.collection.prenotification_days <= PRENOTIFICATION_DAYS_MAX:
        file.fault(("collection", "prenotification_days"), "is out of range", f"0 to {PRENOTIFICATION_DAYS_MAX}")
    burst = found.automatic_top_up
    if not (1 <= burst.burst_count <= 100 and 1 <= burst.burst_minutes <= 1440):
        file.fault(("automatic_top_up", "burst_count"), "or burst_minutes is out of range", "1 to 100, 1 to 1440")
    for name in ("return_fee", "chargeback_fee"):
        if fault := _fee_fault(getattr(found.collection, name)):
            file.fault(("collection", name), fault, 'an amount such as "7.50", or nothing')
    return found


def _fee_fault(text: str) -> str:
    try:
        return "" if not text or parse_amount(text, FEE_SCALE) > 0 else f"{text!r} is not above zero"
    except AmountError as error:
        return str(error)
