"""Commands that Codex runs otherwise than a machine of yours."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.codex import RESUME, SETUP

from ....helpers.checking import findings_in, found_by_setup, found_in


@pytest.mark.parametrize(
    "text",
    [
        "docker build -t x .",
        "docker-compose up -d",
        "podman run x",
        "x=$(docker ps -q)",
        "kind create cluster",
        "timeout 60 docker pull x",
        "minikube start",
        "npx supabase start",
    ],
)
def test_docker(text):
    """
    Each program that needs an engine.
    """
    assert "error docker 2" in found_by_setup(text.replace("npx ", ""))


@pytest.mark.parametrize(
    "text",
    [
        "command -v docker >/dev/null && docker build .",
        "which docker && docker ps",
        "docker info || true",
        "if docker info; then echo yes; fi",
        "echo docker build .",
        "pip install docker",
        "cat docker/compose.yaml",
        "kind of",
    ],
)
def test_no_docker(text):
    """
    The script asks first, tolerates the failure, or does not run it.
    """
    assert [] == found_by_setup(text)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("sudo apt-get update", "warning"),
        ("sudo -E apt-get update", "note"),
        ("FOO=1 sudo make", "warning"),
        ("if sudo true; then true; fi", "warning"),
        ("curl x | sudo tee /etc/x", "warning"),
        ("command -v sudo && sudo apt-get update", "note"),
        ("sudo npm ci", "error"),
        ("sudo -E -H pip install x", "error"),
        ("sudo gem install x", "error"),
    ],
)
def test_sudo(text, level):
    """
    It removes the proxy's variables, unless it keeps the environment, and does not find what is in
    the folder of a version manager.
    """
    assert f"{level} sudo 2" in found_by_setup(text)


@pytest.mark.parametrize("text", ["echo sudo", "apt-get install -y sudo", "# sudo", "cat sudo.txt"])
def test_no_sudo(text):
    """
    A word is no command.
    """
    assert [] == found_by_setup(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("npm install -g yarn", True),
        ("npm i --global yarn@1.22.22", True),
        ("npm install -g pnpm yarn", True),
        ("sudo npm add -g yarn", True),
        ("bash -lc 'npm install -g yarn'", True),
        ("npm install -g --force yarn", False),
        ("npm install -g yarn || true", False),
        ("npm install -g yarn-deduplicate", False),
        ("npm install yarn", False),
        ("corepack enable", False),
    ],
)
def test_yarn_over_corepack(text, found):
    """
    EEXIST, unless it is forced.
    """
    assert found is ("error yarn-global 2" in found_by_setup(text))


def test_pnpm_over_corepack_may_fail():
    """
    That follows from how the image is made.
    """
    assert ["warning yarn-global 2"] == found_by_setup("npm install -g pnpm@9")


@pytest.mark.parametrize(
    "text",
    [
        'cd "$(dirname "$0")/.."',
        'DIR="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"',
        'ROOT=$(realpath "$0")',
        'cd "${0%/*}"',
    ],
)
def test_a_script_that_looks_beside_itself(text):
    """
    Codex stores it in /tmp.
    """
    assert ["warning script-location 2"] == found_by_setup(text)


def test_a_called_script_may_look_beside_itself():
    """
    It is a file of the repository.
    """
    assert [] == found_by_setup("bash a.sh", {"a.sh": 'cd "$(dirname "$0")"\n'})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("export API=1", ["warning export-lost 2"]),
        ("export A=1 B=2\necho done", ["warning export-lost 2", "warning export-lost 2"]),
        ("declare -x A=1", ["warning export-lost 2"]),
        ('export PATH="$HOME/tool/bin:$PATH"\nmake', ["warning export-lost 2"]),
        ("export DATABASE_URL=x\npython manage.py migrate", ["note export-lost 2"]),
        ("export V=1\ncurl -fsSL https://x/$V -o f", []),
        ('export PATH="$HOME/.cargo/bin:$PATH"\ncargo fetch', []),
        ("export DEBIAN_FRONTEND=noninteractive\napt-get install -y x", []),
        ("export -n A\nexport -f f", []),
        ("source .venv/bin/activate", ["warning export-lost 2"]),
        ("pip install x\n. .venv/bin/activate\necho done", ["warning export-lost 3"]),
        ("nvm use 20", ["warning export-lost 2"]),
        ("alias ll='ls -l'", ["warning export-lost 2"]),
        ("source .venv/bin/activate\npip install x", []),
        ("source ./lib.sh", []),
        ("conda activate x\necho 'conda activate x' >>~/.bashrc", []),
        ("export A=1\necho 'export A=1' >>~/.bashrc", []),
        ("echo export A=1", []),
        ("A=1", []),
    ],
)
def test_exports(text, found):
    """
    They end with the script; a profile lasts, and installers need theirs no longer.
    """
    assert found == found_by_setup(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("redis-server &", "error daemon 2"),
        ("nohup ./serve &", "error daemon 2"),
        ("redis-server >/dev/null 2>&1 &", "warning daemon 2"),
        ("redis-server &>log &", "warning daemon 2"),
        ("(cd x && ./serve) &", "error daemon 2"),
        ("{ sleep 1; ./serve; } &", "error daemon 2"),
        ("while true; do date; done &", "error daemon 2"),
        ("service postgresql start", "warning daemon 2"),
        ("/etc/init.d/redis-server start", "warning daemon 2"),
        ("systemctl start docker", "error daemon 2"),
        ("systemctl enable --now redis", "error daemon 2"),
        ("snap install x", "error daemon 2"),
        ("pg_ctlcluster 16 main start", "warning daemon 2"),
        ("redis-server --daemonize yes", "warning daemon 2"),
        ("mongod --fork --logpath /x", "warning daemon 2"),
        ("pm2 start app.js", "warning daemon 2"),
        ("tmux new-session -d ./serve", "warning daemon 2"),
        ("su postgres -c 'x' && pg_ctl -D d start", "warning daemon 2"),
        ("redis-server 2>/dev/null &", "error daemon 2"),
        ("redis-server >/dev/null &", "error daemon 2"),
        ("redis-server >log 2>err &", "warning daemon 2"),
        ("bash -c 'redis-server &'", "error daemon 2"),
        ("su - postgres -c 'pg_ctl -D /d start'", "warning daemon 2"),
        ("exec &>/tmp/log; redis-server &", "warning daemon 2"),
    ],
)
def test_processes_that_are_left_running(text, found):
    """
    With the output of the script they hang it; without, later commands miss them.
    """
    assert [found] == found_by_setup(text)


@pytest.mark.parametrize(
    "text",
    [
        "make a & make b &\nwait",
        "./serve >/dev/null &\n./load\nkill $!",
        "service postgresql start\ncreatedb x\nservice postgresql stop",
        "a && b",
        "a 2>&1",
        "service postgresql status",
        "systemctl start x || service x start; service x stop",
        "nginx -t",
        "redis-server --version",
        "echo 'redis-server &'",
        "pip install supervisor gunicorn",
    ],
)
def test_processes_that_end(text):
    """
    The script waits for them, or stops them.
    """
    assert [] == found_by_setup(text)


def test_test_commands_may_start_processes():
    """
    They are where services belong.
    """
    assert [] == found_in({"Makefile": "test:\n\tredis-server & pytest\n"})


def test_the_resume_script_is_looked_at_too():
    """
    What it starts may or may not live: not known.
    """
    found = findings_in({SETUP: "set -e\n", RESUME: "set -e\nredis-server &>/dev/null &\n"})

    assert [f"{RESUME}:2"] == [one.where for one in found]
    assert "not known" in found[0].in_codex
    assert "services:" in found[0].remedy
