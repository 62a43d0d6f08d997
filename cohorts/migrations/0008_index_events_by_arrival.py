"""The index by arrival, built beside running ingestion: one partition at a time, none of them locked against writers."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

PARENT = "cohorts_event_received"

# Partitions without a valid index attached to the parent's, and what a broken-off attempt left of one.
UNINDEXED = """
SELECT child.oid::regclass::text, child.relname || '_received' FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'cohorts_event'::regclass AND NOT EXISTS (
    SELECT FROM pg_inherits AS attached JOIN pg_index ON pg_index.indexrelid = attached.inhrelid
    WHERE attached.inhparent = %s::regclass AND pg_index.indrelid = child.oid)
ORDER BY child.relname
"""


def create(_apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Make the parent's index, which every later partition gets by itself; then the partitions', and attach them."""
    with editor.connection.cursor() as cursor:
        cursor.execute(f"CREATE INDEX IF NOT EXISTS {PARENT} ON ONLY cohorts_event (project_id, received_at)")
        cursor.execute(UNINDEXED, [PARENT])
        for table, index in cursor.fetchall():
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")
            cursor.execute(f"CREATE INDEX CONCURRENTLY {index} ON {table} (project_id, received_at)")
            cursor.execute(f"ALTER INDEX {PARENT} ATTACH PARTITION {index}")


def drop(_apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Drop it with those of the partitions."""
    with editor.connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX IF EXISTS {PARENT}")


class Migration(migrations.Migration):
    # CREATE INDEX CONCURRENTLY runs outside of transactions; run again, it goes on where it was broken off.
    atomic = False
    dependencies = [("cohorts", "0007_retention")]

    operations = [migrations.RunPython(create, drop)]
