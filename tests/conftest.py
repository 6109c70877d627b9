"""What holds for all tests: how many random examples Hypothesis tries, and no settings of the machine's user."""

import os

import pytest
from hypothesis import HealthCheck, settings

# Examples take longer on a busy machine; a limit for each would fail by chance. pytest-timeout bounds whole tests.
# The fast ones are the same in every run, which fails for what was changed alone; the slow ones look for what is new.
settings.register_profile(
    "fast", deadline=None, max_examples=50, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("slow", parent=settings.get_profile("fast"), max_examples=2000, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(autouse=True, scope="session")
def _no_settings_of_the_user():
    """Variables that change the server or the client are removed, here and so in every process that a test starts."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("ADAMEM_", "MEMORY_")) or name in {"EMBED_MODEL", "DEFAULT_NS"}:
                patch.delenv(name)
        yield
