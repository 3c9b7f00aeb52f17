"""The stack of the end-to-end tests, with agents of another processor beside its own."""
import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from stack_under_test import WORK, Stack  # noqa: E402 (needs the path above)


@pytest.fixture(scope="session")
def stack():
    WORK.mkdir(parents=True, exist_ok=True)
    with Stack("cross") as running:
        yield running
    shutil.rmtree(WORK, ignore_errors=True)
