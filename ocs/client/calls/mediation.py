"""Calls of the API, tag mediation. Written by scripts/client.py from its routes: change those."""

from __future__ import annotations

from ocs import mediation as ocs_mediation
from ocs.api import mediation
from ocs.billing import mediated as ocs_billing_mediated
from ocs.client.transport import Transport, segment


class MediationCalls(Transport):
    """What the API has under the tag mediation."""

    def upload_cdr_file(self, switch: str, content: bytes) -> mediation.UploadView:
        """Lay a CSV file of a switch (the body, as it is) into its watched folder."""
        answer: mediation.UploadView = self._call(
            "POST", f"/v1/mediation/{segment(switch)}/files", mediation.UploadView, content=content
        )
        return answer

    def list_cdr_files(self, *, switch: str = "", limit: int = 100) -> list[mediation.FileView]:
        """The files that were taken, the newest first."""
        answer: list[mediation.FileView] = self._call(
            "GET", "/v1/mediation/files", list[mediation.FileView], query={"switch": switch, "limit": limit}
        )
        return answer

    def list_cdr_faults(
        self,
        *,
        switch: str = "",
        in_state: ocs_billing_mediated.FaultState = ocs_billing_mediated.FaultState.OPEN,
        limit: int = 100,
    ) -> list[ocs_billing_mediated.Fault]:
        """Rows that were not charged, with their cells and why; the oldest first."""
        answer: list[ocs_billing_mediated.Fault] = self._call(
            "GET",
            "/v1/mediation/faults",
            list[ocs_billing_mediated.Fault],
            query={"switch": switch, "state": in_state, "limit": limit},
        )
        return answer

    def replay_cdr_fault(self, fault_id: int, data: mediation.Replay) -> ocs_mediation.Report:
        """Charge a row of the queue, with its cells mended or after what it lacked has been made."""
        answer: ocs_mediation.Report = self._call(
            "POST", f"/v1/mediation/faults/{segment(fault_id)}/replay", ocs_mediation.Report, content=data
        )
        return answer

    def dismiss_cdr_fault(self, fault_id: int, data: mediation.Dismissal) -> None:
        """Leave a row uncharged for good."""
        answer: None = self._call("POST", f"/v1/mediation/faults/{segment(fault_id)}/dismiss", None, content=data)
        return answer
