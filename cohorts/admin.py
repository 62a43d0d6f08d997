"""The operators' admin for the core: everything can be seen, and changed only what breaks no invariant.

For whoever runs the installation, not for a project's members. `admin_tables.py` has how tables are shown.
"""

# ruff: noqa: ARG002 - Django's hooks have the arguments they have
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone

from cohorts.admin_tables import LargeTableAdmin, OfProject, ReadOnlyAdmin
from cohorts.models import (
    Cohort,
    DistinctId,
    ErasedKey,
    ErasedPerson,
    Erasure,
    Event,
    FormerKey,
    GroupProfile,
    MatchKey,
    MatchProperty,
    Membership,
    PeopleSession,
    Person,
    PersonKey,
    Project,
    Redirect,
    Refusal,
    ServiceAccount,
    User,
)
from cohorts.models.projects import Role
from cohorts.retention import RetentionRefused, check_retention

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    MembershipModelForm = ModelForm[Membership]
    ProjectModelForm = ModelForm[Project]
    NewUserForm = AdminUserCreationForm[User]
    KnownUserForm = UserChangeForm[User]
    UserModelAdmin = DjangoUserAdmin[User]
else:  # generic for the type checker only
    ModelAdmin = admin.ModelAdmin
    MembershipModelForm = ModelForm
    ProjectModelForm = ModelForm
    NewUserForm = AdminUserCreationForm
    KnownUserForm = UserChangeForm
    UserModelAdmin = DjangoUserAdmin


class _UserCreationForm(NewUserForm):
    class Meta:
        model = User
        fields = ("email",)

    def clean_email(self) -> str:
        """Kept in lower case, as logins look for it."""
        return str(self.cleaned_data["email"]).lower()


class _UserChangeForm(KnownUserForm):
    class Meta:
        model = User
        fields = "__all__"

    def clean_email(self) -> str:
        """Kept in lower case, as logins look for it."""
        return str(self.cleaned_data["email"]).lower()


@admin.register(User)
class UserAdmin(UserModelAdmin):
    """People who log in. Nobody is deleted: what they made stays theirs; take `active` away instead."""

    form = _UserChangeForm
    add_form = _UserCreationForm
    ordering = ("email",)
    list_display = ("email", "is_active", "is_staff", "last_login")
    search_fields = ("email",)
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        ("Name", {"fields": ("first_name", "last_name")}),
        ("Operating this installation", {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")
    filter_horizontal = ("groups",)
    add_fieldsets = ((None, {"fields": ("email", "usable_password", "password1", "password2")}),)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class _ProjectForm(ProjectModelForm):
    def clean_retention_months(self) -> int | None:
        """Events that synced cohorts need are kept."""
        months: int | None = self.cleaned_data["retention_months"]
        if months != self.initial.get("retention_months"):
            try:
                check_retention(project=self.instance, months=months, now=timezone.now())
            except RetentionRefused as error:
                raise ValidationError(error.sentence) from error
        return months


@admin.register(Project)
class ProjectAdmin(ModelAdmin):
    """Projects; a new one comes from `manage.py bootstrap`, with its owner and default match property."""

    form = _ProjectForm

    list_display = ("id", "name", "timezone", "id_merge", "created_at")
    list_display_links = ("name",)
    search_fields = ("name",)
    fields = ("name", "timezone", "retention_months", "token", "id_merge", "created_at")
    # SDKs in the field send the token, and data already merged in one way cannot be merged in the other.
    readonly_fields = ("token", "id_merge", "created_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Project | None = None) -> bool:
        return False


class _MembershipForm(MembershipModelForm):
    def clean_role(self) -> str:
        """A project keeps an owner."""
        role = str(self.cleaned_data["role"])
        if self.instance.pk and role != Role.OWNER and _is_last_owner(self.instance):
            raise ValidationError("A project needs an owner: make somebody else one first.")
        return role


@admin.register(Membership)
class MembershipAdmin(ModelAdmin):
    """Who may enter which project, and as what."""

    form = _MembershipForm
    list_display = ("user", "project", "role", "created_at")
    list_filter = ("role",)
    list_select_related = ("user", "project")
    search_fields = ("user__email", "project__name")
    raw_id_fields = ("user", "project")
    # One by one, so that the last owner is noticed.
    actions = None

    def get_readonly_fields(self, request: HttpRequest, obj: Membership | None = None) -> tuple[str, ...]:
        return ("user", "project", "created_at") if obj else ("created_at",)

    def has_delete_permission(self, request: HttpRequest, obj: Membership | None = None) -> bool:
        may_delete = super().has_delete_permission(request, obj)
        return may_delete and not (obj and _is_last_owner(obj))


@admin.register(ServiceAccount)
class ServiceAccountAdmin(ModelAdmin):
    """Programs' credentials: the role and the expiry can be changed, deleting one locks the program out."""

    list_display = ("username", "project", "role", "created_at", "expires_at")
    list_filter = ("role",)
    list_select_related = ("project",)
    search_fields = ("username", "project__name")
    fields = ("project", "username", "role", "expires_at", "created_at")
    readonly_fields = ("project", "username", "created_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(Cohort)
class CohortAdmin(ReadOnlyAdmin):
    """Cohorts; an edit makes syncs due and renames segments, so it goes through the API."""

    list_display = ("id", "name", "project", "visibility", "version", "count", "counted_at", "updated_at")
    list_display_links = ("name",)
    list_filter = ("visibility",)
    list_select_related = ("project",)
    search_fields = ("name",)


@admin.register(MatchProperty)
class MatchPropertyAdmin(ReadOnlyAdmin):
    """The profile properties that name persons at destinations, and how far their backfill is."""

    list_display = ("name", "project", "completed_at", "backfilled_to", "created_at")
    list_select_related = ("project",)


@admin.register(PeopleSession)
class PeopleSessionAdmin(ReadOnlyAdmin):
    """Answers of the Query API that can still be paged through."""

    list_display = ("name", "project", "service_account", "total", "created_at", "expires_at")
    list_select_related = ("project", "service_account")
    fields = ("name", "project", "service_account", "total", "created_at", "expires_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeopleSession]:
        """Leave out the ids, which may be megabytes."""
        return PeopleSession.objects.defer("person_ids")


@admin.register(Refusal)
class RefusalAdmin(ReadOnlyAdmin):
    """Records refused at ingestion, with samples."""

    list_display = ("refused_date", "project", "endpoint", "reason", "count", "last_at")
    list_filter = (OfProject, "endpoint")
    list_select_related = ("project",)
    ordering = ("-refused_date", "-pk")


@admin.register(Erasure)
class ErasureAdmin(ReadOnlyAdmin):
    """Who had persons erased, when and how many; whom, only keyed hashes tell."""

    exclude = ("id_hashes",)
    list_display = ("task_id", "project", "requested_by", "requested_at", "person_count", "event_count", "key_count")
    list_filter = (OfProject,)
    list_select_related = ("project",)
    ordering = ("-pk",)


@admin.register(ErasedPerson)
class ErasedPersonAdmin(ReadOnlyAdmin):
    """Erased persons whose events are being swept."""

    list_display = ("person_id", "project", "erasure", "settled_from_xid")
    list_filter = (OfProject,)
    list_select_related = ("project", "erasure")
    ordering = ("pk",)


@admin.register(ErasedKey)
class ErasedKeyAdmin(ReadOnlyAdmin):
    """Keys of erased persons: due until every tag's removal is answered, then tombstones."""

    list_display = ("match_key_id", "project", "match_property", "erasure", "is_due", "looked_at", "erased_at")
    list_filter = (OfProject, "is_due")
    list_select_related = ("project", "match_property", "erasure")
    ordering = ("-pk",)


@admin.register(Event)
class EventAdmin(LargeTableAdmin):
    """Events, newest first. No page of their own: the id alone would be looked for in every month."""

    list_display = ("name", "occurred_at", "received_at", "distinct_id", "person_id", "insert_id", "properties")
    ordering = ("-dedup_at",)
    search_fields = ("name__exact",)
    search_help_text = "Exact event name"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        return Event.objects.visible()


@admin.register(Person)
class PersonAdmin(LargeTableAdmin):
    """Persons and their profiles."""

    list_display = ("id", "distinct_id", "profile_updated_at", "created_at")
    list_display_links = ("id",)
    fields = ("id", "project", "distinct_id", "properties", "profile_updated_at", "created_at", "all_distinct_ids")
    ordering = ("-id",)
    search_fields = ("id",)
    search_help_text = "Exact distinct_id, any that is known for the person"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Person], search_term: str
    ) -> tuple[QuerySet[Person], bool]:
        if not search_term:
            return queryset, False
        known = DistinctId.objects.filter(project_id=self.project_of(request), distinct_id=search_term)
        return queryset.filter(pk__in=known.values("person_id")), False

    @admin.display(description="Distinct ids")
    def all_distinct_ids(self, person: Person) -> str:
        """The first hundred ids known for the person."""
        known = DistinctId.objects.filter(project_id=person.project_id, person_id=person.pk)
        return ", ".join(known.order_by("distinct_id").values_list("distinct_id", flat=True)[:100])


@admin.register(DistinctId)
class DistinctIdAdmin(LargeTableAdmin):
    """Which person an id belongs to."""

    list_display = ("distinct_id", "person_id", "created_at")
    ordering = ("distinct_id",)
    search_fields = ("distinct_id__exact",)
    search_help_text = "Exact distinct_id"


@admin.register(GroupProfile)
class GroupProfileAdmin(LargeTableAdmin):
    """What is known of companies, teams, accounts."""

    list_display = ("id", "group_key", "group_id", "profile_updated_at", "created_at")
    list_display_links = ("id",)
    fields = ("id", "project", "group_key", "group_id", "properties", "profile_updated_at", "created_at")
    ordering = ("group_key", "group_id")
    search_fields = ("group_id__exact",)
    search_help_text = "Exact group id"


@admin.register(MatchKey)
class MatchKeyAdmin(LargeTableAdmin):
    """The values that name persons at destinations; an erased one is empty."""

    list_display = ("id", "match_property", "value")
    list_select_related = ("match_property",)
    ordering = ("-id",)
    search_fields = ("value__exact",)
    search_help_text = "Exact value"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[MatchKey], search_term: str
    ) -> tuple[QuerySet[MatchKey], bool]:
        if not search_term:
            return queryset, False
        # The index is (project, match property, value): name all three.
        properties = MatchProperty.objects.filter(project_id=self.project_of(request))
        ids = list(properties.values_list("id", flat=True))
        return queryset.filter(match_property_id__in=ids, value=search_term), False


@admin.register(PersonKey)
class PersonKeyAdmin(LargeTableAdmin):
    """Which key a person has, or why the value is no id."""

    list_display = ("person_id", "match_property", "match_key_id", "invalid_reason")
    list_select_related = ("match_property",)
    ordering = ("match_property_id", "person_id")
    search_fields = ("person_id__exact",)
    search_help_text = "Exact person id"


@admin.register(Redirect)
class RedirectAdmin(LargeTableAdmin):
    """Who was merged into whom, and both profiles as they were."""

    list_display = ("loser_id", "winner_id", "created_at", "swept_at")
    ordering = ("loser_id",)
    search_fields = ("winner_id__exact",)
    search_help_text = "Exact id of the person who survived"


@admin.register(FormerKey)
class FormerKeyAdmin(LargeTableAdmin):
    """Which keys a person had before."""

    list_display = ("person_id", "match_key_id")
    ordering = ("person_id", "match_key_id")
    search_fields = ("person_id__exact",)
    search_help_text = "Exact person id"


def _is_last_owner(membership: Membership) -> bool:
    if membership.role != Role.OWNER:
        return False
    owners = Membership.objects.filter(project_id=membership.project_id, role=Role.OWNER)
    return not owners.exclude(pk=membership.pk).exists()
