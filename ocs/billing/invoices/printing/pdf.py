"""The paper as PDF: typst with our template, or with the operator's own."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import msgspec
import typst


class TemplateError(Exception):
    """The template cannot be set; the text is typst's own, with the place."""


def pdf_of(paper: dict[str, Any], template: Path | None = None) -> bytes:
    """Set a paper (``paper.paper_of``). ``template`` is the operator's, with what lies beside it, fonts, too; None: ours.

    Raises TemplateError.
    """
    data = msgspec.json.encode(paper).decode()
    with as_file(files("ocs.billing.invoices.printing").joinpath("invoice.typ")) as ours:
        try:
            source = template or ours
            pdf: bytes = typst.compile(
                str(source), root=str(source.parent), font_paths=[str(source.parent)], sys_inputs={"data": data}
            )
        except RuntimeError as error:  # typst's errors are these
            raise TemplateError(str(error)) from error
    return pdf
