"""Alembic runs this module for each migration."""

from alembic import context

# The caller has begun the transaction, and commits it.
context.configure(
    connection=context.config.attributes["connection"], version_table=context.config.attributes["version_table"]
)
context.run_migrations()
