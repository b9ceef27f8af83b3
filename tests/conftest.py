"""For all tests: nothing of the user's environment and config.py, and hypothesis the same everywhere.

In CI (the variable CI is set) hypothesis tries the same examples every time; elsewhere it looks for new ones.
"""

import os

import hypothesis

for _name in [name for name in os.environ if name.startswith("TIPY_")]:
    del os.environ[_name]
os.environ["TIPY_CONFIG"] = ""             # also for the programs that tests start

hypothesis.settings.register_profile(
    "tipy", deadline=None, max_examples=60, derandomize="CI" in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("tipy")
