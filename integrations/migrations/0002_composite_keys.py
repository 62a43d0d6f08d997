"""No id crosses projects (laws.md, L10): rows that name another row name its project too, and the database checks it."""

from django.db import migrations

# (table, column, referenced table)
REFERENCES = [
    ("integrations_connection", "match_property_id", "cohorts_matchproperty"),
    ("integrations_ledger", "connection_id", "integrations_connection"),
    ("integrations_sync", "cohort_id", "cohorts_cohort"),
    ("integrations_sync", "connection_id", "integrations_connection"),
    ("integrations_sync", "ledger_id", "integrations_ledger"),
    ("integrations_run", "sync_id", "integrations_sync"),
    ("integrations_unmatchedrecipient", "match_key_id", "cohorts_matchkey"),
    ("integrations_rejectedrecipient", "match_key_id", "cohorts_matchkey"),
    ("integrations_rejectedrecipient", "ledger_id", "integrations_ledger"),
]


def _name(table: str, column: str) -> str:
    return f"{table.removeprefix('integrations_')}_{column}_of_project"


ADD = [
    f"ALTER TABLE {table} ADD CONSTRAINT {_name(table, column)} FOREIGN KEY (project_id, {column}) "
    f"REFERENCES {referenced} (project_id, id) DEFERRABLE INITIALLY DEFERRED"
    for table, column, referenced in REFERENCES
]
DROP = [f"ALTER TABLE {table} DROP CONSTRAINT {_name(table, column)}" for table, column, _ in REFERENCES]
# Bitmaps do not compress further; EXTERNAL spares the attempt, and their own autovacuum keeps TOAST from growing.
STORAGE = [
    f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL"
    for table, columns in {
        "integrations_ledgerbitmap": ("delivered", "doubt_set", "doubt_clear"),
        "integrations_ledgerentry": ("recipients",),
        "integrations_runbitmap": ("recipients",),
    }.items()
    for column in columns
] + ["ALTER TABLE integrations_ledgerbitmap SET (toast.autovacuum_vacuum_scale_factor = 0.05)"]


class Migration(migrations.Migration):
    dependencies = [("integrations", "0001_initial"), ("cohorts", "0002_large_tables")]

    operations = [
        migrations.RunSQL(ADD, DROP),
        migrations.RunSQL(STORAGE, migrations.RunSQL.noop),
    ]
