"""How the operators' admin shows tables: to look at, and the large ones project by project.

Large tables are opened in the order of an index and without counting them. `cohorts/admin.py` and
`integrations/admin.py` have the tables.
"""

# ruff: noqa: ARG002 - Django's hooks have the arguments they have
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property

from cohorts.models import Project

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    RowPaginator = Paginator[Any]
else:  # generic for the type checker only
    ModelAdmin = admin.ModelAdmin
    RowPaginator = Paginator


class FirstRowsPaginator(RowPaginator):
    """Pages over the first thousand rows: a list is for looking, and counting a hundred million rows is not."""

    ROWS = 1000

    @cached_property
    def count(self) -> int:
        """Return how many rows there are, at most ROWS; the database stops there too."""
        assert isinstance(self.object_list, QuerySet)
        return len(self.object_list.order_by()[: self.ROWS].values_list("pk", flat=True))


class ReadOnlyAdmin(ModelAdmin):
    """Rows that only CohortSync itself writes."""

    paginator = FirstRowsPaginator
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class OfProject(admin.SimpleListFilter):
    """The rows of one project."""

    title = "project"
    parameter_name = "project"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(project.pk), f"{project.pk}: {project.name}") for project in Project.objects.order_by("id")[:500]]

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        if chosen is None:
            return queryset
        return queryset.filter(project_id=chosen) if chosen.isdecimal() else queryset.none()


class OfOneProject(OfProject):
    """None chosen, no rows: every index of a large table leads with the project."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.none() if self.value() is None else super().queryset(request, queryset)


class OfProjectChangeList(ChangeList):
    """Links to a row by project and id, since the primary keys lead with the project."""

    def url_for_result(self, result: Any) -> str:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return reverse(name, args=[f"{result.project_id}-{result.pk}"], current_app=self.model_admin.admin_site.name)


class LargeTableAdmin(ReadOnlyAdmin):
    """A table of millions, looked at within one project. Subclasses order by an index and search by equality."""

    list_filter = (OfOneProject,)
    list_display_links: Any = None

    def project_of(self, request: HttpRequest) -> int:
        """Return the id of the chosen project; 0, which none has, without one."""
        chosen = request.GET.get(OfOneProject.parameter_name, "")
        return int(chosen) if chosen.isdecimal() else 0

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return OfProjectChangeList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        project_id, _, row_id = unquote(object_id).partition("-")
        if not (project_id.isdecimal() and row_id.isdecimal()):
            return None
        return self.get_queryset(request).filter(project_id=project_id, pk=row_id).first()
