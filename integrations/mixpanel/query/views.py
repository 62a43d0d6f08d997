"""The Query API's routes: `cohorts/list` and `engage`, by GET and POST. A service account asks; any role may read."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable

import structlog
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import InterfaceError, OperationalError, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, UnreadablePostError
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from cohorts.access import Action, Actor, NotFound, require
from cohorts.catalog import visible_cohorts
from cohorts.expressions import ExpressionError
from cohorts.models import PeopleSession, ServiceAccount
from cohorts.people_sessions import QueryTimeout, SessionUnknown, freeze_people, people_page, session_for
from integrations.mixpanel.body import TooLarge, Undecodable, read_body
from integrations.mixpanel.credentials import CredentialsRefused, querying_actor
from integrations.mixpanel.query import answers
from integrations.mixpanel.query.limits import TooManyQueries, count_query, take_place
from integrations.mixpanel.query.parameters import (
    InvalidQuery,
    PageAsked,
    Parameters,
    read_as_of,
    read_page,
    read_parameters,
    read_question,
)

_MAX_BODY_BYTES = 1024 * 1024
_RETRY_AFTER_SECONDS = 10

logger = structlog.get_logger(__name__)


def _answering(view: Callable[[Actor, Parameters], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Make a view a route of the Query API: who asks and what for, and every refusal in Mixpanel's form."""

    @csrf_exempt
    @login_not_required
    @require_http_methods(["GET", "POST"])
    @functools.wraps(view)
    def answered(request: HttpRequest) -> HttpResponse:
        try:
            parameters = _parameters(request)
            actor = querying_actor(
                authorization=request.headers.get("Authorization", ""),
                project_id=parameters.get("project_id", ""),
                now=timezone.now(),
            )
            require(actor, Action.READ)
            return view(actor, parameters)
        except CredentialsRefused:
            return answers.refused(
                401, "Invalid service account credentials: send its username and secret as HTTP Basic."
            )
        except NotFound as error:
            return answers.refused(403, error.sentence)
        except (InvalidQuery, SessionUnknown, ExpressionError, Undecodable) as error:
            return answers.refused(400, str(error))
        except TooLarge as error:
            return answers.refused(413, str(error))
        except TooManyQueries as error:
            return answers.refused(429, str(error), retry_after=error.retry_after)
        except QueryTimeout as error:
            return answers.refused(503, str(error), retry_after=_RETRY_AFTER_SECONDS)
        except (OperationalError, InterfaceError):
            logger.exception("query_failed", path=request.path)
            return answers.refused(
                503, "The query could not be answered now; repeat it.", retry_after=_RETRY_AFTER_SECONDS
            )
        except UnreadablePostError:
            return HttpResponseBadRequest("The request body broke off.", content_type="text/plain")

    return answered


@_answering
def cohort_list(actor: Actor, parameters: Parameters) -> HttpResponse:  # noqa: ARG001 - nothing to choose
    """List the cohorts that the account sees, by id."""
    count_query(project_id=actor.project.pk)
    return answers.cohort_list(visible_cohorts(actor).defer("definition").order_by("pk"))


@_answering
def engage(actor: Actor, parameters: Parameters) -> HttpResponse:
    """Find people and answer a page of them; the first page freezes who they are for the others."""
    asked = read_page(parameters)
    now = timezone.now()
    assert isinstance(actor.visitor, ServiceAccount)
    if asked.session is not None:
        session = session_for(account=actor.visitor, name=asked.session, question_hash=asked.question_hash, now=now)
    else:
        session = _frozen(actor, actor.visitor, parameters, asked, now)
    return answers.people(people_page(session=session, number=asked.number, names=asked.names))


def _frozen(
    actor: Actor, account: ServiceAccount, parameters: Parameters, asked: PageAsked, now: dt.datetime
) -> PeopleSession:
    question = read_question(parameters, actor=actor)
    as_of = read_as_of(parameters, now=now)
    with transaction.atomic():
        take_place(project_id=actor.project.pk)
        count_query(project_id=actor.project.pk)
        return freeze_people(
            project=actor.project,
            account=account,
            question=question,
            question_hash=asked.question_hash or "",
            as_of=as_of,
            now=now,
            keep=dt.timedelta(minutes=settings.QUERY_SESSION_MINUTES),
            timeout_seconds=settings.QUERY_TIMEOUT_SECONDS,
        )


def _parameters(request: HttpRequest) -> Parameters:
    # From the stream, with an own cap: Django's would answer an oversized body with a page of HTML.
    body = read_body(request, content_encoding=request.headers.get("Content-Encoding", ""), max_bytes=_MAX_BODY_BYTES)
    return read_parameters(
        query=request.META.get("QUERY_STRING", "").encode("latin-1", "replace"),
        body=body,
        content_type=request.headers.get("Content-Type", ""),
    )
