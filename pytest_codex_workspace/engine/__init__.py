"""Container engines: the protocol, Docker's implementation, a fake, and how to find one.

Nothing outside this package imports docker, and importing `engine.protocol`
does not import it either.
"""

from __future__ import annotations
