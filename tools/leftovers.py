import sys

from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.docker.find import find_engine
from pytest_codex_workspace.engine.session_id import owner_is_gone
from pytest_codex_workspace.errors import EngineError

engine = find_engine()


def is_left(one):
    return owner_is_gone(one.labels.get(labels.PID, "")) is not False


def is_held(network):
    """
    Whether the engine itself will not let go of it: some lose count of endpoints.
    """
    try:
        engine.remove_network(network.id)
    except EngineError as error:
        print(f"the engine keeps an empty network: {error}")
        return True
    return False


found = [
    f"container {one.name}" for one in engine.containers({labels.SESSION: None}) if is_left(one)
]
networks = [one for one in engine.networks({labels.SESSION: None}) if is_left(one)]
found += [f"network {one.name}" for one in networks if not is_held(one)]
engine.close()
if found:
    sys.exit("left on the engine after the tests: " + ", ".join(found))
print("nothing of ours is left on the engine but the caches")
