"""Container engines: the protocol, the Docker implementation, and the search for one.

Only this package imports docker. Importing `engine.protocol` does not import docker.
"""

from __future__ import annotations
