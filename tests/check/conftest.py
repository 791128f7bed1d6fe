"""What all tests of checks share."""

import pytest

from sslcourse.check import machinery


@pytest.fixture(params=range(3), ids=lambda seed: f"seed {seed}")
def seeds(request, monkeypatch):
    """Right stays right, whatever numbers are drawn."""
    monkeypatch.setattr(machinery, "SEED", request.param)
