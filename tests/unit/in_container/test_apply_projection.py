"""Tests of bringing a project directory that setup has changed to a commit."""

from __future__ import annotations

import io
import json
import os
import random
import runpy
import shutil
import subprocess
import tarfile
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO
from unittest.mock import patch

import pytest

from pytest_codex_workspace.in_container.apply_projection import OBJECTS_MISSING, REFUSED, REFUSES
from pytest_codex_workspace.projection.archive import Projection
from pytest_codex_workspace.projection.repository import find_tags, open_repository
from pytest_codex_workspace.projection.switch import switch_archive, switch_error

from ...helpers.archives import unpack_all
from ...helpers.repositories import Repository, host_environment

pytestmark = [pytest.mark.needs_git, pytest.mark.slow]

FILES = {
    ".gitattributes": "*.bat eol=crlf\n*.id ident\n*.bin filter=lfs -text\n",
    ".gitignore": "*.ignored\n",
    "README": "1\n",
    "a": "1\n",
    "b": "1\n",
    "dir/c": "1\n",
    "dir/d": "1\n",
    "x.bat": "a\nb\n",
    "x.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "x.id": "$Id$\n",
}

# What setup does; what the commit does; what is lost; the files and the status afterwards. All are
# tried in one repository, each in a directory of its own with the files above.
FILE_CASES = {
    "changed twice": ("echo s >a", {"a": "2\n"}, ["a"], {"a": "2\n"}, []),
    "changed alike": ("echo 2 >a", {"a": "2\n"}, [], {"a": "2\n"}, []),
    "changed and removed": ("echo s >a", {"a": None}, ["a"], {"a": None}, []),
    "removed and changed": ("rm a", {"a": "2\n"}, ["a"], {"a": "2\n"}, []),
    "removed twice": ("git rm -q a", {"a": None}, [], {"a": None}, []),
    "only setup removes": ("rm a", {"b": "2\n"}, [], {"a": None}, [" D a"]),
    "only setup untracks": ("git rm -q --cached a", {"b": "2\n"},
                            [], {"a": "1\n"}, ["D  a", "?? a"]),
    "only setup stages": ("echo s >a; git add a", {"b": "2\n"}, [], {"a": "s\n"}, ["M  a"]),
    "staged and changed": ("echo s >a; git add a", {"a": "2\n"}, ["a"], {"a": "2\n"}, []),
    "only setup renames": ("git mv a z", {"b": "2\n"}, [], {"z": "1\n"}, ["D  a", "A  z"]),
    "renamed and changed": ("git mv a z", {"a": "2\n"}, ["a"], {"a": "2\n"}, ["A  z"]),
    "only setup changes the mode": ("chmod +x a", {"b": "2\n"}, [], {"a": "1\n"}, [" M a"]),
    "mode and content": ("chmod +x a", {"a": "2\n"}, ["a"], {"a": "2\n"}, []),
    "untracked in the way": ("echo s >n", {"n": "2\n"}, ["n"], {"n": "2\n"}, []),
    "untracked and equal": ("echo 2 >n", {"n": "2\n"}, [], {"n": "2\n"}, []),
    "ignored in the way": ("echo s >n.ignored", {".gitignore": "!*\n", "n.ignored": "2\n"},
                           ["n.ignored"], {"n.ignored": "2\n"}, []),
    "directory in the way": ("mkdir n; touch n/x", {"n": "2\n"}, ["n"], {"n": "2\n"}, []),
    "file above": ("echo s >n", {"n/x": "2\n"}, ["n/x"], {"n/x": "2\n"}, []),
    "link above": ("rm -r dir; ln -s /etc dir", {"dir/c": "2\n"},
                   ["dir/c"], {"dir/c": "2\n"}, [" D dir/d"]),
    "link above what goes": ("rm -r dir; ln -s . dir; echo s >c", {"dir/c": None},
                             [], {"c": "s\n"}, [" D dir/d", "?? c", "?? dir"]),
    "file becomes directory": ("rm a; mkdir a; touch a/x", {"b": "2\n"},
                               [], {"a/x": ""}, [" D a", "?? a/x"]),
    "file becomes directory, changed": ("rm a; mkdir a; touch a/x", {"a": "2\n"},
                                        ["a"], {"a": "2\n"}, []),
    "the commit swaps": ("true", {"a": None, "a/x": "2\n", "dir/c": None, "dir/d": None,
                         "dir": "2\n"}, [], {"a/x": "2\n", "dir": "2\n"}, []),
    "the commit swaps what is changed": (
        "echo s >a; echo s >dir/c; touch dir/x",
        {"a": None, "a/x": "2\n", "dir/c": None, "dir/d": None, "dir": "2\n"},
        ["a", "a/x", "dir", "dir/c"], {"a/x": "2\n", "dir": "2\n"}, []),
    "link becomes file": ("rm link; echo s >link", {"b": "2\n"}, [], {"link": "s\n"}, [" T link"]),
    "assumed unchanged": ("git update-index --assume-unchanged a; echo s >a", {"a": "2\n"},
                          ["a"], {"a": "2\n"}, []),
    "skipped": ("git update-index --skip-worktree a b; echo s >a", {"a": "2\n"},
                ["a"], {"a": "2\n", "b": "1\n"}, []),
    "hidden and not changed": ("git update-index --assume-unchanged a; echo s >a", {"b": "2\n"},
                               [], {"a": "s\n", "b": "2\n"}, []),
    "line ends": ("sed -i 's/$/\\r/' b", {"b": "2\n"}, ["b"], {"b": "2\n"}, []),
    "attributes": ("true", {".gitattributes": "a eol=crlf\n", "a": "2\n"},
                   [], {"a": "2\r\n"}, []),
    "attributes and a change": ("echo s >a", {".gitattributes": "a eol=crlf\n", "a": "2\n"},
                                ["a"], {"a": "2\r\n"}, []),
    "downloaded": ("echo large >x.bin", {"b": "2\n"}, [], {"x.bin": "large\n"}, [" M x.bin"]),
    "not normalised": ("true", {"odd.bat": "2\r\n"}, [], {"odd.bat": "2\r\n"}, None),
}  # fmt: skip

# What setup does to the whole repository.
REPOSITORY_CASES = {
    "a commit": ("echo s >a; echo s >z; git add .; git commit -qm s", {"b": "2\n"},
                 [], {"a": "1\n", "z": None}, []),
    "branches": ("git switch -qc mine; git branch -qD work; git branch work/mine; echo s >a;"
                 " git stash -q; echo s >b; touch .git/index.lock .git/HEAD.lock", {"a": "2\n"},
                 [], {"a": "2\n", "b": "s\n"}, [" M b"]),
    "a merge": ("git switch -qc m; echo m >a; git commit -qam m; git switch -q work;"
                " echo w >a; echo w >b; git commit -qam w; git merge -q m >/dev/null; true",
                {"dir/c": "2\n"}, ["a"], {"dir/c": "2\n", "a": "1\n", "b": "1\n"}, []),
    "a damaged index": ("echo s >b; echo nonsense >.git/index", {"a": "2\n"},
                        [], {"a": "2\n", "b": "s\n"}, [" M b"]),
    "no index": ("echo s >b; rm .git/index", {"a": "2\n"},
                 [], {"a": "2\n", "b": "s\n"}, [" M b"]),
    "a damaged HEAD": ("echo nonsense >.git/HEAD; echo s >b", {"a": "2\n"},
                       [], {"a": "2\n", "b": "s\n"}, [" M b"]),
    "a moved repository": ("mv .git ../elsewhere; echo gitdir: ../elsewhere >.git; echo s >b",
                           {"a": "2\n"}, [], {"a": "2\n", "b": "s\n"}, [" M b"]),
    "no repository": ("rm -r .git; echo s >b", {"a": "2\n"},
                      ["a", "b"], {"a": "2\n", "b": "1\n"}, []),
    "a new repository": (
        "echo s >b; rm -r .git; git init -q -b main; git add .; git commit -qm s",
        {"a": "2\n"}, [], {"a": "2\n", "b": "1\n"}, []),
    "a hook and settings": ("echo 'exit 1' >.git/hooks/reference-transaction;"
                            " chmod +x .git/hooks/*; git config core.fsmonitor false;"
                            " git config core.checkStat minimal",
                            {"a": "2\n"}, [], {"a": "2\n"}, []),
    "another work tree": ("git worktree add -q --detach ../other; git checkout -q --detach;"
                          " git -C ../other switch -q work", {"a": "2\n"}, [], {"a": "2\n"}, []),
    "sparse": ("git sparse-checkout set --no-cone /a /dir", {"a": "2\n", "b": "2\n"},
               [], {"a": "2\n", "b": None}, []),
}  # fmt: skip


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Create a repository with one commit, and a project directory, for the tests to copy.
    """
    place = tmp_path_factory.mktemp("template")
    repo = Repository(place / "project", host_environment(place / "home"))
    (repo.path / "link").symlink_to("a")
    repo.commit(dict(FILES))
    workspace = Workspace(place / "w")
    assert workspace.bring_to(repo) == 0
    return place


@pytest.fixture
def repo(template: Path, tmp_path: Path) -> Repository:
    """
    Return a repository with one commit.
    """
    place = shutil.copytree(template / "project", tmp_path / "project", symlinks=True)
    return Repository(Path(place), host_environment(tmp_path / "home"))


class Workspace(Repository):
    """
    A project directory, and what the program said of it last.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, host_environment(path.parent / "in-container"))
        self.lost: list[str] = []
        self.said = ""
        self.now = 0.0
        self.projects = b"/workspace/"
        self.naps: list[float] = []
        self.has: str | None = None
        self.sizes: list[int] = []

    def bring_to(
        self,
        repo: Repository,
        *,
        objects: bool = True,
        refuses: bool = False,
        tags: bool = False,
        depth: int | None = None,
    ) -> int:
        """
        Run the program for HEAD of *repo*, and return its exit code. The archive has what is not in
        the commit before; then everything, if that is not there any more.
        """
        snapshot = open_repository(repo.path, environ=repo.env)
        found = find_tags(snapshot, repo.env) if tags else None
        snapshot = replace(snapshot, tags=found, depth=depth)
        if not objects:
            return self._apply(repo, switch_archive(snapshot), refuses)
        code, self.sizes = OBJECTS_MISSING, []
        for have in dict.fromkeys((self.has, None)):
            if code == OBJECTS_MISSING:
                with Projection.of(snapshot, have=have) as projection:
                    self.sizes.append(projection.size)
                    code = self._apply(repo, projection.open(), refuses)
        self.has = snapshot.head
        return code

    def _apply(self, repo: Repository, archive: BinaryIO, refuses: bool) -> int:
        root = self.path.parent / "root"
        with archive:
            self._unpack(archive, root)
        script = runpy.run_path(f"{root}/codex-projection/apply_projection.py", run_name="script")
        clock = SimpleNamespace(time=lambda: self.now, sleep=self.naps.append)
        script["main"].__globals__.update(time=clock, TOLD=1000, PROJECTS=self.projects)
        said, errors = io.StringIO(), io.StringIO()
        environ = {**os.environ, **({REFUSES: "1"} if refuses else {})}
        patched = patch.dict(os.environ, environ)
        with patched, redirect_stdout(said), redirect_stderr(errors):
            code = int(script["main"]([str(self.path)]))
        assert errors.getvalue() == ""
        self.said = said.getvalue()
        self.lost = json.loads(self.said or "{}").get("paths", [])
        if code == 0:
            assert (self.head(), self.git("branch", "--show-current")) == (repo.head(), "work")
            assert not [*(self.path / ".git").glob("*_HEAD")]
        return code

    @staticmethod
    def _unpack(archive: object, root: Path) -> None:
        with tarfile.open(fileobj=archive) as tar:  # type: ignore[call-overload]
            unpack_all(tar, root)

    def commit_image(self) -> None:
        """
        Do to the files what an image does: other inodes, and times in seconds.
        """
        copy = self.path.with_name("copy")
        shutil.copytree(self.path, copy, symlinks=True)
        shutil.rmtree(self.path)
        copy.rename(self.path)
        for path in self.path.rglob("*"):
            seconds = int(path.lstat().st_mtime) - 10
            os.utime(path, (seconds, seconds), follow_symlinks=False)

    def shell(self, script: str) -> str:
        """
        Run what a setup script does, and return what it printed.
        """
        done = subprocess.run(
            ["sh", "-c", script], cwd=self.path, env=self.env, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    def status(self) -> list[str]:
        """
        Return the lines of `git status`.
        """
        options = ("--porcelain", "--untracked-files=all", "--no-renames", "--branch")
        return self.git("status", *options).splitlines()[1:]

    def marks(self) -> dict[str, tuple[int, int]]:
        """
        Return inode and modification time of every file of the project.
        """
        return {
            str(path.relative_to(self.path)): (path.lstat().st_ino, path.lstat().st_mtime_ns)
            for path in self.path.rglob("*")
            if ".git" not in path.parts and not path.is_dir()
        }


@pytest.fixture
def workspace(template: Path, tmp_path: Path) -> Workspace:
    """
    Return a project directory at the first commit, in an image.
    """
    made = Workspace(Path(shutil.copytree(template / "w", tmp_path / "w", symlinks=True)))
    made.has = made.head()
    made.commit_image()
    return made


def test_only_what_the_commit_changes_is_written(repo: Repository, workspace: Workspace) -> None:
    """
    S6: Files that do not differ keep inode and time: plain files, links, files with attributes,
    files that setup has written again, and files that it has changed.
    """
    (workspace.path / "b").write_text("1\n")
    (workspace.path / "dir/c").write_text("setup\n")
    os.link(workspace.path / "a", workspace.path / "hard.ignored")
    before = workspace.marks()
    (repo.path / "dir/d").chmod(0o755)
    repo.commit({"README": "2\n", "new": "1\n"})

    workspace.bring_to(repo)

    after = workspace.marks()
    changed = {name for name in after if before.get(name) != after[name]}
    assert changed == {"README", "dir/d", "new"}
    assert workspace.status() == [" M dir/c"]
    assert (workspace.path / "a").stat().st_nlink == 2
    assert workspace.lost == []


def test_what_is_written_is_newer_than_what_setup_built(
    repo: Repository, workspace: Workspace
) -> None:
    """
    S6: An image cuts times to seconds; a file of the commit must not be as old as what was built
    from its old version.
    """
    index = workspace.path / ".git/index"
    for number, (now, naps) in enumerate({2000.25: [0.75], 1999.75: [], 2001.0: []}.items()):
        repo.commit({"README": f"{number + 2}\n"})
        os.utime(index, (2000, 2000))
        workspace.now, workspace.naps = now, []

        workspace.bring_to(repo)

        assert naps == workspace.naps


def check(workspace: Workspace, case: Path, files: dict[str, str | None]) -> None:
    """
    Check the content of *files* below the directory *case*.
    """
    for name, content in files.items():
        path = workspace.path / case / name
        found = path.read_bytes().decode() if os.path.lexists(path) else None
        assert content == found, case / name


def test_changes_of_setup_and_of_the_commit(tmp_path: Path) -> None:
    """
    S6: What setup changed stays unless the commit changes it, too; then the commit's version is
    taken, and the file is named.
    """
    repo = Repository(tmp_path / "project", host_environment(tmp_path / "home"))
    places = {case: case.replace(" ", "-").replace(",", "") for case in FILE_CASES}
    for place in places.values():
        (repo.path / place).mkdir()
        (repo.path / place / "link").symlink_to("a")
    repo.commit({f"{at}/{name}": text for at in places.values() for name, text in FILES.items()})
    workspace = Workspace(tmp_path / "w")
    workspace.bring_to(repo)
    workspace.commit_image()
    for case, place in places.items():
        workspace.shell(f"cd {place}; {FILE_CASES[case][0]}")
    workspace.commit_image()
    removed = {True: {}, False: {}}
    for case, place in places.items():
        for name, content in FILE_CASES[case][1].items():
            removed[content is None][f"{place}/{name}"] = content
    repo.commit(removed[True])
    for parent in {Path(name).parent for name in removed[True]}:
        with suppress(OSError):
            (repo.path / parent).rmdir()
    repo.commit(removed[False])

    assert workspace.bring_to(repo) == 0

    status = workspace.status()
    for case, place in places.items():
        _, _, lost, files, expected = FILE_CASES[case]
        inside = [line for line in status if line[3:].startswith(f"{place}/")]
        check(workspace, Path(place), files)
        if expected is not None:
            assert expected == [line.replace(f"{place}/", "") for line in inside], case
        assert [f"{place}/{one}" for one in lost] == [
            one for one in workspace.lost if one.startswith(f"{place}/")
        ]


@pytest.mark.parametrize("case", REPOSITORY_CASES)
def test_a_repository_in_any_state(repo: Repository, workspace: Workspace, case: str) -> None:
    """
    S6: The workspace gets to the commit, whatever setup did to its repository, and then again
    without any objects.
    """
    setup, commit, lost, files, expected = REPOSITORY_CASES[case]
    workspace.shell(setup)
    workspace.commit_image()
    repo.commit(dict(commit))

    assert workspace.bring_to(repo) == 0

    assert lost == workspace.lost
    check(workspace, Path(), files)
    assert expected == workspace.status()
    before = workspace.marks()
    assert workspace.bring_to(repo, objects=False) == 0
    assert before == workspace.marks()


AS_GIT = {
    # What setup does; what the commit does; what the error names.
    "changed twice": ("echo s >a", {"a": "2\n"}, "too: a."),
    "changed alike": ("echo 2 >a", {"a": "2\n"}, "too: a."),
    "changed apart": ("echo s >a; rm b; chmod +x dir/c", {"dir/d": "2\n"}, ""),
    "staged": ("echo s >a; git add a; git rm -q b; git mv dir/c z", {"dir/d": "2\n"}, ""),
    "staged and changed": ("echo s >a; git add a", {"a": "2\n"}, "too: a."),
    "removed and changed": ("rm a", {"a": "2\n"}, ""),
    "untracked": ("echo s >n; mkdir m; echo s >m/x", {"a": "2\n"}, ""),
    "untracked in the way": ("echo s >n; echo s >m", {"n": "2\n", "m": "2\n"}, "removes: m, n."),
    "ignored in the way": ("echo s >n.ignored", {".gitignore": "!*\n", "n.ignored": "2\n"}, ""),
    "both": ("echo s >n; echo s >a", {"n": "2\n", "a": "2\n"}, "too: a; it made files"),
    "committed": ("echo s >a; git commit -qam s; git branch -m mine", {"b": "2\n"}, ""),
    "merging": (
        "git checkout -qb x; echo x >a; git commit -qam x; git checkout -q work; echo y >a; "
        "git commit -qam y; git merge -q x || true",
        {"b": "2\n"},
        "git said: ",
    ),
    "a remote": (
        "git remote add origin /nowhere; git update-ref refs/remotes/origin/main HEAD; "
        "git config branch.work.remote origin; git config branch.work.merge refs/heads/main",
        {"b": "2\n"},
        "",
    ),
    "nothing new": ("echo s >a; touch n; git checkout -q --detach; git branch -D -q work", {}, ""),
}


@pytest.mark.parametrize("case", AS_GIT)
def test_a_switch_that_loses_nothing_is_gits_own(
    repo: Repository, workspace: Workspace, tmp_path: Path, case: str
) -> None:
    """
    What `git switch` does in another copy: it refuses the same, and leaves the same. The branch is
    `work`, and there is no other.
    """
    setup, commit, words = AS_GIT[case]
    workspace.shell(f"git config user.name s; git config user.email s@example.org; {setup}")
    workspace.commit_image()
    repo.commit(dict(commit))
    other = Workspace(Path(shutil.copytree(workspace.path, tmp_path / "by-git", symlinks=True)))
    other.git("fetch", "--quiet", "--no-tags", repo.path, "HEAD")
    refused = subprocess.run(
        ["git", "switch", "-qc", "new", "FETCH_HEAD"], cwd=other.path, env=other.env, check=False
    ).returncode

    code = workspace.bring_to(repo, refuses=True)

    assert bool(refused) == bool(words)
    assert code == (REFUSED if refused else 0)
    if refused:
        error = switch_error("bbbb", workspace.said, script="s.sh")
        assert words in error.message
        assert error.script == "s.sh"
        assert error.remedy in error.without_tail
        assert error.remedy
    else:
        assert workspace.status() == other.status()
        assert workspace.git("for-each-ref", "refs/remotes") == workspace.git("remote") == ""
        for path in other.marks():
            assert (workspace.path / path).read_bytes() == (other.path / path).read_bytes()


def test_a_repository_that_setup_removed_is_refused(repo: Repository, workspace: Workspace) -> None:
    """
    Codex's sync would find none, so no other is made.
    """
    shutil.rmtree(workspace.path / ".git")

    assert workspace.bring_to(repo, refuses=True) == REFUSED

    assert (
        "there is no .git/HEAD any more"
        in switch_error("bbbb", workspace.said, script="s.sh").message
    )


@pytest.mark.parametrize(
    "said", ["", "no JSON", "[1]", '{"refused": 1}', "[" * 100_000, r'{"refused": "\u001b[2J"}']
)
def test_what_setup_says_in_gits_place_is_an_error_nevertheless(said: str) -> None:
    """
    A program of the workspace may have taken the place of ours.
    """
    message = switch_error("bbbb", said, script="s.sh").message
    assert "git refuses to switch to the commit bbbb" in message
    assert message.isprintable()


def test_tags_and_depth(repo: Repository, tmp_path: Path) -> None:
    """
    Tags of the history arrive where they are asked for, at a later commit, too, and without
    objects; setup's own stay. History ends at the depth, as that of a clone of git does.
    """
    for number in range(5):
        repo.commit({"a": f"{number}\n"})
        repo.git("tag", "-a", "-m", "t", f"v{number}")
    repo.git("checkout", "-qb", "other", "HEAD~3")
    repo.commit({"side": "1\n"})
    repo.git("tag", "elsewhere")
    repo.git("checkout", "-q", "main")
    repo.git("merge", "-q", "--no-ff", "-m", "m", "other~1")
    repo.git("tag", "light/one")
    none, every, cut = (Workspace(tmp_path / name) for name in ("none", "every", "cut"))

    for workspace, options in (
        (none, {}),
        (every, {"tags": True}),
        (cut, {"tags": True, "depth": 2}),
    ):
        workspace.bring_to(repo, **options)
        workspace.git("fsck", "--strict")

    assert none.git("tag").split() == []
    assert none.git("describe", "--always") == repo.head()[:7]
    assert every.git("tag").split() == ["light/one", *(f"v{one}" for one in range(5))]
    assert every.git("describe") == repo.git("describe")
    assert cut.git("tag").split() == ["light/one", "v3", "v4"]
    clone = Repository(tmp_path / "clone", repo.env)
    clone.git("fetch", "-q", "--depth=2", f"file://{repo.path}", "main")
    assert cut.git("rev-list", "HEAD") == clone.git("rev-list", "FETCH_HEAD")
    assert cut.git("rev-parse", "--is-shallow-repository") == "true"

    for workspace in (every, cut):
        workspace.shell("git tag mine; git tag -f v4 HEAD~1; git tag v5; git tag light/two")
    repo.commit({"a": "new\n"})
    repo.git("tag", "v5/a")
    repo.git("tag", "-d", "light/one")
    repo.git("tag", "light")
    every.bring_to(repo, tags=True)
    cut.bring_to(repo, tags=True, depth=2, refuses=True)
    clone.git("fetch", "-q", "--depth=2", f"file://{repo.path}", "main")

    assert cut.git("rev-list", "HEAD") == clone.git("rev-list", "FETCH_HEAD")
    assert every.git("rev-parse", "v4^{commit}") == repo.git("rev-parse", "v4^{commit}")
    assert every.git("tag").split() == ["light", "mine", *(f"v{one}" for one in range(5)), "v5/a"]
    assert every.bring_to(repo, tags=True, objects=False) == 0
    before = cut.git("for-each-ref")
    assert cut.bring_to(repo, tags=True, depth=2, objects=False) == 0
    assert before == cut.git("for-each-ref")
    assert every.git("for-each-ref", "refs/codex-projection") == ""
    repo.git("tag", "-a", "-m", "later", "v6")
    assert every.bring_to(repo, tags=True, objects=False) == OBJECTS_MISSING
    assert every.bring_to(repo, tags=True) == 0
    assert "v6" in every.git("tag").split()


def test_only_what_is_new_is_sent(repo: Repository, workspace: Workspace, tmp_path: Path) -> None:
    """
    Neither the history, nor files and submodules that are there already. What arrives is whole.
    """
    module = Repository(tmp_path / "module", repo.env)
    module.commit({"large": random.Random(1).randbytes(300_000).hex()})
    other = Repository(tmp_path / "other", repo.env)
    other.commit({"small": "1\n"})
    repo.commit({"large": random.Random(2).randbytes(300_000).hex()})
    for one in (module, other):
        repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(one.path))
    repo.commit({"a": "2\n"})
    assert workspace.bring_to(repo) == 0
    assert workspace.sizes[0] > 400_000

    other.commit({"small": "2\n"})
    repo.git("-C", "other", "pull", "-q", str(other.path), "main")
    repo.git("tag", "v1")
    repo.commit({"b": "2\n"})
    assert workspace.bring_to(repo, tags=True) == 0

    assert len(workspace.sizes) == 1
    assert workspace.sizes[0] < 200_000
    assert (workspace.path / "other/small").read_text() == "2\n"
    assert (workspace.path / "b").read_text() == "2\n"
    assert workspace.git("tag") == "v1"
    workspace.git("fsck", "--strict", "--no-dangling")
    assert workspace.git("rev-list", "HEAD") == repo.git("rev-list", "HEAD")


@pytest.mark.parametrize(
    "setup",
    [
        "rm -r .git",
        "rm -r .git; git init -q",
        "rm -r .git; git init -q; git add .; git commit -qm mine",
        # The commit is there, and some of its files are not.
        "mv .git/objects/pack x.ignored; git unpack-objects -q <$(ls x.ignored/*.pack); "
        "rm .git/objects/$(git rev-parse HEAD^{tree} | cut -c1-2)/*",
        # A directory that the commit changes is not there, nor a file in it that stays.
        "mv .git/objects/pack x.ignored; git unpack-objects -q <$(ls x.ignored/*.pack); "
        "for f in $(git rev-parse HEAD:dir HEAD:dir/d); do "
        "rm .git/objects/$(echo $f | cut -c1-2)/$(echo $f | cut -c3-); done; "
        "mkdir .git/objects/pack",
        "mv .git/objects/pack x.ignored; git unpack-objects -q <$(ls x.ignored/*.pack); "
        "rmdir .git/objects/pack; touch .git/objects/pack",
        "git rev-parse HEAD >.git/shallow",
    ],
)
def test_everything_is_sent_if_the_commit_before_is_damaged(
    repo: Repository, workspace: Workspace, setup: str
) -> None:
    """
    Setup may do to the repository whatever it wants.
    """
    repo.commit({"dir/d": "like no other\n"})
    assert workspace.bring_to(repo) == 0
    workspace.shell("git repack -qad")
    repo.commit({"a": "2\n"})
    repo.commit({"a": "3\n", "dir/c": "3\n"})
    workspace.shell(setup)

    assert workspace.bring_to(repo) == 0

    assert len(workspace.sizes) == 2
    assert (workspace.path / "a").read_text() == "3\n"
    workspace.git("fsck", "--no-dangling")


def test_a_submodule_that_setup_has_removed_is_sent_with_the_others(
    repo: Repository, workspace: Workspace, tmp_path: Path
) -> None:
    """
    That is found out before anything is changed: another submodule comes to its commit, and what
    was lost is told.
    """
    modules = [Repository(tmp_path / name, repo.env) for name in ("aa", "zz")]
    for one in modules:
        one.commit({"x": "1\n"})
        repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(one.path))
    repo.commit({"a": "2\n"})
    assert workspace.bring_to(repo) == 0
    modules[1].commit({"x": "2\n"})
    repo.git("-C", "zz", "pull", "-q", str(modules[1].path), "main")
    repo.commit({"a": "3\n"})
    workspace.shell("rm -rf .git/modules/aa aa; echo setup >a")

    assert workspace.bring_to(repo) == 0

    assert len(workspace.sizes) == 2
    assert (workspace.path / "zz/x").read_text() == "2\n"
    assert (workspace.path / "aa/x").read_text() == "1\n"
    assert workspace.lost == ["a"]
    assert workspace.status() == []


def test_a_commit_that_the_host_has_lost_is_no_base(repo: Repository, workspace: Workspace) -> None:
    """
    It was rewritten and pruned, so everything is sent at once.
    """
    repo.git("checkout", "-q", "--orphan", "fresh")
    repo.commit({"a": "9\n"})
    repo.git("branch", "-qD", "main")
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "-q", "--prune=now")

    assert workspace.bring_to(repo) == 0

    assert len(workspace.sizes) == 1
    assert (workspace.path / "a").read_text() == "9\n"


@pytest.mark.parametrize(
    "label",
    [
        "--all",
        "HEAD",
        "main",
        "0" * 40,
        "a" * 39 + "\n",
        "HEAD^{/.|}\n9bb0\n\n}",
        "HEAD\0",
    ],
)
def test_a_label_that_names_no_commit_is_no_base(
    repo: Repository, workspace: Workspace, label: str
) -> None:
    """
    An image of a shared cache says what its maker wants.
    """
    repo.commit({"a": "2\n"})
    workspace.has = label

    assert workspace.bring_to(repo) == 0

    assert len(workspace.sizes) == 1
    assert (workspace.path / "a").read_text() == "2\n"


def test_without_the_objects(repo: Repository, workspace: Workspace) -> None:
    """
    S6: A commit that the workspace does not have is reported, and nothing changes.
    """
    before = workspace.marks()
    shutil.move(workspace.path / ".git", workspace.path / "saved.ignored")
    assert workspace.bring_to(repo, objects=False) == OBJECTS_MISSING
    shutil.rmtree(workspace.path / ".git", ignore_errors=True)
    shutil.move(workspace.path / "saved.ignored", workspace.path / ".git")
    repo.commit({"a": "2\n"})

    assert workspace.bring_to(repo, objects=False) == OBJECTS_MISSING

    assert before == workspace.marks()


def test_git_for_every_user(
    repo: Repository, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    S3: The system's configuration names the project and its submodules once; what else is in it
    stays.
    """
    config = tmp_path / "gitconfig"
    config.write_text("[user]\n\tname = system\n")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(config))
    workspace.projects = os.fsencode(tmp_path)
    repo.submodule("lib").submodule("in ner")
    Repository(repo.path / "lib", repo.env).commit()
    repo.commit()
    for _ in range(2):
        workspace.bring_to(repo)

    listed = workspace.git("config", "--file", config, "--list").splitlines()

    paths = ["", "/.git", "/lib", "/lib/in ner"]
    named = [f"safe.directory={workspace.path}{path}" for path in paths]
    assert ["user.name=system", *named] == listed
