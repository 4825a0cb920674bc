"""Calls of the API, tag audit. Written by scripts/client.py from its routes: change those."""

from __future__ import annotations

from ocs.api import trail
from ocs.client.transport import Transport


class AuditCalls(Transport):
    """What the API has under the tag audit."""

    def list_audit_log(
        self, *, limit: int = 100, cursor: str = "", target: str = "", actor: str = ""
    ) -> trail.TrailList:
        """Every change that was made over the API or by `ocs keys`, with before and after."""
        answer: trail.TrailList = self._call(
            "GET",
            "/v1/audit-log",
            trail.TrailList,
            query={"limit": limit, "cursor": cursor, "target": target, "actor": actor},
        )
        return answer
