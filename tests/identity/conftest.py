"""A project in each mode."""

from tests.ingest.conftest import shop, simple_shop

__all__ = ["shop", "simple_shop"]
