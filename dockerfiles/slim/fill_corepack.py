"""
Puts pnpm and yarn, which npm has installed, where corepack keeps what it has
downloaded.

In Codex's image each was called once while it was built. Which yarn that was is
not known; 1.22 is what this one names.
"""

import base64
import json
import shutil
import sys
from pathlib import Path

installed, kept = Path(sys.argv[1]), Path(sys.argv[2])
lock = json.loads((installed / "package-lock.json").read_text(encoding="utf-8"))["packages"]

for name in ("pnpm", "yarn"):
    package = installed / "node_modules" / name
    about = json.loads((package / "package.json").read_text(encoding="utf-8"))
    kind, _, digest = lock[f"node_modules/{name}"]["integrity"].partition("-")
    mark = {
        "locator": {"name": name, "reference": about["version"]},
        "bin": {command: f"./{path.removeprefix('./')}" for command, path in about["bin"].items()},
        "hash": f"{kind}.{base64.b64decode(digest).hex()}",
    }
    (package / ".corepack").write_text(json.dumps(mark), encoding="utf-8")
    target = kept / "v1" / name / about["version"]
    target.parent.mkdir(parents=True)
    shutil.move(package, target)
(kept / "lastKnownGood.json").write_text('{"yarn": "1.22.22"}\n', encoding="utf-8")
