"""Tests that the schema for editors accepts and refuses what the reader does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pytest_codex_workspace
from pytest_codex_workspace.cli.main import main
from pytest_codex_workspace.codex import RUNTIMES
from pytest_codex_workspace.errors import ConfigError
from pytest_codex_workspace.options.json_schema import schema, schema_text
from pytest_codex_workspace.options.repo_file import GROUPS, POLICY_FIELDS, read_file, top_level
from pytest_codex_workspace.options.sources import FILE

from ...helpers.configuration import resolve

SHIPPED = Path(pytest_codex_workspace.__file__).parent / "codex-workspace.schema.json"
VALIDATOR = jsonschema.Draft7Validator(schema())


def test_the_schema_file_matches_the_table_of_options(capsys: pytest.CaptureFixture[str]) -> None:
    """
    `codex-workspace config --schema` prints the current schema.
    """
    assert 0 == main(["config", "--schema"])

    assert SHIPPED.read_text() == schema_text() == capsys.readouterr().out
    jsonschema.Draft7Validator.check_schema(schema())


def test_the_schema_has_every_key_and_no_other() -> None:
    """
    Keys are at the top, in groups and in a policy.
    """
    found = schema()

    assert {*top_level(), *GROUPS, "runtimes", "services"} == set(found["properties"])
    for name, group in GROUPS.items():
        forms = found["properties"][name].get("anyOf", [found["properties"][name]])
        assert set(group.below) == set(forms[-1]["properties"])
    assert set(POLICY_FIELDS) == set(found["definitions"]["policy"]["properties"])
    assert {name.lower() for name in RUNTIMES} == set(found["properties"]["runtimes"]["properties"])


def accepted(tmp_path: Path, document: Any) -> bool:
    """
    Return whether the reader accepts a document.
    """
    (tmp_path / FILE).write_text(yaml.safe_dump(document))
    try:
        resolve(tmp_path)
    except ConfigError:
        return False
    return True


KEYS = [*top_level(), *GROUPS, "runtimes", "image", "imgae", "secret", "rev"]
BELOW = [key for group in GROUPS.values() for key in group.below]
SCALARS = st.one_of(
    st.sampled_from(
        ["slim", "off", "auto", "record", "offline", "2h", "5GB", "A", "never", "none"]
    ),
    st.sampled_from([0, 1, 90, 1.5, True, None, "", "-1", "a b"]),
)
INNER = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=2),
    st.dictionaries(st.sampled_from(["A", "allow", "http", "ports", "extends", "x"]), SCALARS),
)
DOCUMENTS = st.dictionaries(
    st.sampled_from(KEYS),
    st.one_of(
        INNER,
        st.dictionaries(
            st.sampled_from([*BELOW, "python", "go", "A", "allow", "offline", "x-y"]),
            INNER,
            max_size=2,
        ),
    ),
    max_size=3,
)


@pytest.mark.slow
@given(document=DOCUMENTS)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_schema_accepts_what_the_reader_accepts(tmp_path: Path, document: Any) -> None:
    """
    An editor does not underline a valid file.
    """
    if accepted(tmp_path, document):
        assert [] == [error.message for error in VALIDATOR.iter_errors(document)]


@pytest.mark.parametrize(
    "document",
    [
        {"imgae": "slim"},
        {"engine": []},
        {"engine": [1]},
        {"keep": "always"},
        {"image": ["a"]},
        {"image": 12},
        {"image": None},
        {"image": ""},
        {"cache-ttl": ""},
        {"env": ["A=1"]},
        {"env": {"A-B": "1"}},
        {"env": {"A": None}},
        {"env": {"A": ["x"]}},
        {"runtimes": {"pyhton": 3}},
        {"runtimes": "3"},
        {"secrets": "A"},
        {"secrets": ["A", "A"]},
        {"secrets": ["A B"]},
        {"cache": "maybe"},
        {"cache": {"tll": "2h"}},
        {"cache": {"ttl": "soon"}},
        {"cache": {"push": "sometimes"}},
        {"cassette": "on"},
        {"timeouts": 4},
        {"timeouts": {"tests": 4}},
        {"timeouts": {"setup": []}},
        {"network": []},
        {"network": {"test": "offline"}},
        {"network": {"setup": {"alow": []}}},
        {"network": {"allow": "a.test"}},
        {"network": {"http": "maybe"}},
        {"network": {"extends": "nothing"}},
        {"network": {"allow": ["a.test"], "setup": "offline"}},
        ["image"],
        "slim",
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(tmp_path: Path, document: Any) -> None:
    """
    Examples are unknown keys, wrong types and invalid choices.
    """
    assert not VALIDATOR.is_valid(document)
    assert not accepted(tmp_path, document)


def test_the_reader_itself_refuses_the_examples(tmp_path: Path) -> None:
    """
    They are not refused by a later check.
    """
    with pytest.raises(ConfigError, match="'ttl'"):
        read_file(b"cache: {tll: 2h}", tmp_path / FILE, lambda _: None)
