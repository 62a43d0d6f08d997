"""What merging persons needs: when a person was identified, and where the events of a merged-away one went."""

import django.db.models.deletion
from django.db import migrations, models

CREATE = """
ALTER TABLE cohorts_person ADD COLUMN identified_at timestamptz;

CREATE TABLE cohorts_redirect (
    project_id bigint NOT NULL REFERENCES cohorts_project (id) ON DELETE CASCADE,
    loser_id bigint NOT NULL,
    winner_id bigint NOT NULL,
    created_at timestamptz NOT NULL,
    loser_properties jsonb,
    winner_properties jsonb,
    -- The transaction of the sweep that first saw it: every ingest that may hold an older answer has a smaller id.
    noticed_xid xid8,
    swept_at timestamptz,
    PRIMARY KEY (project_id, loser_id)
);
CREATE INDEX cohorts_redirect_winner ON cohorts_redirect (project_id, winner_id);
CREATE INDEX cohorts_redirect_unswept ON cohorts_redirect (project_id, loser_id) INCLUDE (winner_id)
    WHERE swept_at IS NULL;
"""

DROP = """
DROP TABLE cohorts_redirect;
ALTER TABLE cohorts_person DROP COLUMN identified_at;
"""


class Migration(migrations.Migration):
    dependencies = [("cohorts", "0002_large_tables")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(CREATE, DROP)],
            state_operations=[
                migrations.AddField(model_name="person", name="identified_at", field=models.DateTimeField(null=True)),
                migrations.CreateModel(
                    name="Redirect",
                    fields=[
                        ("loser_id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("winner_id", models.BigIntegerField()),
                        ("created_at", models.DateTimeField()),
                        ("loser_properties", models.JSONField(null=True)),
                        ("winner_properties", models.JSONField(null=True)),
                        ("swept_at", models.DateTimeField(null=True)),
                        (
                            "project",
                            models.ForeignKey(
                                db_constraint=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                to="cohorts.project",
                            ),
                        ),
                    ],
                    options={"db_table": "cohorts_redirect"},
                ),
            ],
        ),
    ]
