"""Who a query selected, kept for a while; the ids uncompressed and out of line, so that a page reads its part only."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("cohorts", "0005_erasures"),
    ]

    operations = [
        migrations.CreateModel(
            name="PeopleSession",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=64, unique=True)),
                ("question_hash", models.CharField(max_length=64)),
                ("total", models.BigIntegerField()),
                ("person_ids", models.BinaryField()),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField(db_index=True)),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="people_sessions",
                        to="cohorts.project",
                    ),
                ),
                (
                    "service_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="people_sessions",
                        to="cohorts.serviceaccount",
                    ),
                ),
            ],
        ),
        migrations.RunSQL(
            "ALTER TABLE cohorts_peoplesession ALTER COLUMN person_ids SET STORAGE EXTERNAL", migrations.RunSQL.noop
        ),
    ]
