"""Opening a repository at a commit."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_codex_workspace.errors import ProjectionError
from pytest_codex_workspace.git import run_git
from pytest_codex_workspace.repository import open_repository

from ..unit.repositories import Repository, host_environment

if TYPE_CHECKING:
    from pytest_codex_workspace.repository import RepositorySnapshot

SETUP = "codex-workspace-scripts/setup-script.sh"
RESUME = "codex-workspace-scripts/setup-from-cache-script.sh"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """
    The user's environment.
    """
    return host_environment(tmp_path / "home")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A repository with one commit, to be copied.
    """
    place = tmp_path_factory.mktemp("template")
    repo = Repository(place / "project", host_environment(place / "home"))
    repo.commit({"a.txt": "a\n", "sub/b.txt": "b\n"})
    return repo.path


@pytest.fixture
def repo(template: Path, tmp_path: Path, env: dict[str, str]) -> Repository:
    """
    A repository with one commit.
    """
    return Repository(Path(shutil.copytree(template, tmp_path / "project")), env)


def opened(repo: Repository, rev: str = "HEAD", **more: str) -> RepositorySnapshot:
    """
    *repo* as its user opens it.
    """
    return open_repository(repo.path, rev, environ={**repo.env, **more})


def refusal(path: str | Path, env: dict[str, str], rev: str = "HEAD") -> str:
    """
    Why it cannot be opened.
    """
    with pytest.raises(ProjectionError) as caught:
        open_repository(path, rev, environ=env)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return str(caught.value)


def test_subdirectory(repo: Repository) -> None:
    """
    A directory in a work tree stands for the repository it is in.
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


def test_scripts_of_commit(repo: Repository) -> None:
    """
    Scripts are those of the commit, whatever the work tree has.
    """
    repo.commit({SETUP: "true\n"})
    (repo.path / RESUME).write_text("true\n")
    (repo.path / SETUP).unlink()

    snapshot = opened(repo)

    assert repo.git("rev-parse", "HEAD:codex-workspace-scripts") == snapshot.scripts_tree
    assert (snapshot.has_setup, snapshot.has_resume) == (True, False)
    assert opened(repo, "HEAD~1").scripts_tree is None


def test_scripts_are_a_file(repo: Repository) -> None:
    """
    A file named like the scripts' directory is not one.
    """
    repo.commit({"codex-workspace-scripts": "no\n"})

    assert opened(repo).scripts_tree is None


@pytest.mark.parametrize("rev", ["HEAD~1", "v1", "other", ":/m"])
def test_revisions(repo: Repository, rev: str) -> None:
    """
    Whatever git understands names a commit, annotated tags included.
    """
    head = repo.head()
    repo.git("tag", "--annotate", "--message=t", "v1")
    repo.git("branch", "other")
    repo.commit({"c.txt": "c\n"})
    later = repo.head()

    assert {":/m": later}.get(rev, head) == opened(repo, rev).head


def test_linked_worktree(repo: Repository, tmp_path: Path) -> None:
    """
    A linked worktree is projected at its own HEAD, under the repository's
    name, and shares the repository's cache.
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
def test_worktree_of_bare_repository(repo: Repository, tmp_path: Path, bare: str) -> None:
    """
    A bare repository names its worktrees.
    """
    repo.git("clone", "--quiet", "--bare", repo.path, tmp_path / bare)
    repo.git(f"--git-dir={tmp_path / bare}", "worktree", "add", "--quiet", tmp_path / "w", "main")

    assert open_repository(tmp_path / "w", environ=repo.env).name == "thing"


def test_shallow_clone(repo: Repository, tmp_path: Path) -> None:
    """
    A shallow clone does not know its root: its cache is its own.
    """
    repo.commit()
    shallow = []
    for place in ("1/project", "2/project"):
        repo.git("clone", "--quiet", "--depth=1", f"file://{repo.path}", tmp_path / place)
        shallow.append(open_repository(tmp_path / place, environ=repo.env))

    assert all(snapshot.shallow for snapshot in shallow)
    assert len({opened(repo).identity, *(snapshot.identity for snapshot in shallow)}) == 3


def test_sha256(tmp_path: Path, env: dict[str, str]) -> None:
    """
    Repositories with long object ids are as good.
    """
    repo = Repository(tmp_path / "r", env, "--object-format=sha256")
    repo.commit()
    head = repo.head()

    assert ("sha256", head) == (opened(repo).object_format, opened(repo).head)
    assert len(head) == 64


def test_identity(repo: Repository, tmp_path: Path) -> None:
    """
    Clones of one name share a cache; other names and other roots do not.
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
def test_names(
    template: Path, tmp_path: Path, env: dict[str, str], name: str, expected: str
) -> None:
    """
    The name is one that a hosting service would give, whatever the directory's.
    """
    path = Path(shutil.copytree(template, tmp_path / name))

    snapshot = open_repository(path, environ=env)

    assert (snapshot.name, snapshot.path) == (expected, path)


def test_not_a_repository(tmp_path: Path, env: dict[str, str]) -> None:
    """
    Each wrong path is told apart, with what to do about it.
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


def test_no_commit(tmp_path: Path, env: dict[str, str]) -> None:
    """
    Without a commit there is nothing to project.
    """
    repo = Repository(tmp_path / "r", env)

    assert "has no commit at HEAD yet" in refusal(repo.path, env)


def test_bare(repo: Repository, tmp_path: Path) -> None:
    """
    A bare repository has no work tree, and a .git directory is none.
    """
    repo.git("clone", "--quiet", "--bare", repo.path, tmp_path / "b.git")

    assert "is a bare repository" in refusal(tmp_path / "b.git", repo.env)
    assert "is inside a .git directory" in refusal(repo.path / ".git", repo.env)


@pytest.mark.parametrize("rev", ["develp", "nonsense", "--all", "", "HEAD~5", "HEAD..HEAD", "a\0b"])
def test_unknown_revision(repo: Repository, rev: str) -> None:
    """
    What names no commit is refused, and a near name suggested.
    """
    repo.git("branch", "develop")

    said = refusal(repo.path, repo.env, rev)

    assert "names no commit" in said or "\0" in rev
    assert ("did you mean 'develop'?" in said) == (rev == "develp")


def test_remote_branch_is_suggested(repo: Repository, tmp_path: Path) -> None:
    """
    A branch that only the remote has is found under its full name.
    """
    repo.git("branch", "feature")
    repo.git("clone", "--quiet", repo.path, tmp_path / "clone")

    assert "'origin/feature'" in refusal(tmp_path / "clone", repo.env, "feature")


def test_owned_by_another(repo: Repository) -> None:
    """
    Git's refusal to open another user's repository stands, and the way out is
    the user's to take.
    """
    env = {**repo.env, "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
    line = f"git config --global --add safe.directory {repo.path}"

    assert line in refusal(repo.path, env)

    repo.git(*line.split()[1:])
    assert open_repository(repo.path, environ=env).head


def test_git_missing(repo: Repository, tmp_path: Path) -> None:
    """
    Without git the message says how to get it.
    """
    assert "git is not installed" in refusal(repo.path, {**repo.env, "PATH": str(tmp_path)})


def test_in_a_hook(repo: Repository, tmp_path: Path) -> None:
    """
    What git sets for its hooks does not lead to the hook's repository.
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


def test_files_of_partial_clone_missing(repo: Repository, tmp_path: Path) -> None:
    """
    A partial clone without the commit's trees is refused, not filled.
    """
    repo.git("config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "clone"
    filtered = ("--filter=tree:0", "--no-checkout")
    repo.git("clone", "--quiet", *filtered, f"file://{repo.path}", clone)

    assert "fetch --refetch --no-filter origin" in refusal(clone, repo.env)


def test_time_limit(tmp_path: Path, env: dict[str, str]) -> None:
    """
    A git that does not end is killed with its children.
    """
    with pytest.raises(ProjectionError, match=r"did not end within 0\.05 s"):
        run_git("-c", "alias.wait=!sleep 60", "wait", env=env, cwd=tmp_path, timeout=0.05)


@pytest.fixture(scope="module")
def outer(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """
    A repository with a submodule of an odd name, which has one itself; their
    git directories are where git puts them today.
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
    def test_recursive(self, outer: Repository) -> None:
        """
        Each is found with its own below it.
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
    def test_skipped(self, outer: Repository, value: str) -> None:
        """
        CODEX_SKIP_SUBMODULES leaves them out.
        """
        assert opened(outer, CODEX_SKIP_SUBMODULES=value).submodules == ()

    def test_not_skipped(self, outer: Repository) -> None:
        """
        CODEX_SKIP_SUBMODULES=0 does not.
        """
        assert len(opened(outer, CODEX_SKIP_SUBMODULES="0").submodules) == 1

    def test_linked_worktree(self, outer: Repository, tmp_path: Path) -> None:
        """
        In a linked worktree without submodules those of the main one serve.
        """
        outer.git("worktree", "add", "--quiet", tmp_path / "linked")

        snapshot = open_repository(tmp_path / "linked", environ=outer.env)

        assert opened(outer).submodules == snapshot.submodules

    @pytest.mark.promise("S4")
    def test_work_trees_need_not_be_there(self, outer: Repository, tmp_path: Path) -> None:
        """
        Their git directories name them, and may be all there is.
        """
        copy = Repository(tmp_path / "copy", outer.env)
        shutil.rmtree(copy.path / ".git")
        shutil.copytree(outer.path / ".git", copy.path / ".git")

        (middle,) = opened(copy).submodules
        (inner,) = middle.submodules

        assert middle.git_dir / "modules/in/ner" == inner.git_dir

    def test_old_layout(self, tmp_path: Path, env: dict[str, str]) -> None:
        """
        A submodule may still have its git directory inside it.
        """
        outer = Repository(tmp_path / "outer", env)
        inner = outer.submodule("lib")
        outer.commit()

        assert [each.git_dir for each in opened(outer).submodules] == [inner.path / ".git"]

    def test_commit_missing(self, outer: Repository, tmp_path: Path) -> None:
        """
        A submodule that was never fetched is an error that names the command.
        """
        outer.git("clone", "--quiet", outer.path, tmp_path / "clone")

        said = refusal(tmp_path / "clone", outer.env)

        assert "submodule update --init --recursive" in said
        assert "CODEX_SKIP_SUBMODULES=1" in said

    def test_passed_over(self, outer: Repository, tmp_path: Path) -> None:
        """
        What git would not check out is no submodule: no entry, a name that
        leads out of .git/modules, `update = none`.
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

    def test_bad_gitmodules(self, repo: Repository) -> None:
        """
        A .gitmodules that is none is shown in git's words.
        """
        repo.commit({".gitmodules": "[submodule\n"})

        assert "bad config line 1" in refusal(repo.path, repo.env)
