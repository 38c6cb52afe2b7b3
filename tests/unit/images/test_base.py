"""Tests of building images: when, from which files, and the errors of failed builds."""

from __future__ import annotations

import io
import itertools
import os
import tarfile
from pathlib import Path
from typing import BinaryIO

import pytest

from pytest_codex_workspace.codex import UNIVERSAL
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.protocol import ContainerSpec
from pytest_codex_workspace.errors import ImageBuildError
from pytest_codex_workspace.host import resources
from pytest_codex_workspace.images import base as images
from pytest_codex_workspace.images import debian
from pytest_codex_workspace.images.context import BuildContext
from pytest_codex_workspace.images.proxy import ensure_proxy_image
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.unpatched import clock
from tests.fakes.engine import FakeEngine

CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
OTHER_CERTIFICATE = CERTIFICATE.replace(b"AAAA", b"BBBB")
KEY = b"-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n"


class RecordingEngine(FakeEngine):
    """
    Records the files, the arguments and the labels of each build.
    """

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.builds: list[dict[str, object]] = []

    def build(
        self,
        context,
        *,
        dockerfile,
        tag,
        labels,
        args,
        on_line,
        on_advance,
        target,
        no_cache,
        offline,
    ):
        data = context.read()
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            files = {
                one.name: tar.extractfile(one).read() for one in tar.getmembers() if one.isfile()
            }
        self.builds.append(
            {
                "files": files,
                "args": dict(args),
                "labels": dict(labels),
                "no_cache": no_cache,
                "offline": offline,
                "target": target,
                "tag": tag,
            }
        )
        return super().build(
            io.BytesIO(data),
            dockerfile=dockerfile,
            tag=tag,
            labels=labels,
            args=args,
            on_line=on_line,
            on_advance=on_advance,
            target=target,
            no_cache=no_cache,
            offline=offline,
        )


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in (*os.environ,):
        if name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def output(lines) -> Output:
    return Output("progress", lines.append)


@pytest.fixture
def engine() -> RecordingEngine:
    return RecordingEngine(pullable=[debian.DEBIAN, f"{UNIVERSAL}:latest"])


@pytest.fixture
def ensure(engine, output):
    def ensure(choice: str = "slim", certificate: bytes = CERTIFICATE):
        return images.ensure_base_image(engine, choice, ca_certificate=certificate, output=output)

    return ensure


class TestBaseImage:
    def test_is_built_only_once(self, engine, ensure, lines):
        """
        The first call builds and tags the missing image. The second call does and
        reports nothing.
        """
        image = ensure()
        del lines[:]

        assert image.id == ensure().id
        assert len(engine.builds) == 1
        assert lines == []
        assert image.id == engine.image("codex-workspace-emulator:latest").id
        (tag,) = image.tags
        assert f"codex-workspace-emulator:base-{image.labels[labels.KEY][:12]}" == tag
        assert image.labels[labels.KIND] == "base"

    def test_the_runtimes_can_be_built_before_there_is_a_certificate(self, engine, output, ensure):
        """
        The build stops after their stage, and neither tags nor labels an image.
        """
        images.build_runtimes(engine, output=output)

        (build,) = engine.builds
        assert (build["target"], build["tag"], build["labels"]) == ("runtimes", "", {})
        assert "ca.crt" not in build["files"]
        ensure()
        assert engine.builds[1]["target"] == ""

    def test_can_be_rebuilt(self, engine, output, lines):
        """
        The build cache is not used. The old image is removed, and both tags name the new one.
        """

        def ensure(*, rebuild):
            return images.ensure_base_image(
                engine, "slim", ca_certificate=CERTIFICATE, output=output, rebuild=rebuild
            )

        first, second = ensure(rebuild=True), ensure(rebuild=True)

        assert [True, True] == [build["no_cache"] for build in engine.builds]
        assert engine.image(first.id) is None
        assert second.id == engine.image("codex-workspace-emulator:latest").id
        assert second.id == engine.image(first.tags[0]).id == ensure(rebuild=False).id

    def test_shows_the_current_step(self, lines):
        """
        The progress has the number of steps. The pull before the build has a progress, too.
        """
        steps = []

        class Watched(Output):
            def advanced(self, step):
                steps.append(str(step.progress))

        engine = FakeEngine(pullable=[debian.DEBIAN])
        ensure_proxy_image(engine, output=Watched("quiet", lines.append))

        assert "100 %, 1 of 1 layer" == steps[0]
        assert [f"step {n} of {len(steps) - 1}" for n in range(1, len(steps))] == steps[1:]

    @pytest.mark.parametrize("choice", ["slim", "universal", UNIVERSAL])
    def test_is_found_without_a_build(self, engine, output, ensure, lines, choice):
        """
        Nothing is pulled or built. An image for another CA does not count.
        """

        def find(certificate=CERTIFICATE):
            return images.find_base_image(engine, choice, ca_certificate=certificate, output=output)

        assert (None, [], []) == (find(), lines, engine.builds)
        made = ensure(choice)
        del lines[:]

        assert made.id == find().id
        assert find(OTHER_CERTIFICATE) is None
        assert (1, []) == (len(engine.builds), lines)

    def test_is_rebuilt_if_the_ca_changes(self, engine, ensure):
        """
        Workspaces must trust the current proxy.
        """
        first = ensure()

        second = ensure(certificate=OTHER_CERTIFICATE)

        assert first.id != second.id
        assert engine.builds[-1]["files"]["ca.crt"] == OTHER_CERTIFICATE
        assert second.id == engine.image("codex-workspace-emulator:latest").id

    def test_is_not_rebuilt_if_the_certificates_of_the_host_change(
        self, engine, ensure, monkeypatch
    ):
        """
        The host's certificates are used only during a build.
        """
        monkeypatch.setattr("pytest_codex_workspace.images.build.host_bundle", lambda: CERTIFICATE)
        ensure()
        monkeypatch.setattr(
            "pytest_codex_workspace.images.build.host_bundle", lambda: OTHER_CERTIFICATE
        )
        ensure()

        (build,) = engine.builds
        assert build["files"]["host-ca.pem"] == CERTIFICATE

    def test_does_not_contain_the_private_key(self, engine, ensure):
        """
        Only the certificate of the CA is part of the build context.
        """
        ensure(certificate=KEY + CERTIFICATE)

        files = engine.builds[-1]["files"]
        assert files["ca.crt"] == CERTIFICATE
        assert not [name for name, content in files.items() if b"SECRET" in content]

    def test_contains_the_agent_but_not_the_network_holder(self, engine, ensure):
        """
        The network holder belongs to the proxy image, and others are sent when they are needed.
        """
        ensure()

        files = engine.builds[-1]["files"]
        assert "in_container/workspace_agent.py" in files
        assert "in_container/network_holder.py" not in files
        assert "in_container/list_processes.py" not in files
        assert not [name for name in files if name.endswith(".pyc")]

    def test_the_tag_latest_is_restored(self, engine, ensure):
        """
        If somebody removed or moved the tag, it is restored without a build.
        """
        image = ensure()
        engine.tag(engine.add_image("other:1").id, "codex-workspace-emulator:latest")

        ensure()

        assert image.id == engine.image("codex-workspace-emulator:latest").id
        assert len(engine.builds) == 1

    def test_is_built_from_the_chosen_image(self, engine, ensure):
        """
        A new image of the same name is another base.
        """
        first = engine.add_image("mine:1")
        ensure("mine:1")
        second = engine.add_image("mine:1")
        ensure("mine:1")

        assert [first.id, second.id] == [build["args"]["BASE"] for build in engine.builds]

    def test_passes_the_proxy_variables_of_the_host_to_the_build(self, engine, ensure, monkeypatch):
        """
        The build needs them behind a corporate proxy. The image does not contain them.
        """
        monkeypatch.setenv("https_proxy", "http://user:secret@proxy.example:3128")

        image = ensure()

        (build,) = engine.builds
        assert build["args"]["https_proxy"] == "http://user:secret@proxy.example:3128"
        assert {"BASE", "https_proxy"} == set(build["args"])
        assert "secret" not in str(image.labels)

    @pytest.mark.parametrize("choice", ["mine:1", "universal"])
    def test_foreign_programs_get_no_network_and_no_password(
        self, engine, ensure, monkeypatch, choice
    ):
        """
        Nor the certificates that this machine trusts.
        """
        monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy.example:3128")
        engine.add_image("mine:1")
        seen = []
        engine._run = lambda spec, *_: seen.append(spec.network) or 0

        ensure(choice)

        (build,) = engine.builds
        assert {"BASE"} == set(build["args"])
        assert build["offline"]
        assert {"none"} == set(seen)

    def test_a_foreign_image_must_not_add_instructions(self, engine, ensure):
        """
        An engine would download what they say by itself.
        """
        have = engine.add_image("mine:1")
        engine._images[have.id].on_build = ("ADD http://169.254.169.254/ /",)

        with pytest.raises(ImageBuildError, match=r"mine:1 has ONBUILD instructions \(ADD http"):
            ensure("mine:1")

        assert [] == engine.builds

    def test_shows_the_long_steps_of_a_build(self, ensure, lines):
        """
        The user sees the progress.
        """
        ensure()

        assert [line for line in lines if "RUN bash /tmp/codex-build/install.sh" in line]
        assert not [line for line in lines if "COPY" in line]

    def test_the_previous_image_is_kept_and_older_images_are_removed(
        self, engine, ensure, monkeypatch
    ):
        """
        Two checkouts that are used alternately do not rebuild each other's image, and
        the number of images does not grow.
        """
        monkeypatch.setattr(clock, "wall_time", itertools.count(0, 50_000).__next__)
        made = [ensure(certificate=CERTIFICATE.replace(b"AAAA", b"AAA%d" % n)) for n in range(3)]

        tags = {tag for image in engine.images({labels.KIND: "base"}) for tag in image.tags}
        assert made[0].tags[0] not in tags
        assert {made[1].tags[0], made[2].tags[0]} < tags

    def test_an_image_in_use_is_kept(self, engine, ensure):
        """
        A container uses the old image.
        """
        first = ensure()
        container = engine.create(ContainerSpec(first.id, ["true"], "user"))
        for n in range(2):
            ensure(certificate=CERTIFICATE.replace(b"AAAA", b"AAA%d" % n))

        assert engine.image(first.tags[0]) is not None
        engine.remove(container)

    def test_images_of_another_choice_are_kept(self, engine, ensure):
        """
        Images of slim do not replace those of another base.
        """
        engine.add_image("mine:1")
        mine = ensure("mine:1")
        for n in range(3):
            ensure(certificate=CERTIFICATE.replace(b"AAAA", b"AAA%d" % n))

        assert engine.image(mine.tags[0]) is not None


class TestUniversal:
    def test_is_pinned_by_its_digest(self, engine, ensure, monkeypatch):
        """
        The build uses the image that was inspected, even if its tag moves
        meanwhile.
        """
        digest = f"{UNIVERSAL}@sha256:{'a' * 64}"
        have = engine.add_image(f"{UNIVERSAL}:latest")
        engine.tag(have.id, digest)
        real = engine.image

        def image(reference: str):
            found = real(reference)
            if reference.startswith(UNIVERSAL) and found:
                return type(found)(found.id, found.tags, found.labels, digests=(digest,))
            return found

        monkeypatch.setattr(engine, "image", image)

        made = ensure("universal")

        assert digest == engine.builds[-1]["args"]["BASE"]
        assert digest in made.labels.values()

    def test_is_pulled_if_it_is_missing(self, engine, ensure, lines):
        """
        The pull is reported to the user.
        """
        ensure("universal")

        assert engine.image(f"{UNIVERSAL}:latest") is not None
        assert [line for line in lines if f"pulling {UNIVERSAL}" in line]

    def test_without_a_registry_the_error_suggests_slim(self, output):
        """
        Slim needs no registry.
        """
        with pytest.raises(ImageBuildError, match="--codex-image=slim"):
            images.ensure_base_image(
                FakeEngine(), "universal", ca_certificate=CERTIFICATE, output=output
            )


def test_a_missing_base_image_is_an_error(ensure):
    """
    The error has the reference and says what to do.
    """
    with pytest.raises(ImageBuildError, match=r"no/such:image .*check the name"):
        ensure("no/such:image")


def test_a_failed_build_leaves_no_image(output):
    """
    The error has the failed step and its output. The next call builds again.
    """

    def fail(_spec: ContainerSpec, _stdin: BinaryIO, stdout: BinaryIO) -> int:
        stdout.write(b"E: Unable to locate package\n")
        return 100

    engine = RecordingEngine(run=fail, pullable=[debian.DEBIAN])

    for _ in range(2):
        with pytest.raises(ImageBuildError, match="Unable to locate package"):
            images.ensure_base_image(engine, "slim", ca_certificate=CERTIFICATE, output=output)
    assert len(engine.builds) == 2
    assert engine.image("codex-workspace-emulator:latest") is None


class TestProxyImage:
    def test_contains_the_addons_the_policy_and_the_holder(self, engine, output):
        """
        Only the policy is copied from the package. The image is built once.
        """
        image = ensure_proxy_image(engine, output=output)
        assert image.id == ensure_proxy_image(engine, output=output).id

        (build,) = engine.builds
        ours = {name for name in build["files"] if name.startswith("app/")}
        assert {
            "app/network_holder.py",
            "app/proxy_addons/main.py",
            "app/pytest_codex_workspace/__init__.py",
            "app/pytest_codex_workspace/network/__init__.py",
            "app/pytest_codex_workspace/network/rules/policy.py",
            "app/pytest_codex_workspace/network/rules/upstream.py",
        } <= ours
        rules = resources.package_dir() / "network" / "rules"
        expected = {
            f"app/pytest_codex_workspace/network/rules/{one.name}" for one in rules.glob("*.py")
        }
        empty = {
            "app/pytest_codex_workspace/__init__.py",
            "app/pytest_codex_workspace/network/__init__.py",
        }
        assert expected | empty == {name for name in ours if "/pytest_codex_workspace/" in name}
        assert all(build["files"][name] == b"" for name in empty)
        assert image.id == engine.image("codex-workspace-emulator-proxy:latest").id
        assert image.labels[labels.KIND] == "proxy"


class TestDebian:
    def test_is_pulled_if_a_registry_answers(self, output):
        """
        No root file system is made.
        """
        engine = FakeEngine(pullable=[debian.DEBIAN])

        assert engine.pull(debian.DEBIAN, print).id == debian.ensure_debian(engine, output).id

    def test_is_pulled_or_imported_only_once(self, output, monkeypatch):
        """
        An imported image is used without asking a registry again.
        """
        engine = FakeEngine()
        have = engine.add_image(debian.ROOTFS)
        monkeypatch.setattr(engine, "pull", None)

        assert have.id == debian.ensure_debian(engine, output).id

    def test_is_made_and_imported_without_a_registry(self, fake_mmdebstrap, output, lines):
        """
        The root file system that mmdebstrap makes becomes an image, and the reason is
        reported.
        """
        keyring = fake_mmdebstrap('echo "W: $*" >&2; tar -c -f "$tar" -C / --files-from /dev/null')
        output = Output("stream", lines.append)
        engine = FakeEngine()

        image = debian.ensure_debian(engine, output)

        assert image.tags == (debian.ROOTFS,)
        assert image.labels[labels.KIND] == "rootfs"
        assert "no registry has debian:trixie-slim" in "\n".join(lines)
        assert f"--keyring={keyring}" in "\n".join(lines)

    def test_without_debians_keys_the_archive_is_not_trusted(
        self, fake_mmdebstrap, output, monkeypatch
    ):
        """
        Otherwise mmdebstrap would trust what this machine's own apt trusts.
        """
        fake_mmdebstrap("exit 0")
        monkeypatch.setattr(debian, "_KEYRINGS", ("/nowhere/keys.gpg",))

        with pytest.raises(ImageBuildError, match="apt-get install debian-archive-keyring"):
            debian.ensure_debian(FakeEngine(), output)

    def test_a_missing_mmdebstrap_is_an_error(self, output, monkeypatch, tmp_path):
        """
        The error names the packages to install.
        """
        monkeypatch.setenv("PATH", str(tmp_path))

        with pytest.raises(ImageBuildError, match="apt-get install mmdebstrap"):
            debian.ensure_debian(FakeEngine(), output)

    def test_a_failure_of_mmdebstrap_is_reported(self, fake_mmdebstrap, output):
        """
        The error has its error messages, but not its progress.
        """
        fake_mmdebstrap(
            "echo 'I: running apt-get update...' >&2; echo 'E: no way out' >&2; exit 25"
        )

        with pytest.raises(ImageBuildError, match=r"exit code 25\):\n  E: no way out\n") as failure:
            debian.ensure_debian(FakeEngine(), output)
        assert "running apt-get" not in str(failure.value)

    @pytest.fixture
    def fake_mmdebstrap(self, tmp_path, monkeypatch):
        def make(script: str) -> Path:
            keyring = tmp_path / "keys.gpg"
            keyring.touch()
            monkeypatch.setattr(debian, "_KEYRINGS", ("/nowhere/keys.gpg", str(keyring)))
            program = tmp_path / "mmdebstrap"
            program.write_text(f'#!/bin/bash\ntar="${{@: -1}}"\n{script}\n')
            program.chmod(0o755)
            monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
            return keyring

        return make


class TestBuildContext:
    def test_the_key_depends_only_on_names_and_content(self, tmp_path):
        """
        Times, modes and the order of adding files do not change the image.
        """
        (tmp_path / "a").write_bytes(b"1")
        (tmp_path / "b").write_bytes(b"2")
        one, two = BuildContext(), BuildContext()
        one.add_tree(tmp_path, "x")
        os.utime(tmp_path / "a", (1, 1))
        (tmp_path / "b").chmod(0o700)
        two.add("x/b", b"2")
        two.add("x/a", b"1")

        assert one.key(base="b") == two.key(base="b")
        assert one.open().read() == two.open().read()

    @pytest.mark.parametrize(
        ("name", "content", "base"), [("b", b"1", "b"), ("a", b"2", "b"), ("a", b"1", "c")]
    )
    def test_each_part_changes_the_key(self, name, content, base):
        """
        Another name, content or base gives another image.
        """
        one, two = BuildContext(), BuildContext()
        one.add("a", b"1")
        two.add(name, content)

        assert one.key(base="b") != two.key(base=base)

    def test_leaves_out_caches_and_editor_files(self, tmp_path: Path):
        """
        Python's caches and backup files of editors do not belong into images.
        """
        for name in ("__pycache__/a.cpython-313.pyc", ".a.py.swp", "a.py~", "a.py"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        context = BuildContext()
        context.add_tree(tmp_path, "x")

        assert context.names == ["x/a.py"]
