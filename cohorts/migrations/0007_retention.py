"""How many months a project keeps its events; none for all that exist: for ever."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("cohorts", "0006_people_sessions")]

    operations = [
        migrations.AddField(
            model_name="project",
            name="retention_months",
            field=models.PositiveSmallIntegerField(blank=True, null=True),
        ),
        migrations.AddConstraint(
            model_name="project",
            constraint=models.CheckConstraint(
                condition=models.Q(("retention_months__gte", 1)), name="project_retention_is_a_month"
            ),
        ),
    ]
