"""One judging process for all tests of this folder."""

import pytest
from submissions import ROOT

from sslcourse.cli.grade import nursery, pool, released

if not nursery.available():
    pytest.skip("grading forks, which this system cannot", allow_module_level=True)


@pytest.fixture(scope="session")
def plans():
    return {week: released.plan(ROOT, week) for week in released.known(ROOT)}


@pytest.fixture(scope="session")
def server(plans):
    """The judging process of this test run, which also `sslcourse grade` in this process uses."""
    yield pool.server(plans, [ROOT / "notebooks"])
    pool.close()
