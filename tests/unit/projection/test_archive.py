"""Tests of projecting a commit: packing it, unpacking it, and updating a workspace."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import runpy
import shutil
import subprocess
import sys
import tarfile
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from pytest_codex_workspace.errors import ProjectionError
from pytest_codex_workspace.in_container import apply_projection
from pytest_codex_workspace.projection.archive import COMMAND, Projection
from pytest_codex_workspace.projection.repository import open_repository

from ...helpers.archives import unpack_all
from ...helpers.repositories import Repository, fingerprint, host_environment

pytestmark = [pytest.mark.needs_git, pytest.mark.slow]

SCRIPT = Path(apply_projection.__file__)


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
    repo.commit({"a.txt": "a\n", "sub/b.txt": "b\n", ".gitignore": "*.ignored\nnode_modules\n"})
    return repo.path


@pytest.fixture
def repo(template: Path, tmp_path: Path, env: dict[str, str]) -> Repository:
    """
    Return a repository with one commit.
    """
    return Repository(Path(shutil.copytree(template, tmp_path / "project")), env)


def unpacked(projection: Projection, root: Path) -> str:
    """
    Unpack an archive into *root*, and return the path of the script.
    """
    with tarfile.open(fileobj=projection.open()) as tar:
        unpack_all(tar, root)
    return f"{root}{COMMAND[-1]}"


def apply(projection: Projection, target: Path) -> tuple[int, str]:
    """
    Run the script in this process, to save the start of an interpreter.

    Returns its exit code and its standard error.
    """
    root = target.parent / f"{target.name}-root"
    script = runpy.run_path(unpacked(projection, root), run_name="script")
    said = io.StringIO()
    umask = os.umask(0o077)
    try:
        with redirect_stderr(said):
            code = script["main"]([str(target)])
    finally:
        os.umask(umask)
    assert [*root.iterdir()] == []
    return code, said.getvalue()


def project(
    repo: Repository, target: Path, rev: str = "HEAD", *, changed: bool = False, **environ: str
) -> Repository:
    """
    Project a commit of *repo* to *target*, and check invariants of every workspace. Tracked files
    may differ from the commit only if setup has *changed* them.
    """
    snapshot = open_repository(repo.path, rev, environ={**repo.env, **environ})
    with Projection.of(snapshot) as projection:
        assert apply(projection, target) == (0, "")
    workspace = Repository(target, host_environment(target.parent / "in-container"))
    facts = workspace.git("status", "--porcelain=2", "--branch", "--untracked-files=no")
    assert facts.splitlines()[:2] == [f"# branch.oid {snapshot.head}", "# branch.head work"]
    assert facts.splitlines()[2:] == [] or changed
    assert "[remote" not in (target / ".git/config").read_text()
    left_over = {"FETCH_HEAD", "ORIG_HEAD", "moving-0"}
    assert not [path for path in (target / ".git").rglob("*") if path.name in left_over]
    return workspace


def status(workspace: Repository) -> list[str]:
    """
    Return the lines of `git status` in the workspace.
    """
    return workspace.git("status", "--porcelain", "--ignored").splitlines()


class TestFresh:
    """
    Projections into a directory that does not exist yet.
    """

    @pytest.mark.promise("S2", "S3")
    def test_only_the_commit_and_its_history_arrive(self, repo: Repository, tmp_path: Path) -> None:
        """
        Nothing else in the repository reaches the workspace, no hook or filter of the
        host runs, and the repository does not change.
        """
        parent = repo.head()
        repo.commit({"a.txt": "second\n"})
        head = repo.head()
        spy = tmp_path / "ran"
        repo.git("config", "core.fsmonitor", f"touch {spy}")
        repo.git("config", "filter.spy.smudge", f"touch {spy}; cat")
        repo.git("config", "remote.origin.url", "https://user:t0ken@example.org/x")
        repo.git("config", "core.hooksPath", str(tmp_path / "hooks"))
        for hook in ("post-checkout", "reference-transaction", "post-index-change"):
            for place in (
                tmp_path / "hooks",
                repo.path / ".git/hooks",
                tmp_path / "template/hooks",
            ):
                place.mkdir(parents=True, exist_ok=True)
                (place / hook).write_text(f"#!/bin/sh\ntouch {spy}\n")
                (place / hook).chmod(0o755)
        (tmp_path / "home/.gitconfig").write_text(
            f"[init]\n\ttemplateDir = {tmp_path}/template\n"
            f"[core]\n\tattributesFile = {tmp_path}/at\n"
            f'[filter "spy"]\n\tsmudge = touch {spy}\n\trequired\n[core]\n\tautocrlf = true\n'
        )
        (tmp_path / "at").write_text("* filter=spy\n")
        (repo.path / ".git/info").mkdir(exist_ok=True)
        (repo.path / ".git/info/attributes").write_text("* filter=spy\n")
        (repo.path / ".git/info/grafts").write_text(f"{head}\n")
        plain = {**repo.env, "GIT_CONFIG_GLOBAL": os.devnull}
        for command in (
            ("stash", "push", "--quiet"),
            ("notes", "add", "-m", "n"),
            ("branch", "other", parent),
            ("tag", "--annotate", "-m", "t", "v1"),
            ("replace", parent, head),
        ):
            (repo.path / "a.txt").write_text("stashed\n")
            subprocess.run(
                ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=", *command],
                cwd=repo.path,
                env=plain,
                check=True,
                capture_output=True,
            )
        (repo.path / "untracked").touch()
        (repo.path / "x.ignored").touch()
        spy.unlink(missing_ok=True)
        before = fingerprint(repo.path)

        workspace = project(repo, tmp_path / "w")

        assert before == fingerprint(repo.path)
        assert not spy.exists()
        assert (workspace.path / "a.txt").read_text() == "second\n"
        assert {".git", ".gitignore", "a.txt", "sub"} == {p.name for p in workspace.path.iterdir()}
        assert f"{head}\n{parent}" == workspace.git("rev-list", "--all", "--reflog")
        assert workspace.git("for-each-ref", "--format=%(refname)") == "refs/heads/work"
        objects = workspace.git("cat-file", "--batch-all-objects", "--batch-check=%(objecttype)")
        assert objects.split().count("commit") == 2
        assert [*(workspace.path / ".git/hooks").iterdir()] == []
        for path in (workspace.path / ".git").rglob("*"):
            if path.is_file():
                assert not {b"t0ken", os.fsencode(tmp_path)} & set(path.read_bytes().split())
                assert os.fsencode(tmp_path) not in path.read_bytes()

    @pytest.mark.promise("S2")
    def test_unusual_files_arrive_as_committed(self, repo: Repository, tmp_path: Path) -> None:
        """
        Unusual names, links that lead outside, and executable bits are preserved.
        """
        names = [' sp  ace"', "new\nline", "'q'", "ü", os.fsdecode(b"b\xff\xfe"), "-n", "a\\b", "*"]
        for name in names:
            (repo.path / name).write_text(name, errors="surrogateescape")
        (repo.path / "run").write_text("#!/bin/sh\n")
        (repo.path / "run").chmod(0o755)
        (repo.path / "out").symlink_to("../../../etc/passwd")
        (repo.path / "abs").symlink_to("/etc")
        repo.commit()

        workspace = project(repo, tmp_path / "w")

        assert status(workspace) == []
        for name in names:
            content = (workspace.path / name).read_text(errors="surrogateescape")
            assert name == content
        assert (workspace.path / "run").stat().st_mode & 0o777 == 0o755
        assert (workspace.path / "ü").stat().st_mode & 0o777 == 0o644
        assert str((workspace.path / "out").readlink()) == "../../../etc/passwd"
        assert str((workspace.path / "abs").readlink()) == "/etc"

    def test_attributes_apply_as_in_a_clone(self, repo: Repository, tmp_path: Path) -> None:
        """
        Line ends and ident apply, export-ignore does not, and LFS pointers stay pointers.
        """
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
        repo.commit(
            {
                ".gitattributes": "*.bat eol=crlf\n*.id ident\nsecret export-ignore\n"
                "*.bin filter=lfs diff=lfs merge=lfs -text\n",
                "x.bat": "a\nb\n",
                "x.id": "$Id$\n",
                "secret": "s\n",
                "x.bin": pointer,
            }
        )

        workspace = project(repo, tmp_path / "w")

        assert status(workspace) == []
        assert (workspace.path / "x.bat").read_bytes() == b"a\r\nb\r\n"
        assert "$Id: " in (workspace.path / "x.id").read_text()
        assert (workspace.path / "secret").exists()
        assert pointer == (workspace.path / "x.bin").read_text()

    def test_an_empty_commit_is_projected(self, tmp_path: Path, env: dict[str, str]) -> None:
        """
        A commit without any files can be projected.
        """
        repo = Repository(tmp_path / "r", env)
        repo.commit()

        assert status(project(repo, tmp_path / "w")) == []

    def test_a_detached_commit_of_a_linked_worktree_is_projected(
        self, repo: Repository, tmp_path: Path
    ) -> None:
        """
        The commit need not be on any branch.
        """
        repo.git("worktree", "add", "--quiet", "--detach", tmp_path / "linked")
        linked = Repository(tmp_path / "linked", repo.env)
        linked.commit({"only.txt": "here\n"})

        assert (project(linked, tmp_path / "w").path / "only.txt").exists()

    def test_sha256_repositories_are_projected(self, tmp_path: Path, env: dict[str, str]) -> None:
        """
        A repository with SHA-256 object ids is projected, and updated.
        """
        repo = Repository(tmp_path / "r", env, "--object-format=sha256")
        repo.commit({"a": "1"})
        project(repo, tmp_path / "w")
        repo.commit({"a": "2"})

        assert (project(repo, tmp_path / "w").path / "a").read_text() == "2"

    def test_borrowed_objects_are_copied(self, repo: Repository, tmp_path: Path) -> None:
        """
        A clone that shares objects with another, at a path that needs quoting, is complete.
        """
        repo.git("clone", "--quiet", "--shared", repo.path, tmp_path / 'a:"b\\\nc')
        clone = Repository(tmp_path / 'a:"b\\\nc', repo.env)

        workspace = project(clone, tmp_path / "w")

        assert not (workspace.path / ".git/objects/info/alternates").exists()

    def test_files_of_the_image_are_kept(self, repo: Repository, tmp_path: Path) -> None:
        """
        If the image has files in the project directory, those without conflict are kept.
        """
        (tmp_path / "w").mkdir()
        (tmp_path / "w/a.txt").write_text("the image's\n")
        (tmp_path / "w/more").touch()

        assert status(project(repo, tmp_path / "w")) == ["?? more"]


class TestAgain:
    """
    Projections into a directory that an earlier projection has created.
    """

    def test_tracked_files_change_and_others_stay(self, repo: Repository, tmp_path: Path) -> None:
        """
        Files that the commit changes become those of the commit; others, and files that setup
        created, stay.
        """
        first = project(repo, tmp_path / "w")
        made = ["x.ignored", "node_modules/m/index.js", "untracked", "sub/node_modules/n"]
        for name in made:
            (first.path / name).parent.mkdir(parents=True, exist_ok=True)
            (first.path / name).write_text(name)
        (first.path / "a.txt").write_text("changed by setup\n")
        (first.path / "in-the-way").mkdir()
        (first.path / "in-the-way/x.ignored").touch()
        (first.path / "way").symlink_to("/etc")
        (first.path / ".git/index.lock").touch()
        first.git("config", "core.hooksPath", ".husky")
        first.git("config", "filter.lfs.smudge", "false")
        first.git("config", "filter.lfs.clean", "cat")
        first.git("config", "filter.lfs.required", "true")
        (first.path / ".husky").mkdir()
        (first.path / ".husky/post-checkout").write_text("#!/bin/sh\nexit 1\n")
        (first.path / ".husky/post-checkout").chmod(0o755)
        repo.commit(
            {
                "sub/b.txt": None,
                "c.txt": "c\n",
                "in-the-way": "file\n",
                "way/in": "w\n",
                "x.bin": "pointer\n",
                ".gitattributes": "*.bin filter=lfs\n",
            }
        )

        workspace = project(repo, tmp_path / "w", changed=True)

        assert made == [name for name in made if (workspace.path / name).read_text() == name]
        assert (workspace.path / "a.txt").read_text() == "changed by setup\n"
        assert (workspace.path / "in-the-way").read_text() == "file\n"
        assert not (workspace.path / "way").is_symlink()
        assert not (workspace.path / "sub/b.txt").exists()
        assert (workspace.path / "x.bin").read_text() == "pointer\n"

    def test_any_history_can_follow(self, repo: Repository, tmp_path: Path) -> None:
        """
        An older, a rewritten, an unrelated and the same commit can be projected next.
        """
        old = repo.head()
        repo.commit({"a.txt": "2\n", "later.txt": "x\n"})
        project(repo, tmp_path / "w")
        workspace = project(repo, tmp_path / "w", old)
        assert not (workspace.path / "later.txt").exists()

        repo.git("commit", "--quiet", "--amend", "--message=rewritten")
        project(repo, tmp_path / "w")
        repo.git("checkout", "--quiet", "--orphan", "unrelated")
        repo.commit({"a.txt": "3\n"})
        for _ in range(2):
            workspace = project(repo, tmp_path / "w")
            assert workspace.git("rev-list", "--count", "HEAD") == "1"
            assert status(workspace) == []
        workspace.git("fsck")

    def test_commits_of_setup_do_not_matter(self, repo: Repository, tmp_path: Path) -> None:
        """
        The projection succeeds if setup switched to a branch and committed.
        """
        first = project(repo, tmp_path / "w")
        first.git("switch", "--quiet", "--create", "mine")
        first.commit({"a.txt": "mine\n"})

        assert (project(repo, tmp_path / "w").path / "a.txt").read_text() == "a\n"

    @pytest.mark.parametrize(("depths", "expected"), [("21", "1"), ("1-", "4"), ("-1", "4")])
    def test_a_shallow_history_stays_shallow(
        self, repo: Repository, tmp_path: Path, depths: str, expected: str
    ) -> None:
        """
        The workspace of a shallow clone is shallow, but never loses history it had.
        """
        for number in range(3):
            repo.commit({"a.txt": f"{number}\n"})
        for step, depth in enumerate(depths):
            clone = tmp_path / f"clone{step}"
            options = () if depth == "-" else (f"--depth={depth}",)
            repo.git("clone", "--quiet", *options, f"file://{repo.path}", clone)

            workspace = project(Repository(clone, repo.env), tmp_path / "w")

            workspace.git("fsck")
        assert workspace.git("rev-list", "--count", "HEAD") == expected


class TestArchive:
    """
    Properties of the archive.
    """

    def test_entries_follow_their_directories(self, repo: Repository) -> None:
        """
        Every entry belongs to root, is in one directory, and follows its parents.
        """
        snapshot = open_repository(repo.path, environ=repo.env)
        with Projection.of(snapshot) as projection, tarfile.open(fileobj=projection.open()) as tar:
            entries = tar.getmembers()

        assert ("/workspace/project", snapshot.head) == (projection.target, projection.head)
        assert projection.unpack_dir == "/"
        seen = {""}
        for entry in entries:
            assert (entry.uid, entry.gid) == (0, 0)
            assert (0o755 if entry.isdir() else 0o644) == entry.mode
            assert str(Path(entry.name).parent).removeprefix(".") in seen
            seen.add(entry.name)
        assert {"codex-projection"} == {entry.name.split("/")[0] for entry in entries}

    def test_the_command_needs_nothing_else(self, repo: Repository, tmp_path: Path) -> None:
        """
        The command runs with an empty environment, and needs no other files.
        """
        with Projection.of(open_repository(repo.path, environ=repo.env)) as projection:
            script = unpacked(projection, tmp_path / "root")
            done = subprocess.run(
                [sys.executable, *COMMAND[1:-1], script, tmp_path / "w"],
                cwd="/",
                env={"PATH": os.environ["PATH"]},
                capture_output=True,
                check=False,
            )

        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert (tmp_path / "w/a.txt").read_text() == "a\n"
        assert [*(tmp_path / "root").iterdir()] == []

    def test_readers_are_independent(self, repo: Repository) -> None:
        """
        Readers in several threads each read the whole archive, until it is closed.
        """
        projection = Projection.of(open_repository(repo.path, environ=repo.env))

        def digest(_: int) -> str:
            with projection.open() as reader:
                return hashlib.sha256(reader.read()).hexdigest()

        with ThreadPoolExecutor(4) as pool:
            assert len(set(pool.map(digest, range(8)))) == 1
        with projection.open() as reader:
            assert projection.size == reader.seek(0, os.SEEK_END)
        reader = projection.open()
        projection.close()
        with pytest.raises(ValueError, match="closed"):
            reader.read()

    def test_a_large_repository_is_streamed(self, tmp_path: Path, env: dict[str, str]) -> None:
        """
        Neither packing nor reading takes memory in proportion to the repository, here or in git.
        """
        large = Repository(tmp_path / "large", env)
        large.git("config", "core.compression", "0")
        large.commit({"blob": os.urandom(1 << 23)})
        calls = tmp_path / "calls"
        (tmp_path / "bin").mkdir()
        program = tmp_path / "bin/git"
        program.write_text(f'#!/bin/sh\necho "$*" >>{calls}\nexec {shutil.which("git")} "$@"\n')
        program.chmod(0o755)
        environ = {**env, "PATH": f"{tmp_path / 'bin'}:{env['PATH']}"}

        tracemalloc.start()
        try:
            with (
                Projection.of(
                    open_repository(large.path, environ=environ), environ=environ
                ) as made,
                made.open() as reader,
            ):
                pieces = iter(lambda: reader.read(1 << 14), b"")
                total = sum(len(piece) for piece in pieces)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

        assert total == made.size > 1 << 23
        assert peak < 1 << 21
        (packing,) = [line for line in calls.read_text().splitlines() if "pack-objects" in line]
        for limit in ("packedGitWindowSize=8m", "packedGitLimit=32m", "bigFileThreshold=4m"):
            assert f"-c core.{limit}" in packing

    def test_no_file_is_left_behind(
        self, repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The temporary directory is empty, even while the projection is open.
        """
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
        snapshot = open_repository(repo.path, environ=repo.env)
        with pytest.raises(ProjectionError, match="set TMPDIR"):
            Projection.of(snapshot)
        (tmp_path / "tmp").mkdir()

        with Projection.of(snapshot):
            assert [*(tmp_path / "tmp").iterdir()] == []


class TestFailures:
    """
    Commits that cannot be projected, and their errors.
    """

    def test_an_incomplete_partial_clone_is_rejected(
        self, repo: Repository, tmp_path: Path
    ) -> None:
        """
        A partial clone is not changed, and the command in the error completes it.
        """
        repo.git("config", "uploadpack.allowFilter", "true")
        repo.commit({"a.txt": "2\n"})
        url = f"file://{repo.path}"
        repo.git("clone", "--quiet", "--filter=blob:none", url, tmp_path / "clone")
        clone = Repository(tmp_path / "clone", repo.env)
        before = fingerprint(clone.path)

        with pytest.raises(ProjectionError, match="is a partial clone") as caught:
            Projection.of(open_repository(clone.path, environ=clone.env))

        assert before == fingerprint(clone.path)
        command = str(caught.value).split("git -C ")[1].split(" (")[0].split()
        clone.git(*command[1:])
        project(clone, tmp_path / "w")

    def test_a_missing_object_is_explained(self, repo: Repository, tmp_path: Path) -> None:
        """
        The error names the damaged repository and contains git's own message.
        """
        snapshot = open_repository(repo.path, environ=repo.env)
        blob = repo.git("rev-parse", "HEAD:a.txt")
        (repo.path / ".git/objects" / blob[:2] / blob[2:]).unlink()

        with pytest.raises(ProjectionError, match=f"{repo.path}.*{blob}.*fsck"):
            Projection.of(snapshot)

    def test_an_error_in_the_workspace_is_one_line(self, repo: Repository, tmp_path: Path) -> None:
        """
        If the project directory cannot be created, one line on standard error says so.
        """
        (tmp_path / "w").write_text("a file\n")
        with Projection.of(open_repository(repo.path, environ=repo.env)) as projection:
            code, said = apply(projection, tmp_path / "w")

        assert code == 1
        assert said.startswith("The commit could not be projected: ")
        assert len(said.splitlines()) == 1

    def test_an_image_without_git_is_explained(
        self, repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The error says that git is missing in the image.
        """
        with Projection.of(open_repository(repo.path, environ=repo.env)) as projection:
            monkeypatch.setenv("PATH", str(tmp_path))
            code, said = apply(projection, tmp_path / "w")

        assert (code, "git is not installed in the image" in said) == (1, True)

    def test_the_script_alone_removes_nothing(self, tmp_path: Path) -> None:
        """
        Without a plan, the script fails and leaves its directory as it is.
        """
        script = Path(shutil.copy(SCRIPT, tmp_path))
        done = subprocess.run([sys.executable, "-I", script], capture_output=True, check=False)

        assert (done.returncode, script.exists()) == (1, True)
        assert b"unpack the archive" in done.stderr

    def test_the_script_is_valid_in_python_3_8(self) -> None:
        """
        Images may have an old Python.
        """
        ast.parse(SCRIPT.read_text(), feature_version=(3, 8))


class TestSubmodules:
    """
    S4: submodules at the commits that HEAD names.
    """

    @pytest.fixture
    def outer(self, tmp_path: Path, env: dict[str, str]) -> Repository:
        """
        Return an empty repository, to which tests add submodules.
        """
        return Repository(tmp_path / "outer", env)

    @staticmethod
    def checked(workspace: Repository) -> list[str]:
        """
        Return the paths of all submodules, after checking their state.
        """
        assert [line for line in status(workspace) if not line.startswith("!!")] == []
        for config in [*(workspace.path / ".git").rglob("config")]:
            assert b"url" not in config.read_bytes()
            assert os.fsencode(workspace.path.parent) not in config.read_bytes()
        listed = workspace.git("submodule", "status", "--recursive")
        # `git` strips the first line, which may start with a blank for an unmodified submodule.
        states = [line.strip().split(" ", 1) for line in listed.splitlines()]
        assert all(commit.isalnum() for commit, _ in states)
        return [described.rpartition(" (")[0] for _, described in states]

    @pytest.mark.promise("S4")
    def test_nested_submodules_are_checked_out(self, outer: Repository, tmp_path: Path) -> None:
        """
        Nested submodules are checked out and updated, and keep ignored files.
        """
        odd = os.fsdecode(b'o d"\xff')
        middle = outer.submodule(odd, "na me")
        inner = middle.submodule("in/ner")
        inner.commit({".gitignore": "*.ignored\n"})
        middle.commit()
        outer.commit()
        first = project(outer, tmp_path / "w")
        deep = first.path / odd / "in/ner"
        assert self.checked(first) == [odd, f"{odd}/in/ner"]
        assert (deep / "i.txt").read_text() == "in/ner\n"
        (deep / "i.txt").write_text("changed\n")
        (deep / "x.ignored").touch()

        inner.commit({"i.txt": "2\n"})
        middle.commit()
        outer.commit()
        again = project(outer, tmp_path / "w")

        assert self.checked(again) == [odd, f"{odd}/in/ner"]
        assert (deep / "i.txt").read_text() == "2\n"
        assert (deep / "x.ignored").exists()

    @pytest.mark.promise("S4")
    def test_submodules_can_move_and_disappear(self, outer: Repository, tmp_path: Path) -> None:
        """
        A submodule moves with its ignored files, another becomes a directory; then back.
        """
        for path in ("moves", "goes"):
            outer.submodule(path).commit({".gitignore": "*.ignored\n"})
        outer.commit()
        outer.git("submodule", "--quiet", "absorbgitdirs")
        workspace = project(outer, tmp_path / "w")
        (workspace.path / "moves/x.ignored").touch()

        outer.git("mv", "moves", "moved")
        outer.git("rm", "--quiet", "goes")
        outer.submodule("dir/new")
        outer.commit({"goes/plain.txt": "p\n"})
        there = self.checked(project(outer, tmp_path / "w"))

        assert there == ["dir/new", "moved"]
        assert (workspace.path / "moved/x.ignored").exists()
        assert not (workspace.path / "moves").exists()
        assert [path.name for path in (workspace.path / "goes").iterdir()] == ["plain.txt"]

        back = self.checked(project(outer, tmp_path / "w", "HEAD~1"))

        assert back == ["goes", "moves"]
        assert (workspace.path / "moves/x.ignored").exists()

    @pytest.mark.promise("S4")
    def test_skipped_submodules_are_empty(self, outer: Repository, tmp_path: Path) -> None:
        """
        CODEX_SKIP_SUBMODULES=1 leaves their directories empty. What setup has checked out stays.
        """
        outer.submodule("lib")
        outer.commit()
        for skip, expected in (("1", 0), ("0", 2), ("1", 2)):
            workspace = project(outer, tmp_path / "w", CODEX_SKIP_SUBMODULES=skip)
            assert len([*(workspace.path / "lib").iterdir()]) == expected
            assert status(workspace) == []

    @pytest.mark.promise("S4")
    def test_a_path_can_become_a_submodule(self, outer: Repository, tmp_path: Path) -> None:
        """
        A directory, a file or an untracked link becomes a submodule; then back.
        """
        outer.commit({"lib/a": "a\n", "vendor": "a file\n"})
        workspace = project(outer, tmp_path / "w")
        (workspace.path / "lib/x").touch()
        (workspace.path / "link").symlink_to("/etc")
        outer.git("rm", "--quiet", "-r", "lib", "vendor")
        for path in ("lib", "vendor", "link"):
            outer.submodule(path)
        Repository(outer.path / "lib", outer.env).commit({".gitignore": "x\n"})
        outer.commit()

        assert self.checked(project(outer, tmp_path / "w")) == ["lib", "link", "vendor"]
        assert (workspace.path / "lib/x").exists()

        assert status(project(outer, tmp_path / "w", "HEAD~1")) == []
        assert (workspace.path / "lib/a").read_text() == "a\n"
        assert (workspace.path / "vendor").read_text() == "a file\n"

    @pytest.mark.promise("S4")
    def test_a_shallow_submodule_stays_shallow(
        self, outer: Repository, repo: Repository, tmp_path: Path
    ) -> None:
        """
        The history of a shallow submodule is not completed.
        """
        repo.commit({"a.txt": "2\n"})
        repo.git("clone", "--quiet", "--depth=1", f"file://{repo.path}", outer.path / "lib")
        outer.git("config", "--file=.gitmodules", "submodule.lib.path", "lib")
        outer.commit()

        lib = Repository(project(outer, tmp_path / "w").path / "lib", repo.env)

        assert lib.git("rev-list", "--count", "HEAD") == "1"


def test_each_part_of_a_projection_tells_its_progress(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Packing by the files in a directory, sending by bytes, and checking out by files, if asked.
    """
    monkeypatch.setenv(apply_projection.PROGRESS, "1")
    scratch: list[Path] = []
    read: list[int] = []
    with Projection.of(
        open_repository(repo.path, environ=repo.env), on_scratch=scratch.append
    ) as projection:
        with projection.open(read.append) as archive:
            archive.read()
        code, said = apply(projection, tmp_path / "target")

    assert len(scratch) == 1
    assert read == sorted(read)
    assert read[-1] == projection.size
    assert (code, said.splitlines()[-1]) == (0, "checked out 3 of 3 files")
