"""Alembic's folder: ``env`` connects, ``versions`` holds one file a step."""
