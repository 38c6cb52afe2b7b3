"""How much hypothesis tries."""

from __future__ import annotations

from hypothesis import settings

# `make unit` runs often and tries a part of the examples; `make test` tries all of them.
# Without time limits for an example: the machine may be busy.
settings.register_profile("default", deadline=None)
settings.register_profile("quick", max_examples=20, database=None, deadline=None)
