"""Tests of opening a repository at a commit."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_codex_workspace.errors import ProjectionError
from pytest_codex_workspace.projection.repository import Tag, find_tags, open_repository

from ...helpers.repositories import Repository, host_environment

if TYPE_CHECKING:
    from pytest_codex_workspace.projection.repository import RepositorySnapshot

pytestmark = [pytest.mark.needs_git, pytest.mark.slow]

SETUP = "codex-workspace-scripts/setup-script.sh"
RESUME = "codex-workspace-scripts/setup-from-cache-script.sh"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """
    Return the environment of the user.
    """
    return host_environment(tmp_path / "home")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Create a repository with one commit, for the tests to copy.
    """
    place = tmp_path_factory.mktemp("template")
    repo = Repository(place / "project", host_environment(place / "home"))
    repo.commit({"a.txt": "a\n", "sub/b.txt": "b\n"})
    return repo.path


@pytest.fixture
def repo(template: Path, tmp_path: Path, env: dict[str, str]) -> Repository:
    """
    Return a repository with one commit.
    """
    return Repository(Path(shutil.copytree(template, tmp_path / "project")), env)


def opened(repo: Repository, rev: str = "HEAD", **more: str) -> RepositorySnapshot:
    """
    Open *repo* in the environment of its user.
    """
    return open_repository(repo.path, rev, environ={**repo.env, **more})


def refusal(path: str | Path, env: dict[str, str], rev: str = "HEAD") -> str:
    """
    Return the error of opening *path*, after checking that it survives pickling.
    """
    with pytest.raises(ProjectionError) as caught:
        open_repository(path, rev, environ=env)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return str(caught.value)


def test_each_tag_leads_to_a_commit(repo: Repository) -> None:
    """
    A tag may be one of another tag.
    """
    repo.git("tag", "plain")
    repo.git("tag", "-a", "-m", "one", "one")
    repo.git("tag", "-a", "-m", "two", "two", "one")
    repo.git("tag", "-a", "-m", "three", "three", "two")
    snapshot = open_repository(repo.path, environ=repo.env)

    expected = [
        Tag(name, repo.git("rev-parse", f"refs/tags/{name}"), repo.head())
        for name in ("one", "plain", "three", "two")
    ]
    assert expected == list(find_tags(snapshot, repo.env))


def test_a_subdirectory_opens_its_repository(repo: Repository) -> None:
    """
    A directory in a work tree stands for the repository that contains it.
    """
    snapshot = open_repository(str(repo.path / "sub"), environ=repo.env)

    assert snapshot == opened(repo)
    assert repo.path == snapshot.path
    assert snapshot.name == "project"
    assert repo.head() == snapshot.head
    assert snapshot.object_format == "sha1"
    assert not snapshot.shallow
    assert (
        snapshot.scripts_tree,
        snapshot.has_setup,
        snapshot.has_resume,
        snapshot.submodules,
    ) == (None, False, False, ())


def test_scripts_are_those_of_the_commit(repo: Repository) -> None:
    """
    Uncommitted changes to the scripts are ignored.
    """
    repo.commit({SETUP: "true\n"})
    (repo.path / RESUME).write_text("true\n")
    (repo.path / SETUP).unlink()

    snapshot = opened(repo)

    assert repo.git("rev-parse", "HEAD:codex-workspace-scripts") == snapshot.scripts_tree
    assert (snapshot.has_setup, snapshot.has_resume) == (True, False)
    assert opened(repo, "HEAD~1").scripts_tree is None


def linked(repo: Repository, files: dict[str, str | None]) -> str:
    """
    Return the digest of what links in the scripts' folder lead to, once *files* are committed.
    """
    repo.commit(files)
    return opened(repo).linked_scripts


def link(repo: Repository, path: str, target: str) -> None:
    """
    Make a link in the work tree of *repo*.
    """
    (repo.path / path).parent.mkdir(parents=True, exist_ok=True)
    (repo.path / path).symlink_to(target)


def test_scripts_without_links_have_no_digest(repo: Repository) -> None:
    """
    Links elsewhere are not scripts.
    """
    link(repo, "link", "a.txt")

    assert linked(repo, {SETUP: "true\n"}) == ""


@pytest.mark.parametrize(
    "links",
    [
        {SETUP: "../tools/setup.sh"},
        {RESUME: "../tools/setup.sh"},
        {"codex-workspace-scripts/deep/more.sh": "../../tools/setup.sh"},
        # A chain of links, also through a link to a folder.
        {
            SETUP: "second.sh",
            "codex-workspace-scripts/second.sh": "../third",
            "third": "tools/setup.sh",
        },
        {SETUP: "../other/setup.sh", "other": "tools"},
        # A link to a folder, also to one with a further link, and to all of the repository.
        {"codex-workspace-scripts/tools": "../tools"},
        {
            "codex-workspace-scripts/other": "../other",
            "other/deep/setup.sh": "../../tools/setup.sh",
        },
        {"codex-workspace-scripts/all": ".."},
        # Out of the repository and back into it, in a workspace.
        {SETUP: "/workspace/project/tools/setup.sh"},
        {SETUP: "../../project/tools/setup.sh"},
        {SETUP: "/workspace/project/second", "second": "/workspace/project/tools/setup.sh"},
        {"codex-workspace-scripts/all": "/workspace/project"},
    ],
)
def test_what_a_linked_script_leads_to_is_part_of_the_scripts(
    repo: Repository, links: dict[str, str]
) -> None:
    """
    Its content, and no other file of the repository.
    """
    for path, target in links.items():
        link(repo, path, target)
    before = linked(repo, {"tools/setup.sh": "true\n"})

    after = linked(repo, {"tools/setup.sh": "false\n"})
    again = linked(repo, {"tools/setup.sh": "true\n"})

    assert before
    assert before != after
    assert before == again
    if not any(target in ("..", "/workspace/project") for target in links.values()):
        assert before == linked(repo, {"unrelated": "1"})


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../elsewhere/x", "../gone", "setup-script.sh"]
)
def test_a_script_that_leads_nowhere_changes_nothing(repo: Repository, target: str) -> None:
    """
    Out of the project, to a file that is not there, or to itself: the setup is that of every
    commit, until there is something.
    """
    link(repo, SETUP, target)
    before = linked(repo, {})

    assert before == linked(repo, {"unrelated": "1"})
    if target == "../gone":
        assert before != linked(repo, {"gone": "1"})


def test_a_script_of_a_submodule_depends_on_its_commit(repo: Repository) -> None:
    """
    Git does not follow a link into it.
    """
    module = repo.submodule("module")
    link(repo, SETUP, "../module/i.txt")
    before = linked(repo, {})

    module.commit({"i.txt": "changed\n"})

    assert before != linked(repo, {})


@pytest.mark.parametrize("number", [60, 150])
def test_more_links_than_are_followed_belong_to_one_commit(repo: Repository, number: int) -> None:
    """
    A setup is not used where that cannot be told: of a chain that is too long, of too many folders.
    """
    for one in range(number):
        link(repo, f"links/{one}", f"/workspace/project/links/{one + 1}")
        link(repo, f"codex-workspace-scripts/{one}", f"../folders/{one}")
    link(repo, SETUP, "/workspace/project/links/0")
    before = linked(repo, {f"folders/{one}/x": f"{one}" for one in range(number)})

    assert before != linked(repo, {"unrelated": "1"})


def test_names_with_line_breaks_are_not_asked_for(repo: Repository) -> None:
    """
    The setup belongs to one commit.
    """
    link(repo, "codex-workspace-scripts/a\nb", "../a.txt")
    before = linked(repo, {})

    assert before
    assert before != linked(repo, {"unrelated": "1"})


def test_a_damaged_folder_that_a_script_leads_into_is_named(repo: Repository) -> None:
    """
    Git ends at it, with no answer for the links that follow.
    """
    link(repo, SETUP, "../tools/setup.sh")
    repo.commit({"tools/setup.sh": "true\n"})
    name = repo.git("rev-parse", "HEAD:tools")
    path = repo.path / ".git/objects" / name[:2] / name[2:]
    path.unlink()
    path.write_bytes(b"damaged")

    with pytest.raises(ProjectionError, match=f"is damaged: it lacks objects \\(fatal: .*{name}"):
        opened(repo)


def test_a_file_in_place_of_the_scripts_directory_is_ignored(repo: Repository) -> None:
    """
    A file with the name of the scripts directory does not count as scripts.
    """
    repo.commit({"codex-workspace-scripts": "no\n"})

    assert opened(repo).scripts_tree is None


@pytest.mark.parametrize("rev", ["HEAD~1", "v1", "other", ":/later"])
def test_any_revision_names_a_commit(repo: Repository, rev: str) -> None:
    """
    Every revision that git understands works, annotated tags included.
    """
    head = repo.head()
    repo.git("tag", "--annotate", "--message=t", "v1")
    repo.git("branch", "other")
    repo.commit({"c.txt": "c\n"})
    # Of commits of one second, git takes any.
    repo.git("commit", "--quiet", "--amend", "--message=later")
    later = repo.head()

    assert {":/later": later}.get(rev, head) == opened(repo, rev).head


def test_a_linked_worktree_shares_the_cache(repo: Repository, tmp_path: Path) -> None:
    """
    A linked worktree has its own HEAD, but the name and identity of its repository.
    """
    repo.git("worktree", "add", "--quiet", "--detach", tmp_path / "linked")
    linked = Repository(tmp_path / "linked", repo.env)
    linked.commit({"c.txt": "c\n"})
    head = linked.head()

    snapshot = opened(linked)

    assert (head, "project") == (snapshot.head, snapshot.name)
    assert (linked.path, repo.path / ".git") == (snapshot.path, snapshot.common_dir)
    assert opened(repo).identity == snapshot.identity
    assert opened(repo).head != head


@pytest.mark.parametrize("bare", ["thing.git", "thing/.bare"])
def test_a_worktree_is_named_after_its_bare_repository(
    repo: Repository, tmp_path: Path, bare: str
) -> None:
    """
    The name comes from the bare repository, or from its parent if it is hidden.
    """
    repo.git("clone", "--quiet", "--bare", repo.path, tmp_path / bare)
    repo.git(f"--git-dir={tmp_path / bare}", "worktree", "add", "--quiet", tmp_path / "w", "main")

    assert open_repository(tmp_path / "w", environ=repo.env).name == "thing"


def test_a_shallow_clone_has_its_own_cache(repo: Repository, tmp_path: Path) -> None:
    """
    The root commit of a shallow clone is unknown, so its identity is its own.
    """
    repo.commit()
    shallow = []
    for place in ("1/project", "2/project"):
        repo.git("clone", "--quiet", "--depth=1", f"file://{repo.path}", tmp_path / place)
        shallow.append(open_repository(tmp_path / place, environ=repo.env))

    assert all(snapshot.shallow for snapshot in shallow)
    assert len({opened(repo).identity, *(snapshot.identity for snapshot in shallow)}) == 3


def test_sha256_repositories_are_opened(tmp_path: Path, env: dict[str, str]) -> None:
    """
    Repositories with SHA-256 object ids are supported.
    """
    repo = Repository(tmp_path / "r", env, "--object-format=sha256")
    repo.commit()
    head = repo.head()

    assert ("sha256", head) == (opened(repo).object_format, opened(repo).head)
    assert len(head) == 64


def test_clones_of_one_name_share_a_cache(repo: Repository, tmp_path: Path) -> None:
    """
    Clones share an identity, unless their names or root commits differ.
    """
    for place in ("clones/project", "clones/renamed"):
        repo.git("clone", "--quiet", repo.path, tmp_path / place)
    unrelated = Repository(tmp_path / "unrelated/project", repo.env)
    unrelated.commit({"other": "x"})
    first = opened(repo)
    repo.commit()

    def identity(place: str) -> str:
        return open_repository(tmp_path / place, environ=repo.env).identity

    assert first.identity == opened(repo).identity == identity("clones/project")
    assert first.identity not in {identity("clones/renamed"), identity("unrelated/project")}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my project", "my-project"),
        ("-rf", "rf"),
        ("a\nb", "a-b"),
        ("..x", "..x"),
        ("проект", "repository"),
        (os.fsdecode(b"\xff\xfe"), "repository"),
        ("v1.2_3-x", "v1.2_3-x"),
    ],
)
def test_names_are_limited_to_safe_characters(
    template: Path, tmp_path: Path, env: dict[str, str], name: str, expected: str
) -> None:
    """
    The name has only characters that a hosting service allows.
    """
    path = Path(shutil.copytree(template, tmp_path / name))

    snapshot = open_repository(path, environ=env)

    assert (snapshot.name, snapshot.path) == (expected, path)


def test_a_wrong_path_is_explained(tmp_path: Path, env: dict[str, str]) -> None:
    """
    Each kind of wrong path has its own error, with a remedy.
    """
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved/.git").write_text("gitdir: /nowhere\n")

    assert "does not exist" in refusal(tmp_path / "none", env)
    assert "is not a directory" in refusal(tmp_path / "file", env)
    assert "cannot be a repository" in refusal("a\0b", env)
    assert "is not in a git repository" in refusal(tmp_path / "empty", env)
    assert "git worktree repair" in refusal(tmp_path / "moved", env)


def test_a_repository_without_commits_is_rejected(tmp_path: Path, env: dict[str, str]) -> None:
    """
    Without a commit, there is nothing to project.
    """
    repo = Repository(tmp_path / "r", env)

    assert "has no commit at HEAD yet" in refusal(repo.path, env)


def test_a_directory_without_work_tree_is_rejected(repo: Repository, tmp_path: Path) -> None:
    """
    A bare repository and a .git directory are not work trees.
    """
    repo.git("clone", "--quiet", "--bare", repo.path, tmp_path / "b.git")

    assert "is a bare repository" in refusal(tmp_path / "b.git", repo.env)
    assert "is inside a .git directory" in refusal(repo.path / ".git", repo.env)


def test_a_committed_directory_is_no_repository(repo: Repository, tmp_path: Path) -> None:
    """
    A commit can contain what looks like a bare repository, with a configuration of its own.
    """
    trap = repo.path / "trap"
    repo.git("init", "--quiet", "--bare", trap)
    hook = f"touch {tmp_path / 'ran'}; false"
    for name, value in (("bare", "false"), ("worktree", str(repo.path)), ("fsmonitor", hook)):
        repo.git("config", f"--file={trap / 'config'}", f"core.{name}", value)

    assert "trap is a bare repository" in refusal(trap, repo.env)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("rev", ["develp", "nonsense", "--all", "", "HEAD~5", "HEAD..HEAD"])
def test_an_unknown_revision_is_rejected(repo: Repository, rev: str) -> None:
    """
    A revision that names no commit is an error, which suggests a similar name.
    """
    repo.git("branch", "develop")

    said = refusal(repo.path, repo.env, rev)

    assert "names no commit" in said
    assert ("did you mean 'develop'?" in said) == (rev == "develp")


def test_a_revision_that_git_cannot_take_is_rejected(repo: Repository) -> None:
    """
    A NUL byte cannot be in an argument of a command.
    """
    assert "git rev-parse cannot be run" in refusal(repo.path, repo.env, "a\0b")


def test_a_remote_branch_is_suggested(repo: Repository, tmp_path: Path) -> None:
    """
    A branch that only the remote has is suggested with its full name.
    """
    repo.git("branch", "feature")
    repo.git("clone", "--quiet", repo.path, tmp_path / "clone")

    assert "'origin/feature'" in refusal(tmp_path / "clone", repo.env, "feature")


def test_a_repository_of_another_user_is_rejected(repo: Repository) -> None:
    """
    Git's check of the owner stays in place; the error has the command to allow it.
    """
    env = {**repo.env, "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
    line = f"git config --global --add safe.directory {repo.path}"

    assert line in refusal(repo.path, env)

    repo.git(*line.split()[1:])
    assert open_repository(repo.path, environ=env).head


def test_a_missing_git_is_explained(repo: Repository, tmp_path: Path) -> None:
    """
    Without git, the error says how to install it.
    """
    assert "git is not installed" in refusal(repo.path, {**repo.env, "PATH": str(tmp_path)})


def test_variables_of_a_hook_are_ignored(repo: Repository, tmp_path: Path) -> None:
    """
    Variables that git sets for a hook do not lead to the repository of the hook.
    """
    other = Repository(tmp_path / "other", repo.env)
    other.commit({"x": "x"})
    hook = {
        "GIT_DIR": str(other.path / ".git"),
        "GIT_WORK_TREE": str(other.path),
        "GIT_INDEX_FILE": str(other.path / ".git/index"),
        "GIT_TRACE": "1",
    }

    assert opened(repo) == opened(repo, **hook)


def test_an_incomplete_partial_clone_is_rejected(repo: Repository, tmp_path: Path) -> None:
    """
    Missing trees of a partial clone are an error, and are not fetched.
    """
    repo.git("config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "clone"
    filtered = ("--filter=tree:0", "--no-checkout")
    repo.git("clone", "--quiet", *filtered, f"file://{repo.path}", clone)

    assert "fetch --refetch --no-filter origin" in refusal(clone, repo.env)


@pytest.fixture(scope="module")
def outer(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """
    Create a repository with a submodule, which has a submodule itself.

    Their git directories are where current versions of git put them.
    """
    tmp_path = tmp_path_factory.mktemp("submodules")
    outer = Repository(tmp_path / "outer", host_environment(tmp_path / "home"))
    middle = outer.submodule('mid "dle\n ü', "odd.na me")
    middle.submodule("in/ner")
    middle.commit()
    outer.commit()
    outer.git("submodule", "--quiet", "absorbgitdirs")
    return outer


class TestSubmodules:
    """
    S4: submodules at the commits that HEAD names.
    """

    @pytest.mark.promise("S4")
    def test_submodules_are_found_recursively(self, outer: Repository) -> None:
        """
        Each submodule lists its own submodules.
        """
        (middle,) = opened(outer).submodules
        (inner,) = middle.submodules

        assert (middle.path, middle.name) == ('mid "dle\n ü', "odd.na me")
        assert outer.git("rev-parse", "HEAD:" + middle.path) == middle.commit
        assert outer.path / ".git/modules/odd.na me" == middle.git_dir
        assert ("in/ner", middle.git_dir / "modules/in/ner") == (inner.path, inner.git_dir)
        assert inner.submodules == ()

    @pytest.mark.promise("S4")
    @pytest.mark.parametrize("value", ["1", "true", "YES"])
    def test_submodules_can_be_skipped(self, outer: Repository, value: str) -> None:
        """
        CODEX_SKIP_SUBMODULES skips all submodules.
        """
        assert opened(outer, CODEX_SKIP_SUBMODULES=value).submodules == ()

    def test_zero_does_not_skip_submodules(self, outer: Repository) -> None:
        """
        CODEX_SKIP_SUBMODULES=0 has no effect.
        """
        assert len(opened(outer, CODEX_SKIP_SUBMODULES="0").submodules) == 1

    def test_a_linked_worktree_uses_submodules_of_the_main_one(
        self, outer: Repository, tmp_path: Path
    ) -> None:
        """
        A linked worktree without submodules uses those of the main worktree.
        """
        outer.git("worktree", "add", "--quiet", tmp_path / "linked")

        snapshot = open_repository(tmp_path / "linked", environ=outer.env)

        assert opened(outer).submodules == snapshot.submodules

    @pytest.mark.promise("S4")
    def test_work_trees_of_submodules_may_be_missing(
        self, outer: Repository, tmp_path: Path
    ) -> None:
        """
        The git directories of the submodules are enough.
        """
        copy = Repository(tmp_path / "copy", outer.env)
        shutil.rmtree(copy.path / ".git")
        shutil.copytree(outer.path / ".git", copy.path / ".git")

        (middle,) = opened(copy).submodules
        (inner,) = middle.submodules

        assert middle.git_dir / "modules/in/ner" == inner.git_dir

    @pytest.mark.promise("S4")
    @pytest.mark.parametrize("kind", ["worktree", "separate git directory", "reference"])
    def test_submodules_of_unusual_clones_are_found(
        self, outer: Repository, tmp_path: Path, kind: str
    ) -> None:
        """
        A linked worktree has git directories of its own for submodules, a git directory may be
        elsewhere, and a submodule may borrow its objects.
        """
        place = tmp_path / "place"
        git_dir = place / ".git"
        url = f"file://{outer.path}"
        if kind == "worktree":
            outer.git("worktree", "add", "--quiet", "--detach", place)
            git_dir = outer.path / ".git/worktrees/place"
        elif kind == "reference":
            outer.git("clone", "--quiet", "--reference", outer.path, url, place)
        else:
            git_dir = tmp_path / "elsewhere"
            outer.git("clone", "--quiet", f"--separate-git-dir={git_dir}", url, place)
        clone = Repository(place, outer.env)
        (middle,) = opened(outer).submodules
        clone.git("config", "submodule.odd.na me.url", str(middle.git_dir))
        reference = ("--reference", str(middle.git_dir)) if kind == "reference" else ()
        clone.git("submodule", "--quiet", "update", "--init", *reference)
        inner = Repository(place / middle.path, outer.env)
        inner.git("config", "submodule.in/ner.url", str(middle.submodules[0].git_dir))
        inner.git("submodule", "--quiet", "update", "--init")

        (found,) = opened(clone).submodules

        assert found.git_dir == git_dir / "modules/odd.na me"
        assert found.commit == middle.commit
        assert [one.git_dir for one in found.submodules] == [found.git_dir / "modules/in/ner"]

    def test_the_old_layout_is_supported(self, tmp_path: Path, env: dict[str, str]) -> None:
        """
        A submodule may have its git directory inside its work tree.
        """
        outer = Repository(tmp_path / "outer", env)
        inner = outer.submodule("lib")
        outer.commit()

        assert [each.git_dir for each in opened(outer).submodules] == [inner.path / ".git"]

    def test_a_missing_submodule_is_explained(self, outer: Repository, tmp_path: Path) -> None:
        """
        If a submodule was never fetched, the error names the command to do so.
        """
        outer.git("clone", "--quiet", outer.path, tmp_path / "clone")

        said = refusal(tmp_path / "clone", outer.env)

        assert "submodule update --init --recursive" in said
        assert "CODEX_SKIP_SUBMODULES=1" in said

    def test_submodules_that_git_skips_are_skipped(self, outer: Repository, tmp_path: Path) -> None:
        """
        Submodules without an entry, with an unsafe name or with `update = none` are skipped.
        """
        (module,) = opened(outer).submodules
        outer.git("clone", "--quiet", outer.path, tmp_path / "clone")
        outer = Repository(tmp_path / "clone", outer.env)
        link = f"160000,{module.commit},"
        outer.git("update-index", "--add", "--cacheinfo", link + "no-entry")
        outer.git("update-index", "--add", "--cacheinfo", link + "evil")
        outer.git("config", "-f", ".gitmodules", "submodule.../../evil.path", "evil")
        for path in ("gone", "/etc", "../up"):
            outer.git("config", "-f", ".gitmodules", f"submodule.x{path}.path", path)
        outer.git("config", "-f", ".gitmodules", "submodule.odd.na me.update", "none")
        outer.git("commit", "--quiet", "--message=m", ".gitmodules")

        assert opened(outer).submodules == ()

    def test_an_invalid_gitmodules_is_explained(self, repo: Repository) -> None:
        """
        The error contains git's own message.
        """
        repo.commit({".gitmodules": "[submodule\n"})

        assert "bad config line 1" in refusal(repo.path, repo.env)
