"""The assembly of the REST API: routes by noun, reading as the least anybody may, and every failure as a problem."""

from __future__ import annotations

import structlog
from django.core.exceptions import ObjectDoesNotExist, RequestDataTooBig
from django.core.signals import got_request_exception
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from psycopg2.errors import ForeignKeyViolation, UniqueViolation

from cohorts.access import AccessDenied, Action, NotFound
from cohorts.catalog import CohortInUse, InvalidCohort
from cohorts.counting import KeysNotReady
from cohorts.definition import InvalidDefinition
from cohorts.resolve import ResolveTimeout
from cohortsync.api import cohorts, connections, erasures, runs, syncs
from cohortsync.api.auth import may
from cohortsync.api.problems import FieldProblem, Problem, invalid, not_found, unauthenticated, wait
from cohortsync.api.wire import ExactRenderer, StrictParser
from integrations.errors import Conflict, Invalid, Permanent, Temporary

log = structlog.get_logger(__name__)

api = NinjaAPI(
    title="CohortSync",
    version="1",
    description="Cohorts, connections, syncs and runs of one project. The shapes stay; fields may be added.",
    urls_namespace="api-v1",
    # Served by `docs.py`, which adds the errors and needs no other host.
    openapi_url=None,
    docs_url=None,
    auth=may(Action.READ),
    parser=StrictParser(),
    renderer=ExactRenderer(),
)
PROJECT = "projects/{int:project_id}/"
for module in (cohorts, connections, syncs, runs, erasures):
    api.add_router(PROJECT, module.router)

# What a failure of a layer below means to a caller. Each carries its sentence from where the reason was known.
_MESSAGES = {
    "missing": "This field is required.",
    "extra_forbidden": "There is no such field.",
}


@api.exception_handler(Problem)
def _problem(_: HttpRequest, error: Problem) -> HttpResponse:
    return error.response()


@api.exception_handler(AuthenticationError)
def _no_credentials(_: HttpRequest, __: AuthenticationError) -> HttpResponse:
    return unauthenticated(
        "Log in: send a service account's username and secret by HTTP Basic, or use the session of the web pages."
    ).response()


@api.exception_handler(AccessDenied)
def _denied(_: HttpRequest, error: AccessDenied) -> HttpResponse:
    return Problem(403, error.sentence).response()


@api.exception_handler(NotFound)
def _unknown(_: HttpRequest, error: NotFound) -> HttpResponse:
    return not_found(error.sentence, error.field).response()


@api.exception_handler(Http404)
@api.exception_handler(ObjectDoesNotExist)
def _gone(_: HttpRequest, __: Exception) -> HttpResponse:
    return not_found("It is not here, or no longer.").response()


@api.exception_handler(ValidationError)
def _invalid_shape(_: HttpRequest, error: ValidationError) -> HttpResponse:
    return invalid(
        [FieldProblem(_path(item["loc"]), _MESSAGES.get(item["type"], f"{item['msg']}.")) for item in error.errors]
    ).response()


@api.exception_handler(HttpError)
def _unreadable(_: HttpRequest, error: HttpError) -> HttpResponse:
    """A body that is no JSON is the only HttpError of ninja's own."""
    cause = f" ({error.__cause__})" if error.__cause__ else ""
    return invalid([FieldProblem("", f"The body is no valid JSON{cause}.")]).response()


@api.exception_handler(RequestDataTooBig)
def _too_large(_: HttpRequest, __: RequestDataTooBig) -> HttpResponse:
    return Problem(413, "The body is larger than 10 MB.").response()


@api.exception_handler(InvalidDefinition)
def _invalid_definition(_: HttpRequest, error: InvalidDefinition) -> HttpResponse:
    return invalid([FieldProblem(each.field, each.message) for each in error.errors]).response()


@api.exception_handler(InvalidCohort)
@api.exception_handler(Invalid)
def _invalid_input(_: HttpRequest, error: InvalidCohort | Invalid) -> HttpResponse:
    return invalid([FieldProblem(error.field, error.sentence)]).response()


@api.exception_handler(CohortInUse)
@api.exception_handler(Conflict)
@api.exception_handler(KeysNotReady)
def _conflict(_: HttpRequest, error: CohortInUse | Conflict | KeysNotReady) -> HttpResponse:
    return Problem(409, error.sentence).response()


@api.exception_handler(IntegrityError)
def _changed_meanwhile(request: HttpRequest, error: IntegrityError) -> HttpResponse:
    """The database's constraints are the guard against two callers at once; the later one is told so."""
    if not isinstance(error.__cause__, ForeignKeyViolation | UniqueViolation):
        return _internal(request, error)
    log.warning("api_write_lost_a_race", constraint=error.__cause__.diag.constraint_name)
    return Problem(409, "Something this refers to changed at the same moment: read it again, then repeat.").response()


@api.exception_handler(ResolveTimeout)
def _too_slow(_: HttpRequest, error: ResolveTimeout) -> HttpResponse:
    return wait(503, str(error), 60).response()


@api.exception_handler(Temporary)
def _unreachable(_: HttpRequest, error: Temporary) -> HttpResponse:
    return wait(503, error.sentence, error.retry_after_seconds).response()


@api.exception_handler(Permanent)
def _refused_over_there(_: HttpRequest, error: Permanent) -> HttpResponse:
    return invalid([FieldProblem("", error.sentence)]).response()


@api.exception_handler(Exception)
def _internal(request: HttpRequest, _: Exception) -> HttpResponse:
    """The boundary of the API: reported as Django reports it, answered as a problem."""
    # django-structlog logs the traceback on this signal; the test client raises the exception again.
    got_request_exception.send(sender=None, request=request)
    return Problem(500, "CohortSync failed inside; the operator finds the reason in the log.").response()


def _path(location: tuple[str | int, ...]) -> str:
    """Return the dotted path of an input from where pydantic found it: without the source and our argument's name."""
    parts = [str(part) for part in location]
    parts = parts[1:] if parts and parts[0] in {"body", "query", "path"} else parts
    return ".".join(parts[1:] if parts and parts[0] in {"body", "page"} else parts)
