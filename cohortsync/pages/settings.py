"""The project's settings: its name and rules, the programs that may call, and the lines that point an SDK here.

Everybody in the project sees the token and the lines (the token is public); owners and admins change things.
"""

from __future__ import annotations

import zoneinfo

from django import forms
from django.contrib import messages
from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.urls import path
from django.utils import timezone
from django.views.decorators.cache import never_cache

from cohorts.access import AccessDenied, Action, Actor, has_role, require, roles_up_to
from cohorts.models import Project
from cohorts.models.projects import Role, validate_timezone
from cohorts.projects import (
    InvalidProject,
    create_service_account,
    delete_service_account,
    has_received,
    service_account_for,
    update_project,
    username_for,
)
from cohortsync.pages.access import page
from cohortsync.pages.dialogs import go, show_dialog
from cohortsync.pages.sdks import SDKS

ROLE_WORDS = {
    Role.OWNER: "Owner: everything",
    Role.ADMIN: "Admin: /import, connections, settings",
    Role.ANALYST: "Analyst: cohorts and syncs",
    Role.CONSUMER: "Consumer: reading",
}


class ProjectForm(forms.Form):
    """What can be changed of a project; the rules are the model's, checked by `update_project`."""

    name = forms.CharField(label="Project name", max_length=255)
    timezone = forms.CharField(
        label="Timezone",
        validators=[validate_timezone],
        widget=forms.TextInput(attrs={"list": "timezones", "autocomplete": "off"}),
        help_text="An IANA name such as Europe/Berlin. Days in cohort windows begin and end by it; a change holds from"
        " the next time each cohort is resolved.",
    )
    id_merge = forms.ChoiceField(label="Identity", choices=Project.IdMerge.choices)


class ServiceAccountForm(forms.Form):
    """A program's name and role; the role is at most that of whoever gives it."""

    name = forms.CharField(
        label="Name",
        max_length=64,
        widget=forms.TextInput(attrs={"autofocus": True, "autocomplete": "off"}),
        help_text="What it is for, such as nightly import. A random end is added to make the username.",
    )
    role = forms.ChoiceField(label="Role", initial=Role.ADMIN)

    def __init__(self, posted: QueryDict | None, *, giver: Role) -> None:
        # The dialog stands on the page of the project's form, which has a name too.
        super().__init__(posted, auto_id="account_%s")
        roles = self.fields["role"]
        assert isinstance(roles, forms.ChoiceField)
        roles.choices = [(role, ROLE_WORDS[role]) for role in roles_up_to(giver)]


@page(Action.READ)
def settings(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    """Show the settings; a POST changes the project, for those who may."""
    form = None
    may_change = has_role(actor.role, Action.ADMINISTER.least_role)
    if request.method == "POST":
        require(actor, Action.ADMINISTER)
        form = _project_form(request, actor.project)
        if form.is_valid():
            try:
                update_project(project=actor.project, **form.cleaned_data)
            except InvalidProject as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, "The project's settings are saved.")
                return redirect("settings", actor.project.pk)
    elif may_change:
        form = _project_form(request, actor.project)
    return render(
        request,
        "settings/page.html",
        {
            "section": "settings",
            "form": form,
            "is_identity_fixed": form is not None and form.fields["id_merge"].disabled,
            "accounts": actor.project.service_accounts.order_by("username") if may_change else None,
            "timezones": sorted(zoneinfo.available_timezones()) if may_change else [],
            "sdks": SDKS,
            "host": request.build_absolute_uri("/").rstrip("/"),
            "host_name": request.get_host(),
            "scheme": request.scheme,
        },
        status=422 if form is not None and form.errors else 200,
    )


@page(Action.ADMINISTER)
@never_cache
def new_service_account(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    """Ask for a name and a role, make the account and show its secret: in this answer, and never again."""
    form = ServiceAccountForm(request.POST if request.method == "POST" else None, giver=actor.role)
    context: dict[str, object] = {"section": "settings", "form": form, "origin": _address(actor)}
    if not form.is_valid():
        heading = "New service account"
        return show_dialog(request, "settings/new_account.html", context, heading=heading, is_refused=bool(form.errors))
    account, secret = create_service_account(
        project=actor.project,
        username=username_for(form.cleaned_data["name"]),
        role=form.cleaned_data["role"],
        now=timezone.now(),
    )
    context |= {"account": account, "secret": secret, "host": request.build_absolute_uri("/").rstrip("/")}
    return show_dialog(request, "settings/secret.html", context, heading="Copy the secret now")


@page(Action.ADMINISTER)
def remove_service_account(request: HttpRequest, actor: Actor, account_id: int) -> HttpResponseBase:
    """Ask, then delete a service account of at most the visitor's role."""
    account = service_account_for(project=actor.project, account_id=account_id)
    if not has_role(actor.role, Role(account.role)):
        raise AccessDenied(f"{account.username} has the role {account.role}; only a member with that role deletes it.")
    if request.method == "POST":
        delete_service_account(account=account)
        messages.success(request, f"{account.username} is deleted; its secret opens nothing any more.")
        return go(request, _address(actor))
    context = {"section": "settings", "account": account, "origin": _address(actor)}
    return show_dialog(request, "settings/delete_account.html", context, heading="Delete this service account?")


def _project_form(request: HttpRequest, project: Project) -> ProjectForm:
    initial = {"name": project.name, "timezone": project.timezone, "id_merge": project.id_merge}
    form = ProjectForm(request.POST if request.method == "POST" else None, initial=initial)
    # A disabled field keeps its initial value, whatever is posted.
    form.fields["id_merge"].disabled = has_received(project)
    return form


def _address(actor: Actor) -> str:
    return resolve_url("settings", actor.project.pk)


urlpatterns = [
    path("settings/", settings, name="settings"),
    path("settings/service-accounts/new/", new_service_account, name="service-account-new"),
    path("settings/service-accounts/<int:account_id>/delete/", remove_service_account, name="service-account-delete"),
]
