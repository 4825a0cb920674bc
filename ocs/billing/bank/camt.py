"""Bank statements (ISO 20022 camt.053, and .052 and .054 of the same form) to entries. Pure.

Of every version, because only the namespace differs in what is read here. The file comes from outside: entities and
document types are refused (defusedxml). One transaction of a batch is one entry. It may be large: it is never in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from hashlib import sha256
from typing import IO, Final
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


def read_camt(source: IO[bytes], currencies: dict[str, Currency]) -> Iterator[BankEntry]:
    """All booked entries of a file, in its order, while it is read: of one ``Ntry`` at a time. Raises BankFileError."""
    read = 0
    try:
        for iban, place, node in _nodes(source):
            for entry in _entries(node, iban, place, currencies):
                yield entry
                read += 1
    except ParseError as error:
        raise BankFileError(f"is no XML: {error}") from error
    except DefusedXmlException as error:
        raise BankFileError(f"has what a bank file never has: {type(error).__name__}") from error
    except (ValueError, KeyError) as error:
        raise BankFileError(f"entry {read + 1}: {error}") from error


def _nodes(source: IO[bytes]) -> Iterator[tuple[str, int, Element]]:
    """Each entry with its account and its place in the statement; what was read of a statement is let go."""
    path: list[Element] = []
    statement: Element | None = None
    iban, place, is_empty = "", 0, True
    for event, node in iterparse(source, events=("start", "end"), forbid_dtd=True):
        name = node.tag.rpartition("}")[2]
        if event == "start":
            path.append(node)
            if statement is None and name in STATEMENTS:
                statement, iban, place, is_empty = node, "", 0, False
            continue
        path.pop()
        node.tag = name
        if node is statement:
            statement = None
        elif statement is None or path[-1] is not statement:
            continue
        elif name == "Acct":
            iban = _text(node, "Id/IBAN") or _text(node, "Id/Othr/Id")
        elif name == "Ntry":
            yield iban, place, node
            place += 1
        if path:
            path[-1].remove(node)
    if is_empty:
        raise BankFileError("has no statement: camt.053, .052 or .054 is expected")


def _entries(entry: Element, iban: str, place: int, currencies: dict[str, Currency]) -> Iterator[BankEntry]:
    status = _text(entry, "Sts/Cd") or _text(entry, "Sts")
    if status not in {"", "BOOK"}:
        return  # announced, not booked
    booked_on = date.fromisoformat((_text(entry, "BookgDt/Dt") or _text(entry, "BookgDt/DtTm"))[:10])
    is_debit = _text(entry, "CdtDbtInd") == "DBIT"
    is_reversal = _text(entry, "RvslInd").lower() in {"true", "1"}
    details = list(entry.iter("TxDtls")) or [entry]
    for number, each in enumerate(details):
        amount = _first(each, "Amt", "AmtDtls/TxAmt/Amt") if each is not entry else entry.find("Amt")
        if amount is None:
            amount = entry.find("Amt")
        if amount is None:
            raise ValueError("has no amount")
        currency = currencies[amount.get("Ccy", "")]
        try:
            minor = parse_amount((amount.text or "").strip(), currency.digits)
        except AmountError as error:
            raise ValueError(str(error)) from error
        is_out = _text(each, "CdtDbtInd") == "DBIT" if each is not entry and _text(each, "CdtDbtInd") else is_debit
        role = "Cdtr" if is_out else "Dbtr"
        references = _references(each)
        name = _text(each, "Refs/AcctSvcrRef") or _text(each, "Refs/TxId")
        if not name:
            base = _text(entry, "AcctSvcrRef") or _text(entry, "NtryRef") or f"{booked_on}/{place}"
            digest = sha256("\x1f".join((base, str(minor), *references)).encode()).hexdigest()[:12]
            name = f"{base}/{number}" if len(details) > 1 else f"{base}" if _text(entry, "AcctSvcrRef") else digest
        yield BankEntry(
            iban=iban,
            reference=name,
            booked_on=booked_on,
            amount_minor=-minor if is_out else minor,
            currency=currency.code,
            party=_text(each, f"RltdPties/{role}/Nm") or _text(each, f"RltdPties/{role}/Pty/Nm"),
            party_iban=_text(each, f"RltdPties/{role}Acct/Id/IBAN"),
            references=references,
            is_return=is_reversal or each.find("RtrInf") is not None,
        )


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
