"""Alembic's entry: runs the steps on the connection that ``ocs.billing.migrate`` hands over."""

from __future__ import annotations

from alembic import context

from ocs.billing.invoices import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.customer.metadata,
    version_table="ocs_schema_version",
)
with context.begin_transaction():
    context.run_migrations()
