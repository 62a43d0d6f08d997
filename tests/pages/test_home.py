"""The overview: what is still to do until the first segment is filled, and for whom a step is a button."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from cohorts.models import Project
from tests.cast import make_cohort, make_connection
from tests.pages.words import text_of

pytestmark = pytest.mark.django_db


def test_the_last_step_exports_the_oldest_cohort(as_analyst: Client, shop: Project) -> None:
    url = reverse("project", args=[shop.pk])
    first, _ = make_cohort(shop), make_cohort(shop, "Others")
    export_url = reverse("cohort-export", args=[shop.pk, first.pk])
    assert export_url not in as_analyst.get(url).content.decode()
    make_connection(shop)
    page = as_analyst.get(url)
    assert export_url in page.content.decode()
    assert "Export “Pro users”" in text_of(page)
    assert "Choose another" in text_of(page)


def test_a_consumer_is_offered_no_step_that_the_role_forbids(as_consumer: Client, shop: Project) -> None:
    make_cohort(shop)
    make_connection(shop)
    page = as_consumer.get(reverse("project", args=[shop.pk]))
    assert "Export the cohort" in text_of(page)
    assert "Choose a" not in text_of(page)
    assert "/export/" not in page.content.decode()
