"""Asynchronous tests in here run on the product's event loop."""

from __future__ import annotations

from tests.support.loops import pytest_asyncio_loop_factories as pytest_asyncio_loop_factories
