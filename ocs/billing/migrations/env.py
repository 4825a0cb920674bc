"""Alembic's entry: runs the steps on the connection that ``ocs.billing.migrate`` hands over."""

from __future__ import annotations

from alembic import context

import ocs.billing.invoices.tables  # adds its tables to the metadata
from ocs.billing.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="ocs_schema_version",
)
with context.begin_transaction():
    context.run_migrations()
