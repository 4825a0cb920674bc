"""What stops the reading of a sheet: each with sheet, row, column and cure, so that nothing is guessed in silence."""

from __future__ import annotations

from typing import Final, NamedTuple

FAULTS_MAX: Final = 50


class Place(NamedTuple):
    """Where in a workbook; ``row`` 0 is the sheet as a whole, ``column`` is the text of its header."""

    sheet: str = ""
    row: int = 0
    column: str = ""

    def __str__(self) -> str:
        row = f"row {self.row}" if self.row else ""
        return ", ".join(part for part in (self.sheet, row, self.column and f"column {self.column!r}") if part)


class SheetFault(NamedTuple):
    """What is wrong where, and what to do about it."""

    place: Place
    message: str
    cure: str

    def __str__(self) -> str:
        where = f"{self.place}: " if str(self.place) else ""
        return f"{where}{self.message} ({self.cure})"


class SheetFaultsError(Exception):
    """The sheet cannot be taken over as it is; ``faults`` says why, the first FAULTS_MAX of ``count``."""

    def __init__(self, faults: list[SheetFault], count: int = 0) -> None:
        self.faults = tuple(faults[:FAULTS_MAX])
        self.count = max(count, len(faults))
        more = f"\nand {self.count - len(self.faults)} more" if self.count > len(self.faults) else ""
        super().__init__("\n".join(map(str, self.faults)) + more)


class CellError(ValueError):
    """One cell cannot be read; the text says why, ``cure`` what to do."""

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message)
        self.cure = cure
