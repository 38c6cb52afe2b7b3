"""What other repositories and this one have for CI services, by the services' own schemas."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pytest_codex_workspace.cli.main import command_parser

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TEMPLATES = sorted((ROOT / "templates").glob("*.yml"))
ACTION = ROOT / "action.yml"


def check(document: Any, schema: str) -> None:
    """
    Raise an error if *document* does not follow the schema of a service.
    """
    # Its modules are not imported: they may warn.
    bundle = distribution("check-jsonschema")
    path = bundle.locate_file(f"check_jsonschema/builtin_schemas/vendor/{schema}.json")
    loaded = json.loads(Path(str(path)).read_text())
    jsonschema.validators.validator_for(loaded)(loaded).validate(document)


def read(path: Path) -> Any:
    """
    Return the document of a file. `on:` is a name in workflows, and true in YAML.
    """
    loaded = yaml.safe_load(path.read_text())
    return {"on" if key is True else key: value for key, value in loaded.items()}


def steps_of(document: Any) -> list[dict[str, Any]]:
    """
    Return the steps of a workflow or of an action.
    """
    if "runs" in document:
        return list(document["runs"]["steps"])
    return [step for job in document["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_follows_githubs_schema(path):
    """
    A job has a time limit, and a token with no rights but those that are written there.
    """
    workflow = read(path)

    check(workflow, "github-workflows")
    assert workflow["permissions"] == {}
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


def test_the_action_follows_githubs_schema():
    """
    And each input is used.
    """
    action = read(ACTION)

    check(action, "github-actions")
    text = json.dumps(action["runs"])
    assert [one for one in action["inputs"] if f"inputs.{one}" not in text] == []


@pytest.mark.parametrize("path", [*WORKFLOWS, ACTION], ids=lambda path: path.name)
def test_no_shell_reads_text_of_others_and_no_tag_can_be_moved(path):
    """
    Expressions are values of variables only, actions are named by their commit, and packages by
    their version.
    """
    for step in steps_of(read(path)):
        assert "${{" not in step.get("run", "")
        _, _, packages = step.get("run", "").partition("pip install ")
        assert all("==" in one for one in packages.split())
        uses = step.get("uses", "./")
        assert uses == "./" or re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", uses)
    lines = [one for one in path.read_text().splitlines() if re.search(r"uses: [^.]", one)]
    assert [one for one in lines if not re.search(r" # v\d+\.\d+\.\d+$", one)] == []


def test_the_workflow_runs_what_the_matrix_has():
    """
    Pythons and versions are those of noxfile.py.
    """
    matrix = read(ROOT / ".github/workflows/test.yml")["jobs"]["unit"]["strategy"]["matrix"]
    names = {
        ast.unparse(one.targets[0]): one.value
        for one in ast.parse((ROOT / "noxfile.py").read_text()).body
        if isinstance(one, ast.Assign)
    }

    assert tuple(matrix["python"]) == ast.literal_eval(names["PYTHONS"])
    assert tuple(matrix["versions"]) == ast.literal_eval(names["VERSIONS"])


def template(path: Path, **given: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """
    Return the inputs of a GitLab component, and its job with their values.
    """
    head, body = path.read_text().split("\n---\n")
    inputs = yaml.safe_load(head)["spec"]["inputs"]
    for name, one in inputs.items():
        body = body.replace(f"$[[ inputs.{name} ]]", given.get(name, one["default"]))
    (job,) = yaml.safe_load(body).items()
    return inputs, dict([job])


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_component_follows_gitlabs_schema(path):
    """
    Its inputs are explained, and none is left in the job.
    """
    inputs, job = template(path)

    check(job, "gitlab-ci")
    # The schema is one of jobs: it knows no header.
    assert all(set(one) == {"default", "description"} for one in inputs.values())
    assert "$[[" not in json.dumps(job)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_component_imports_nothing_of_the_repository(path):
    """
    The repository is the directory, where `python -m` looks first.
    """
    (job,) = template(path)[1].values()
    commands = "\n".join(job["before_script"] + job["script"] + job.get("after_script", []))

    assert re.findall(r"python3? (?!-I )-.*", commands) == []


@pytest.mark.needs_bash
@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_component_ends_at_the_first_step_that_fails(path, tmp_path):
    """
    A shell does not end at a failure in the middle of `a && b`.
    """
    (job,) = template(path)[1].values()
    steps = "\n".join(job["before_script"]).replace("/venv", str(tmp_path))
    (tmp_path / "bin").mkdir()
    (tmp_path / ".git/info").mkdir(parents=True)
    for name in ("apk", "apt-get", "git", "pip", "python3"):
        program = tmp_path / "bin" / name
        program.write_text('#!/bin/sh\necho >>ran\n[ "$(wc -l <ran)" -ne "$FAILS" ]\n')
        program.chmod(0o755)

    def run(fails: int) -> tuple[int, int]:
        (tmp_path / "ran").unlink(missing_ok=True)
        done = subprocess.run(
            ["bash", "-euc", steps],
            cwd=tmp_path,
            env={
                "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
                "CI_PROJECT_DIR": "/builds/shop",
                "CODEX_VERSION": "x",
                "FAILS": str(fails),
            },
            check=False,
        )
        return done.returncode, (tmp_path / "ran").read_text().count("\n")

    code, programs = run(fails=0)

    assert (code, programs) == (0, 4)
    assert [run(one) for one in range(1, 5)] == [(1, one) for one in range(1, 5)]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_the_script_of_a_component_gives_arguments_unchanged(path, tmp_path):
    """
    One a line, and nothing of them is run.
    """
    program = tmp_path / "codex-workspace"
    program.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    program.chmod(0o755)
    (job,) = template(path)[1].values()
    evil = "--silence=git-tags=$(touch evil) `touch evil`"

    done = subprocess.run(
        ["sh", "-euc", "\n".join(job["script"])],
        cwd=tmp_path,
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "CODEX_ARGUMENTS": f"{evil}\n--output=stream",
        },
        capture_output=True,
        text=True,
    )

    words = done.stdout.splitlines()
    assert (done.returncode, words[0]) == (0, "check"), done.stderr
    assert "--sarif=codex.sarif" in words
    assert words[-2:] == [evil, "--output=stream"]
    assert not (tmp_path / "evil").exists()


def test_the_hook_reads_the_commit_of_a_push():
    """
    Its command is one of ours, needs no engine and takes no names of files.
    """
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())

    program, *words = hook["entry"].split()
    assert program == "codex-workspace"
    assert command_parser().parse_args(words).reads_only
    assert hook["stages"] == ["pre-push", "manual"]
    assert not hook["pass_filenames"]
