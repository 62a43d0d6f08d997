"""Persons, the ids known for them, and match keys: who someone is here and over there.

The tables are made in SQL (migration 0002), since their primary keys lead with `project_id` so that the schema can be
distributed by it; Django knows their `id` as the key, which one sequence per table keeps unique over all projects.
"""

from __future__ import annotations

from django.db import models

from cohorts.models.projects import Project


class Person(models.Model):
    """One human. No properties: anonymous, and never exported."""

    id = models.BigAutoField(primary_key=True)
    project = models.ForeignKey(Project, on_delete=models.DO_NOTHING, db_constraint=False)
    # The canonical distinct_id, the only one that queries, exports and syncs show.
    distinct_id = models.TextField()
    properties = models.JSONField(default=dict)
    # Mixpanel's $last_seen: the last profile operation through an ingestion endpoint.
    profile_updated_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    # When an identity event first named the canonical id; NULL for a person nobody identified.
    identified_at = models.DateTimeField(null=True)
    # The profile written to the literal id of an alias (Mixpanel: $ignore_alias); no distinct_id leads to it.
    is_literal = models.BooleanField(default=False)

    class Meta:
        db_table = "cohorts_person"

    def __str__(self) -> str:
        return self.distinct_id


class DistinctId(models.Model):
    """One id known for a person."""

    id = models.BigAutoField(primary_key=True)
    project = models.ForeignKey(Project, on_delete=models.DO_NOTHING, db_constraint=False)
    distinct_id = models.TextField()
    person = models.ForeignKey(Person, on_delete=models.DO_NOTHING, db_constraint=False, related_name="distinct_ids")
    created_at = models.DateTimeField()

    class Meta:
        db_table = "cohorts_distinctid"

    def __str__(self) -> str:
        return self.distinct_id


class Redirect(models.Model):
    """A person who was merged into another one: the loser's events count for the winner, never in a chain.

    The profiles are as the merge found them, NULL where the loser had none. Once swept, no event bears the loser's id
    any more (laws.md, L2). Made in SQL (migration 0003), the primary key leads with `project_id`.
    """

    loser_id = models.BigIntegerField(primary_key=True)
    project = models.ForeignKey(Project, on_delete=models.DO_NOTHING, db_constraint=False)
    winner_id = models.BigIntegerField()
    created_at = models.DateTimeField()
    loser_properties = models.JSONField(null=True)
    winner_properties = models.JSONField(null=True)
    swept_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "cohorts_redirect"

    def __str__(self) -> str:
        return f"{self.loser_id} is now {self.winner_id}"


class MatchProperty(models.Model):
    """A profile property that names a person at a destination. Complete once its backfill is done (laws.md, L6)."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="match_properties")
    name = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)
    # The last person id whose key the backfill has written; every person up to it, and every later writer, is covered.
    backfilled_to = models.BigIntegerField(default=0)
    completed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "match properties"
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="one_match_property_per_name"),
            models.UniqueConstraint(fields=["project", "id"], name="match_property_of_project"),
        ]

    def __str__(self) -> str:
        return self.name


class MatchKey(models.Model):
    """One distinct value of a match property. Ids are 32 bits, never reused, and are what bitmaps hold.

    `value` is NULL once the last person behind it was erased and every removal was answered (a tombstone).
    """

    id = models.AutoField(primary_key=True)
    project = models.ForeignKey(Project, on_delete=models.DO_NOTHING, db_constraint=False)
    match_property = models.ForeignKey(MatchProperty, on_delete=models.DO_NOTHING, db_constraint=False)
    value = models.TextField(null=True)

    class Meta:
        db_table = "cohorts_matchkey"

    def __str__(self) -> str:
        return f"key {self.pk}"


class PersonKey(models.Model):
    """The key a person's match property gives; without a key, `invalid_reason` says why the value is no id."""

    id = models.BigAutoField(primary_key=True)
    project = models.ForeignKey(Project, on_delete=models.DO_NOTHING, db_constraint=False)
    match_property = models.ForeignKey(MatchProperty, on_delete=models.DO_NOTHING, db_constraint=False)
    person = models.ForeignKey(Person, on_delete=models.DO_NOTHING, db_constraint=False, related_name="keys")
    match_key = models.ForeignKey(MatchKey, on_delete=models.DO_NOTHING, db_constraint=False, null=True)
    invalid_reason = models.TextField(null=True)

    class Meta:
        db_table = "cohorts_personkey"

    def __str__(self) -> str:
        return f"person {self.person_id}: key {self.match_key_id}"


class FormerKey(models.Model):
    """A key that a person had before their match property changed: erasing the person erases its value too."""

    id = models.BigAutoField(primary_key=True)
    project = models.ForeignKey(Project, on_delete=models.DO_NOTHING, db_constraint=False)
    person = models.ForeignKey(Person, on_delete=models.DO_NOTHING, db_constraint=False, related_name="former_keys")
    match_key = models.ForeignKey(MatchKey, on_delete=models.DO_NOTHING, db_constraint=False)

    class Meta:
        db_table = "cohorts_formerkey"

    def __str__(self) -> str:
        return f"person {self.person_id}: once key {self.match_key_id}"
