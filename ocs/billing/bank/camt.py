"""Bank statements (ISO 20022 camt.053, and .052 and .054 of the same form) to entries. Pure.

Of every version, because only the namespace differs in what is read here. The file comes from outside: entities and
document types are refused (defusedxml). One transaction of a batch is one entry. It may be large: it is never in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from hashlib import sha256
from typing import IO, Final, NamedTuple
from xml.etree.ElementTree import Element, ParseError

import msgspec
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from balance.money import AmountError, Currency, parse_amount

STATEMENTS: Final = ("Stmt", "Rpt", "Ntfctn")


class BankFileError(Exception):
    """Nothing of the file can be taken; the text says why."""


class BankEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Money that came (``amount_minor`` above zero) or went. ``reference`` names it on its account, in every copy of the file.

    ``references`` are all that the bank says of what it is about, ``is_return``: it takes an earlier entry back.
    """

    iban: str
    reference: str
    booked_on: date
    amount_minor: int
    currency: str
    party: str = ""
    party_iban: str = ""
    references: tuple[str, ...] = ()
    is_return: bool = False

    @property
    def text(self) -> str:
        return " ".join(self.references)


class _Detail(NamedTuple):
    """What one transaction of an entry says, or the entry itself: its amount and currency, name and IBAN of both parties."""

    amount: tuple[str, str] | None
    direction: str
    name: str
    debtor: tuple[str, str]
    creditor: tuple[str, str]
    references: tuple[str, ...]
    is_return: bool


def read_camt(source: IO[bytes], currencies: dict[str, Currency]) -> Iterator[BankEntry]:
    """All booked entries of a file, in its order, while it is read: one transaction of it is a tree at a time. Raises BankFileError."""
    read = 0
    try:
        for iban, place, node, details in _nodes(source):
            for entry in _entries(node, details, iban, place, currencies):
                yield entry
                read += 1
    except ParseError as error:
        raise BankFileError(f"is no XML: {error}") from error
    except DefusedXmlException as error:
        raise BankFileError(f"has what a bank file never has: {type(error).__name__}") from error
    except (ValueError, KeyError) as error:
        raise BankFileError(f"entry {read + 1}: {error}") from error


def _nodes(source: IO[bytes]) -> Iterator[tuple[str, int, Element, list[_Detail]]]:
    """Each entry with its account, its place in the statement and its transactions; what was read is let go."""
    path: list[Element] = []
    details: list[_Detail] = []
    statement: Element | None = None
    iban, place, is_empty = "", 0, True
    for event, node in iterparse(source, events=("start", "end"), forbid_dtd=True):
        name = node.tag.rpartition("}")[2]
        if event == "start":
            path.append(node)
            if name == "Ntry":
                details = []
            elif statement is None and name in STATEMENTS:
                statement, iban, place, is_empty = node, "", 0, False
            continue
        path.pop()
        node.tag = name
        if node is statement:
            statement = None
        elif name == "TxDtls":
            details.append(_detail(node))
        elif statement is None or path[-1] is not statement:
            continue
        elif name == "Acct":
            iban = _text(node, "Id/IBAN") or _text(node, "Id/Othr/Id")
        elif name == "Ntry":
            yield iban, place, node, details
            place += 1
        if path:
            path[-1].remove(node)
    if is_empty:
        raise BankFileError("has no statement: camt.053, .052 or .054 is expected")


def _entries(
    entry: Element, details: list[_Detail], iban: str, place: int, currencies: dict[str, Currency]
) -> Iterator[BankEntry]:
    status = _text(entry, "Sts/Cd") or _text(entry, "Sts")
    if status not in {"", "BOOK"}:
        return  # announced, not booked
    booked_on = date.fromisoformat((_text(entry, "BookgDt/Dt") or _text(entry, "BookgDt/DtTm"))[:10])
    whole = _detail(entry)
    is_reversal = _text(entry, "RvslInd").lower() in {"true", "1"}
    bank_name = _text(entry, "AcctSvcrRef")
    for number, each in enumerate(details or [whole]):
        amount = each.amount or whole.amount
        if amount is None:
            raise ValueError("has no amount")
        currency = currencies[amount[1]]
        try:
            minor = parse_amount(amount[0], currency.digits)
        except AmountError as error:
            raise ValueError(str(error)) from error
        is_out = (each.direction or whole.direction) == "DBIT"
        name = each.name
        if not name:
            base = bank_name or _text(entry, "NtryRef") or f"{booked_on}/{place}"
            digest = sha256("\x1f".join((base, str(minor), *each.references)).encode()).hexdigest()[:12]
            name = f"{base}/{number}" if len(details) > 1 else bank_name or digest
        party, party_iban = each.creditor if is_out else each.debtor
        yield BankEntry(
            iban=iban, reference=name, booked_on=booked_on, amount_minor=-minor if is_out else minor,
            currency=currency.code, party=party, party_iban=party_iban, references=each.references,
            is_return=is_reversal or each.is_return,
        )  # fmt: skip


def _detail(node: Element) -> _Detail:
    amount = _first(node, "Amt", "AmtDtls/TxAmt/Amt")
    return _Detail(
        amount=None if amount is None else ((amount.text or "").strip(), amount.get("Ccy", "")),
        direction=_text(node, "CdtDbtInd"),
        name=_text(node, "Refs/AcctSvcrRef") or _text(node, "Refs/TxId"),
        debtor=_party(node, "Dbtr"),
        creditor=_party(node, "Cdtr"),
        references=_references(node),
        is_return=node.find("RtrInf") is not None,
    )


def _party(node: Element, role: str) -> tuple[str, str]:
    name = _text(node, f"RltdPties/{role}/Nm") or _text(node, f"RltdPties/{role}/Pty/Nm")
    return name, _text(node, f"RltdPties/{role}Acct/Id/IBAN")


def _references(node: Element) -> tuple[str, ...]:
    """What the payer and the banks say of it: free text, structured references, ids."""
    paths = (
        "RmtInf/Ustrd",
        "RmtInf/Strd/CdtrRefInf/Ref",
        "RmtInf/Strd/RfrdDocInf/Nb",
        "Refs/EndToEndId",
        "Refs/MndtId",
    )
    texts = [(each.text or "").strip() for path in paths for each in node.iterfind(path)]
    original = [_text(node, f"RtrInf/{path}") for path in ("OrgnlBkTxCd/Prtry/Cd", "Rsn/Cd", "AddtlInf")]
    texts += [text for text in (*original, _text(node, "AddtlTxInf"), _text(node, "AddtlNtryInf")) if text]
    return tuple(dict.fromkeys(text for text in texts if text and text != "NOTPROVIDED"))


def _first(node: Element, *paths: str) -> Element | None:
    return next((found for path in paths if (found := node.find(path)) is not None), None)


def _text(node: Element, path: str) -> str:
    found = node.find(path)
    return (found.text or "").strip() if found is not None else ""
