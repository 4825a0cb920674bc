"""CDR files of switches over HTTP: uploaded, looked after, their faults mended and replayed."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from litestar import Request, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from ocs.api.context import Context, Given
from ocs.api.cursors import Limit
from ocs.api.keys import Scope
from ocs.api.operations import noted, operation
from ocs.api.problems import Kind, Problem
from ocs.api.schemas import Reason
from ocs.api.trail import note
from ocs.billing.mediated import Fault, FaultState, faults_of, files_of, find_fault, mend, set_state
from ocs.gateways.switch_files import Switch
from ocs.mediation import Report
from ocs.mediation_files import folder_of

Actor: TypeAlias = Request[Any, Any, Any]
READ, WRITE = Scope.BILLING_READ, Scope.BILLING_WRITE
UPLOAD_OCTETS_MAX: Final = 64 << 20


def _how(name: str, scope: Scope, *, noted_here: bool = False) -> dict[str, Any]:
    route = operation(name, scope, Kind.BILLING_UNKNOWN, Kind.BILLING_REFUSED, Kind.TOO_LARGE)
    return {"tags": ["mediation"], **(route if noted_here else noted(route))}


class UploadView(msgspec.Struct, frozen=True, kw_only=True):
    """``fingerprint`` (SHA-256) names the file; it is taken within seconds."""

    switch: str
    fingerprint: str
    octets: int


class FileView(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file's rows."""

    switch: str
    name: str
    fingerprint: str
    charged: int
    repeated: int
    passed_over: int
    faulty: int
    is_finished: bool


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``cells`` take the place of the row's, column by column."""

    cells: dict[str, str] = {}


class Dismissal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why the row is not to be charged."""

    reason: Reason


@post(
    "/mediation/{switch:str}/files",
    status_code=202,
    request_max_body_size=UPLOAD_OCTETS_MAX,
    **_how("upload_cdr_file", WRITE),
)
async def upload_cdr_file(switch: FromPath[str], request: Request[Any, Any, Any], context: Given) -> UploadView:
    """Lay a CSV file of a switch (the body, as it is) into its watched folder."""
    mapping = _switch(context, switch)
    if not mapping.folder:
        raise Problem(Kind.BILLING_REFUSED, f"{switch} has no folder in mediation.toml: nobody would take the file")
    octets = await request.body()
    fingerprint = sha256(octets).hexdigest()
    name = Path(mapping.files.replace("*", fingerprint[:32])).name
    await asyncio.to_thread(_lay_down, folder_of(mapping, context.billing.data_dir), name, octets)
    return UploadView(switch=switch, fingerprint=fingerprint, octets=len(octets))


@get("/mediation/files", **_how("list_cdr_files", READ))
async def list_cdr_files(context: Given, switch: FromQuery[str] = "", limit: Limit = 100) -> list[FileView]:
    """The files that were taken, the newest first."""
    async with context.billing.mediation() as (connection, _):
        found = await files_of(connection, switch, limit)
    return [
        FileView(
            switch=each.switch, name=each.name, fingerprint=each.fingerprint.hex(), charged=each.charged,
            repeated=each.repeated, passed_over=each.passed_over, faulty=each.faulty,
            is_finished=each.finished_at is not None,
        )
        for each in found
    ]  # fmt: skip


@get("/mediation/faults", **_how("list_cdr_faults", READ))
async def list_cdr_faults(
    context: Given,
    switch: FromQuery[str] = "",
    in_state: Annotated[FaultState, QueryParameter(name="state")] = FaultState.OPEN,
    limit: Limit = 100,
) -> list[Fault]:
    """Rows that were not charged, with their cells and why; the oldest first."""
    async with context.billing.mediation() as (connection, _):
        return await faults_of(connection, switch, in_state, limit)


@post("/mediation/faults/{fault_id:int}/replay", status_code=200, **_how("replay_cdr_fault", WRITE, noted_here=True))
async def replay_cdr_fault(fault_id: FromPath[int], data: JSONBody[Replay], request: Actor, context: Given) -> Report:
    """Charge a row of the queue, with its cells mended or after what it lacked has been made."""
    async with context.billing.mediation() as (connection, mediation):
        fault = await _open_fault(connection, fault_id)
        if unknown := data.cells.keys() - fault.cells.keys():
            raise Problem(
                Kind.BILLING_REFUSED, f"The row has no column {min(unknown)}; it has {', '.join(fault.cells)}"
            )
        await mend(connection, fault, data.cells)
        report: Report = await mediation.replay(
            _switch(context, fault.switch), [await _open_fault(connection, fault_id)]
        )
        await note(context, request, f"fault {fault_id}", fault, await find_fault(connection, fault_id))
    return report


@post("/mediation/faults/{fault_id:int}/dismiss", status_code=204, **_how("dismiss_cdr_fault", WRITE, noted_here=True))
async def dismiss_cdr_fault(fault_id: FromPath[int], data: JSONBody[Dismissal], request: Actor, context: Given) -> None:
    """Leave a row uncharged for good."""
    async with context.billing.mediation() as (connection, _):
        fault = await _open_fault(connection, fault_id)
        await set_state(connection, fault_id, FaultState.DISMISSED, f"{fault.why}; dismissed: {data.reason}")
        await note(context, request, f"fault {fault_id}", fault, await find_fault(connection, fault_id))


def _switch(context: Context, name: str) -> Switch:
    switches: dict[str, Switch] = context.billing.switches
    if name not in switches:
        raise Problem(Kind.BILLING_UNKNOWN, f"mediation.toml has no switch {name}")
    return switches[name]


async def _open_fault(connection: Any, fault_id: int) -> Fault:
    found = await find_fault(connection, fault_id)
    if found is None or found.state is not FaultState.OPEN:
        raise Problem(Kind.BILLING_UNKNOWN, f"There is no open fault {fault_id}")
    return found


def _lay_down(folder: Path, name: str, octets: bytes) -> None:
    """Whole, or not at all: the watcher takes what has its pattern's name."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{name}.part"
    partial.write_bytes(octets)
    partial.rename(folder / name)


ROUTES: Final = (upload_cdr_file, list_cdr_files, list_cdr_faults, replay_cdr_fault, dismiss_cdr_fault)
