"""Tests of the repository's file, the environment and the ini file in pytest."""

from __future__ import annotations

import sys

import pytest

from ..conftest import commit, git, init_repo, scripts

pytestmark = pytest.mark.needs_git

SHOW = """
from pytest_codex_workspace.plugin.settings import settings_of

def test_it(request):
    config = settings_of(request.config)
    print("ENV", sorted(config.env.items()), "SECRET", config.secret, "SETUP", config.network_setup)
"""


@pytest.fixture
def example(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """
    A project with a repository that has a configuration file.
    """
    monkeypatch.setenv("DOCKER_HOST", f"unix://{pytester.path}/no.sock")
    pytester.makepyfile(SHOW)
    init_repo(pytester.path / "repo", {"a": "1"})
    return pytester


def configure(example: pytest.Pytester, text: str) -> None:
    commit(example.path / "repo", {".codex-workspace.yaml": text})


def test_the_committed_file_is_read(example):
    """
    A change that is not committed is told. Relative paths start at the top of the repository.
    """
    (example.path / "repo/ours.yaml").write_text("allow: [a.test]")
    configure(example, "image: slim\nenv: {A: 1}\nnetwork-setup: ours.yaml\n")
    (example.path / "repo/.codex-workspace.yaml").write_text("image: other")

    result = example.runpytest("--codex-repo=repo", "-s")

    policy = "{'allow': [[]'a.test'], 'name': 'ours'}"
    result.stdout.fnmatch_lines(
        [
            "codex: repo repo at HEAD, image slim, cache auto, network https-only",
            "codex: .codex-workspace.yaml has changes in the work tree, which is not committed*",
            "codex: 1 changed file is not in the workspace (git add, git commit): .codex-works*",
            f"*ENV [[]('A', '1')[]] SECRET () SETUP {policy}*",
        ]
    )


def test_what_only_the_user_can_allow_is_a_usage_error(example, monkeypatch):
    """
    It names the key, what it would do and how to allow it, and begins no test.
    """
    monkeypatch.setenv("XDG_DATA_HOME", str(example.path / "data"))
    monkeypatch.setenv("CI", "true")
    configure(example, "image: slim\nsecrets: [TOKEN]\n")

    result = example.runpytest("--codex-repo=repo")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "*/repo/.codex-workspace.yaml asks for what only you can allow:",
            "  line 2: secrets: TOKEN gives the variable TOKEN of your environment to the setup*",
            "*give --codex-repo-config=trust*",
        ]
    )
    result = example.runpytest("--codex-repo=repo", "--codex-repo-config=trust", "-s")
    result.stdout.fnmatch_lines(["*SECRET ('TOKEN',)*"])


def test_a_file_of_another_commit_is_read_there(example):
    """
    The file belongs to the commit that is projected.
    """
    configure(example, "image: slim\n")
    git(example.path / "repo", "branch", "older")
    configure(example, "imgae: slim\n")

    result = example.runpytest("--codex-repo=repo", "--codex-rev=older", "-s")

    result.stdout.fnmatch_lines(["codex: repo repo at older, image slim, *"])


def test_the_order_of_precedence_is_option_environment_ini_file(example, monkeypatch):
    """
    A policy that is written in the file is shown by its name.
    """
    configure(
        example,
        "image: slim\ncache: require\ncache-ttl: 1h\nenv: {A: file, F: file}\n"
        "network: {name: ours, allow: [a.test]}\n",
    )
    example.makeini(
        "[pytest]\ncodex_repo = repo\ncodex_image = ini\ncodex_cache = off\ncodex_env =\n  A=ini\n"
        "  I=ini\ncodex_secret =\n  ONE\n  TWO\n"
    )
    monkeypatch.setenv("CODEX_WORKSPACE_IMAGE", "environment")
    monkeypatch.setenv("CODEX_WORKSPACE_ENV", "A=environment\nE=environment")

    result = example.runpytest("--codex-env=O=option", "--codex-secret=THREE", "-s")

    result.stdout.fnmatch_lines(
        ["codex: repo */repo at HEAD, image environment, cache off, network ours"]
    )
    text = result.stdout.str()
    pairs = [("A", "environment"), ("E", "environment"), ("F", "file"), ("I", "ini")]
    assert f"ENV {[*pairs, ('O', 'option')]}" in text
    assert "SECRET ('ONE', 'TWO', 'THREE')" in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\nimgae: slim", "*/repo/.codex-workspace.yaml, line 2: unknown key 'imgae' (did you*"),
        ("cache: maybe", "*.codex-workspace.yaml, line 1: cache=maybe: must be one of auto*"),
        ("network: ofline", "*.codex-workspace.yaml, line 1: network: there is no policy*"),
        ("a: [", "*.codex-workspace.yaml, line *: this is not YAML*"),
    ],
)
def test_a_mistake_in_the_file_is_a_usage_error(example, text, words):
    """
    Before any test runs, in one line.
    """
    configure(example, text)

    result = example.runpytest("--codex-repo=repo")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([words])
    assert "Traceback" not in result.stderr.str()


def test_a_mistake_in_an_ini_file_names_the_file(example):
    """
    A mistake in the environment names the variable.
    """
    example.makeini("[pytest]\ncodex_cache = maybe\n")
    result = example.runpytest()
    result.stderr.fnmatch_lines(["*codex_cache in */tox.ini=maybe: must be one of*"])


def test_a_missing_secret_is_named_before_anything_is_built(example, monkeypatch):
    """
    The search for an engine comes later. Without scripts, no secret is needed.
    """
    monkeypatch.delenv("NO_SUCH", raising=False)
    commit(example.path / "repo", scripts("true"))
    example.makepyfile(
        """
        import pytest
        def test_it(codex_workspace): pass
        @pytest.mark.codex_setup(False)
        def test_plain(codex_workspace): pass
        """
    )

    result = example.runpytest("--codex-repo=repo", "--codex-secret=NO_SUCH", "--tb=short", "-v")

    result.assert_outcomes(errors=2)
    # If CI is set, pytest's summary has the whole error as well.
    text = result.stdout.str().partition("short test summary")[0]
    assert 1 == text.count("SecretError: the secret NO_SUCH is not set: set the environment")
    assert 1 == text.count("EngineUnavailable: ")


@pytest.mark.slow
def test_yaml_is_not_imported_without_a_file(example):
    """
    A repository without a configuration file needs no YAML.
    """
    example.makepyfile("import sys\ndef test_it(): assert 'yaml' not in sys.modules")

    result = example.runpytest_subprocess(
        "--codex-repo=repo", "-p", "no:randomly", "-p", "no:hypothesispytest"
    )

    result.assert_outcomes(passed=1)


def test_misspelled_names_are_told(example, monkeypatch):
    """
    An ini option or a variable without effect is reported with the most similar one.
    """
    example.makeini("[pytest]\ncodex_imge = slim\n")
    monkeypatch.setenv("CODEX_WORKSPACE_IMGE", "slim")

    result = example.runpytest("--codex-repo=repo", "--codex-env=CODEX_ENV_NOD_VERSION=22")

    result.stdout.fnmatch_lines(
        [
            "*unknown variable CODEX_ENV_NOD_VERSION (did you mean 'CODEX_ENV_NODE_VERSION'?)",
            "*unknown variable CODEX_WORKSPACE_IMGE (did you mean 'CODEX_WORKSPACE_IMAGE'?)",
            "*unknown ini option codex_imge (did you mean 'codex_image'?)",
        ]
    )
    assert result.ret == 0


SHOW_SCRIPT = """
from pytest_codex_workspace.plugin.settings import settings_of

def test_it(request):
    config = settings_of(request.config)
    print("SCRIPT", config.setup_script.text, config.maintenance_script)
"""


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["-s"], ["-n1"], ["-c", "other.ini"]])
def test_a_setup_script_is_read_from_standard_input(pytester: pytest.Pytester, more):
    """
    Which pytest captures, and which no worker of xdist has.
    """
    pytester.makepyfile(SHOW_SCRIPT)
    pytester.makefile(".ini", other="[pytest]\ncodex_setup_script = -\n")
    given = [] if "-c" in more else ["--codex-setup-script=-"]

    command = ("-m", "pytest", "-rP", *given, *more)
    result = pytester.run(sys.executable, *command, stdin=b"make all\n")

    result.stdout.fnmatch_lines(["*SCRIPT b'make all\\n' None*"])


def test_a_setup_script_of_an_ini_file_lies_beside_it(pytester: pytest.Pytester):
    """
    Wherever pytest is started. One that cannot be used is a usage error with its source.
    """
    pytester.makepyfile(SHOW_SCRIPT)
    pytester.makeini("[pytest]\ncodex_setup_script = s.sh\n")
    pytester.path.joinpath("s.sh").write_text("make\n")

    result = pytester.runpytest("-rP", "--codex-maintenance-script=none.sh")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--codex-maintenance-script=none.sh: there is no such file*"])
    pytester.runpytest("-rP").stdout.fnmatch_lines(["*SCRIPT b'make\\n' None*"])


ENGINES = """
import pathlib
from pytest_codex_workspace.plugin.settings import settings_of

def test_it(request, worker_id):
    found = settings_of(request.config)
    assert found.engines == ("unix:///one", "unix:///two")
    pathlib.Path(f"is-{worker_id}-{found.engine[8:]}").touch()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "seen"),
    [
        (["-n3", "--dist=each"], {"is-gw0-one", "is-gw1-two", "is-gw2-one"}),
        (["-n0"], {"is-master-one"}),
    ],
)
def test_workers_are_spread_over_the_engines(pytester: pytest.Pytester, more, seen):
    """
    The ini file has one a line. A run without workers begins with the first.
    """
    pytester.makepyfile(ENGINES)
    pytester.makeini("[pytest]\ncodex_engine =\n    unix:///one\n    unix:///two\n")

    result = pytester.runpytest_subprocess("-p", "no:randomly", *more)

    result.assert_outcomes(passed=len(seen))
    assert seen == {one.name for one in pytester.path.glob("is-*")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"podman"', ["podman"]),
        ('["podman"]', ["podman"]),
        ('["podman", "docker"]', ["podman", "podman", "docker"]),
    ],
)
def test_engines_in_a_toml_file(pytester: pytest.Pytester, text, expected):
    """
    One is text, several are a list.
    """
    pytester.makepyfile(
        "from pytest_codex_workspace.plugin.settings import settings_of\n"
        "def test_it(request):\n"
        "    found = settings_of(request.config)\n"
        f"    assert [found.engine, *found.engines] == {expected}\n"
    )
    (pytester.path / "pytest.toml").write_text(f"[pytest]\ncodex_engine = {text}\n")

    pytester.runpytest("-c", "pytest.toml").assert_outcomes(passed=1)


def test_a_debug_log_is_written(example):
    """
    The header names it; each worker of xdist has one of its own beside it. A run without a
    workspace asks no engine.
    """
    result = example.runpytest("--codex-repo=repo", "--codex-debug=debug.log")
    result.stdout.fnmatch_lines(["codex debug log: */debug.log (look through it before sending)"])
    text = (example.path / "debug.log").read_text()
    assert "command: pytest, process " in text
    assert "doctor: " not in text

    example.runpytest("--codex-debug=debug.log", "-n1", "-p", "xdist")
    assert "command: pytest gw0, " in (example.path / "debug.log.gw0").read_text()


def test_a_debug_log_that_cannot_be_written_is_a_usage_error(example, monkeypatch):
    """
    From the environment only, it ends no run that uses no workspace.
    """
    result = example.runpytest("--codex-debug=missing/debug.log")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*the debug log */missing/debug.log cannot be written: No such*"])

    example.makeini("[pytest]\ncodex_debug = missing/debug.log\n")
    assert example.runpytest().ret == pytest.ExitCode.USAGE_ERROR
    (example.path / "tox.ini").unlink()
    monkeypatch.setenv("CODEX_WORKSPACE_DEBUG", "missing/debug.log")
    example.runpytest().assert_outcomes(passed=1)
    example.makepyfile(test_other="def test_it(codex_workspace): pass")
    result = example.runpytest("test_other.py")
    result.stderr.fnmatch_lines(["*the debug log */missing/debug.log cannot be written: No such*"])


def test_a_run_without_a_debug_log_imports_nothing_for_it(example):
    """
    It costs those nothing who do not use it.
    """
    example.makepyfile(
        "import sys\n"
        "def test_it():\n"
        "    assert not [one for one in sys.modules if 'codex_workspace.debugging' in one]\n"
    )

    example.runpytest_subprocess().assert_outcomes(passed=1)


@pytest.mark.parametrize("name", ["image", "engine", "repo", "env", "debug"])
def test_an_option_without_a_value_is_an_error(example, name):
    """
    Also if it is the only one: an unset variable, as in --codex-image=$IMAGE, is no default.
    """
    result = example.runpytest(f"--codex-{name}=")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --codex-{name}*"])


def test_without_options_the_defaults_hold(example, monkeypatch):
    """
    They are made when a test with a workspace, or a plugin, asks for them; the run began before.
    """
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    example.makepyfile(
        """
        from pytest_codex_workspace.plugin.settings import given_settings, settings_of, start_of

        def test_it(request):
            assert given_settings(request.config) is None
            found = settings_of(request.config)
            assert (found.image, found.repo) == ("universal", None)
            assert found.started == start_of(request.config)
            assert given_settings(request.config) is found
        """
    )

    result = example.runpytest_subprocess("-p", "pytest_codex_workspace.plugin")

    result.assert_outcomes(passed=1)
