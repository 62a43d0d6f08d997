"""Erasures: the requests, the persons whose events are still to be swept, the keys whose values are to be erased."""

import uuid

import django.db.models.deletion
from django.db import migrations, models

# Deleting a person looks for the keys they hold; the primary key has the match property before the person.
INDEX = [
    "DROP INDEX CONCURRENTLY IF EXISTS cohorts_personkey_person",
    "CREATE INDEX CONCURRENTLY cohorts_personkey_person ON cohorts_personkey (project_id, person_id)",
]
# No id crosses projects (laws.md, L10).
REFERENCES = [
    "ALTER TABLE cohorts_erasedperson ADD CONSTRAINT erasedperson_erasure_of_project "
    "FOREIGN KEY (project_id, erasure_id) REFERENCES cohorts_erasure (project_id, id) DEFERRABLE INITIALLY DEFERRED",
    "ALTER TABLE cohorts_erasedkey ADD CONSTRAINT erasedkey_erasure_of_project "
    "FOREIGN KEY (project_id, erasure_id) REFERENCES cohorts_erasure (project_id, id) DEFERRABLE INITIALLY DEFERRED",
    "ALTER TABLE cohorts_erasedkey ADD CONSTRAINT erasedkey_match_key_of_project "
    "FOREIGN KEY (project_id, match_key_id) REFERENCES cohorts_matchkey (project_id, id) ON DELETE CASCADE",
]
UNREFERENCE = [
    "ALTER TABLE cohorts_erasedkey DROP CONSTRAINT erasedkey_match_key_of_project",
    "ALTER TABLE cohorts_erasedkey DROP CONSTRAINT erasedkey_erasure_of_project",
    "ALTER TABLE cohorts_erasedperson DROP CONSTRAINT erasedperson_erasure_of_project",
]


class Migration(migrations.Migration):
    # The index is built beside running writers, which no transaction allows.
    atomic = False

    dependencies = [("cohorts", "0002_large_tables")]

    operations = [
        migrations.RunSQL(INDEX, INDEX[:1]),
        migrations.CreateModel(
            name="Erasure",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("task_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("requested_by", models.CharField(max_length=255)),
                ("compliance_type", models.CharField(max_length=16)),
                ("requested_at", models.DateTimeField()),
                ("id_hashes", models.JSONField(default=list)),
                ("person_count", models.PositiveIntegerField()),
                ("key_count", models.PositiveIntegerField()),
                ("event_count", models.BigIntegerField(default=0)),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="erasures", to="cohorts.project"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ErasedPerson",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("person_id", models.BigIntegerField()),
                ("settled_from_xid", models.BigIntegerField(null=True)),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="cohorts.project"
                    ),
                ),
                (
                    "erasure",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="persons", to="cohorts.erasure"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ErasedKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("is_due", models.BooleanField(default=True)),
                ("erased_at", models.DateTimeField(null=True)),
                ("value_hash", models.BinaryField(null=True)),
                (
                    "match_key",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="cohorts.matchkey",
                    ),
                ),
                (
                    "match_property",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="cohorts.matchproperty"
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="cohorts.project"
                    ),
                ),
                (
                    "erasure",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="keys", to="cohorts.erasure"
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="erasure",
            constraint=models.UniqueConstraint(fields=("project", "id"), name="erasure_of_project"),
        ),
        migrations.AddConstraint(
            model_name="erasedperson",
            constraint=models.UniqueConstraint(fields=("project", "person_id"), name="one_row_per_erased_person"),
        ),
        migrations.AddIndex(
            model_name="erasedkey",
            index=models.Index(
                condition=models.Q(("is_due", True)), fields=["project", "match_property"], name="erasedkey_due"
            ),
        ),
        migrations.AddIndex(
            model_name="erasedkey",
            index=models.Index(
                condition=models.Q(("value_hash__isnull", False)),
                fields=["project", "match_property", "value_hash"],
                name="erasedkey_tombstone",
            ),
        ),
        migrations.AddConstraint(
            model_name="erasedkey",
            constraint=models.UniqueConstraint(fields=("project", "match_key"), name="one_row_per_erased_key"),
        ),
        migrations.RunSQL(REFERENCES, UNREFERENCE),
    ]
