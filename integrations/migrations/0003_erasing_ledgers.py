"""Ledgers with tags of erased persons to be removed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("integrations", "0002_composite_keys"), ("cohorts", "0005_erasures")]

    operations = [
        migrations.AddField(
            model_name="ledger",
            name="is_erasing",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
