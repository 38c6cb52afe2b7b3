"""Images, over the Docker Engine API."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

import docker.auth
from docker.utils import parse_repository_tag

from ...errors import EngineError, EngineUnavailable, ImageBuildError
from ...text.units import show_size
from ...unpatched import clock
from ..labels import has_labels
from ..messages.buildkit import BuildTrace, needs_name, wants_buildkit
from ..messages.progress import Progress
from ..protocol import ImageInfo
from .api import LONG, label_filter
from .failures import SILENCE, to_engine_error, translate_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..protocol import OnAdvance
    from .api import Api

__all__ = ["Images", "find_image", "image_made", "known_name", "written_name"]

_ID = re.compile(r"(sha256:)?[0-9a-f]{12,64}")

_BASES = "codex-workspace-emulator-from"
"""The repository of names that exist during a build, each with the time at which it was given."""

_BUILDS_END = 24 * 3600.0
"""Seconds after which no build can still be running."""

_WHOLE_ID = re.compile(r"[0-9a-f]{64}")

_STEP_PATIENCE = 1200
"""Seconds for which a step of a build without a network may be silent."""

_LOADED = re.compile(r"Loaded image(?: ID)?(?:\(s\)|s)?: (.+)")

_NO_CREDENTIALS = base64.urlsafe_b64encode(b"{}").decode("ascii")
"""Engines require the header of a push even without credentials."""


class Images:
    """
    The part of `DockerEngine` that is about images.
    """

    _api: Api

    def image(self, reference: str) -> ImageInfo | None:
        """
        Return the image that *reference* names; `None` if the engine does not have it.
        """
        return find_image(self._api, reference)

    def images(self, labels: Mapping[str, str | None]) -> list[ImageInfo]:
        """
        Return the images with all *labels*, without `architecture`.
        """
        answer = self._api.call("GET", "/images/json", "list images", params=label_filter(labels))
        return [
            _image_info(one, self._api.dialect.local_host)
            for one in answer.json()
            if has_labels(one.get("Labels") or {}, labels)
        ]

    def pull(
        self,
        reference: str,
        on_line: Callable[[str], None],
        patience: float | None = None,
        on_advance: OnAdvance | None = None,
        *,
        limit: int | None = None,
    ) -> ImageInfo:
        """
        Fetch *reference* from its registry.
        """
        what = f"pull the image {reference}"
        repository, tag = parse_repository_tag(reference)
        params = {"fromImage": repository, "tag": tag or "latest"}
        self._transfer(
            "/images/create", what, reference, params, on_line, patience, on_advance, limit
        )
        return image_made(self._api, reference, what)

    def registry_digest(self, reference: str, patience: float) -> str:
        """
        Return the digest of *reference* in its registry.
        """
        what = f"look the image {reference} up in its registry"
        if not self._api.dialect.looks_up_digests:
            raise to_engine_error(what, f"{self._api.dialect.name} does not report it")
        repository, tag = parse_repository_tag(reference)
        separator = "@" if (tag or "").startswith("sha256:") else ":"
        with translate_errors(what, self._api.url):
            credentials = self._credentials(reference)
        try:
            answer = self._api.call(
                "GET",
                f"/distribution/{repository}{separator}{tag or 'latest'}/json",
                what,
                headers=credentials,
                timeout=(patience, patience),
            )
            return str(answer.json()["Descriptor"]["digest"])
        except (ValueError, KeyError, TypeError):
            raise to_engine_error(what, "the registry's answer has no digest") from None
        except EngineUnavailable as error:
            if SILENCE not in str(error):
                raise
            words = f"nothing came from the registry for {patience:g} s"
            raise to_engine_error(what, words) from None

    def push(
        self,
        reference: str,
        on_line: Callable[[str], None],
        patience: float | None = None,
        on_advance: OnAdvance | None = None,
    ) -> None:
        """
        Send the image *reference* to its registry.
        """
        what = f"push the image {reference}"
        repository, tag = parse_repository_tag(reference)
        path, params = f"/images/{repository}/push", {"tag": tag or "latest"}
        self._transfer(path, what, reference, params, on_line, patience, on_advance)

    def save(self, references: Sequence[str]) -> Iterator[bytes]:
        """
        Yield a tar of images in pieces.
        """
        what = f"save {', '.join(references)}"
        answer = self._api.call(
            "GET",
            "/images/get",
            what,
            params={"names": [known_name(self._api, one) for one in references]},
            timeout=LONG,
            stream=True,
        )
        return self._api.pieces(answer, what)

    def load(self, archive: BinaryIO) -> list[str]:
        """
        Add every image of a tar to the engine. Return their tags or ids.
        """
        what = "load images"
        answer = self._api.call(
            "POST", "/images/load", what, params={"quiet": "1"}, data=archive, timeout=LONG
        )
        lines: list[str] = []
        progress = Progress(lines.append)
        for line in answer.text.splitlines():
            progress.feed_line(line)
        progress.finish()
        if progress.error:
            raise to_engine_error(what, progress.error)
        loaded = (_LOADED.match(line) for line in lines)
        # Podman names all images in one line.
        names = (name.strip() for one in loaded if one for name in one[1].split(","))
        return [name.removeprefix(self._api.dialect.local_host) for name in names]

    def build(
        self,
        context: BinaryIO,
        *,
        dockerfile: str,
        tag: str,
        labels: Mapping[str, str],
        args: Mapping[str, str],
        on_line: Callable[[str], None],
        on_advance: OnAdvance | None = None,
        target: str = "",
        no_cache: bool = False,
        offline: bool = False,
    ) -> ImageInfo:
        """
        Build the tar *context* with the builder that the engine prefers.
        """
        progress = Progress(on_line, on_advance)
        answer = self._api.call("GET", "/_ping", "tell which builder it has", allow={404})
        buildkit = wants_buildkit(dict(answer.headers.items()), os.environ)
        with self._named_bases(args if buildkit else {}) as names:
            return self._build(
                f"build the image {tag or dockerfile}",
                context,
                dockerfile,
                written_name(self._api, tag) if tag else None,
                labels,
                args,
                progress,
                target=target,
                no_cache=no_cache,
                offline=offline,
                names=names if buildkit else None,
            )

    def import_image(self, layer: BinaryIO, *, tag: str, changes: Sequence[str]) -> ImageInfo:
        """
        Make an image of one root file system tar.
        """
        what = f"import the image {tag}"
        answer = self._api.call(
            "POST",
            "/images/create",
            what,
            params={"fromSrc": "-", "changes": list(changes)},
            data=layer,
            timeout=LONG,
        )
        progress = Progress(lambda _: None)
        for line in answer.text.splitlines():
            progress.feed_line(line)
        # The engine reports errors after it has sent the status 200.
        found = _WHOLE_ID.search(answer.text)
        if progress.error or not found:
            raise to_engine_error(what, progress.error or answer.text)
        # Tagged last: some engines ignore a tag given with the import.
        self.tag(found[0], tag)
        return image_made(self._api, tag, what)

    def tag(self, image: str, reference: str) -> None:
        """
        Make *reference* a name of *image*.
        """
        repository, tag = parse_repository_tag(written_name(self._api, reference))
        source = known_name(self._api, image)
        self._api.call(
            "POST",
            f"/images/{source}/tag",
            f"tag {image} as {reference}",
            params={"repo": repository, "tag": tag or "latest"},
        )

    def remove_image(self, reference: str) -> None:
        """
        Remove a tag, and with its last tag the image.
        """
        what = f"remove the image {reference}"
        for name in possible_names(self._api, reference):
            path = f"/images/{name}"
            answer = self._api.call("DELETE", path, what, allow={404}, timeout=LONG)
            if answer.status_code != 404:
                return

    @contextmanager
    def _named_bases(self, args: Mapping[str, str]) -> Iterator[Mapping[str, str] | None]:
        """
        Give the images that *args* name by id or digest a name for the time of a build, and yield
        the changed arguments; `None` if an image could not keep existing without the name.
        """
        names: dict[str, str] = {}
        try:
            for argument, value in args.items():
                image = self.image(value) if needs_name(value) else None
                if image is None:
                    continue
                if not image.tags and not image.digests:
                    # With its only name, the engine would remove the image.
                    yield None
                    return
                if not names:
                    self._forget_bases()
                name = f"{_BASES}:{int(clock.wall_time())}-{secrets.token_hex(8)}"
                self.tag(image.id, name)
                names[argument] = name
            yield names
        finally:
            for name in names.values():
                self._forget_base(name)

    def _forget_bases(self) -> None:
        """
        Remove the names of builds that were killed: they would keep images of ours for ever.
        """
        params = {"filters": json.dumps({"reference": [_BASES]})}
        for one in self._api.call("GET", "/images/json", "list images", params=params).json():
            for name in one.get("RepoTags") or ():
                made = name.removeprefix(f"{_BASES}:").partition("-")[0]
                if made.isdecimal() and clock.wall_time() - int(made) > _BUILDS_END:
                    self._forget_base(name)

    def _forget_base(self, name: str) -> None:
        # By now it may be the last name of an image that a container uses.
        with suppress(EngineError):
            self.remove_image(name)

    def _transfer(
        self,
        path: str,
        what: str,
        reference: str,
        params: Mapping[str, str],
        on_line: Callable[[str], None],
        patience: float | None,
        on_advance: OnAdvance | None,
        limit: int | None = None,
    ) -> None:
        """
        Make a call for which the engine contacts a registry.
        """
        with translate_errors(what, self._api.url):
            credentials = self._credentials(reference)
        progress = Progress(on_line, on_advance)
        try:
            with self._api.call(
                "POST",
                path,
                what,
                params=params,
                headers=credentials,
                timeout=LONG if patience is None else (patience, patience),
                stream=True,
            ) as answer:
                for line in self._api.messages(answer.lines(), what):
                    progress.feed_line(line)
                    # An engine stops when its client goes.
                    if limit is not None and progress.downloaded > limit:
                        progress.error = f"the registry sent more than {show_size(limit)}"
                        break
        except EngineUnavailable as error:
            if patience is None or SILENCE not in str(error):
                raise
            progress.error = f"nothing came from the registry for {patience:g} s"
        progress.finish()
        if progress.error:
            raise to_engine_error(what, progress.error)

    def _credentials(self, reference: str) -> dict[str, str]:
        """
        Return the header with the credentials that the docker command would use.
        """
        registry, _ = docker.auth.resolve_repository_name(reference)
        found = docker.auth.resolve_authconfig(docker.auth.load_config(), registry)
        return {"X-Registry-Auth": _header(found) if found else _NO_CREDENTIALS}

    def _build(
        self,
        what: str,
        context: BinaryIO,
        dockerfile: str,
        tag: str | None,
        labels: Mapping[str, str],
        args: Mapping[str, str],
        progress: Progress,
        *,
        target: str = "",
        no_cache: bool = False,
        offline: bool = False,
        names: Mapping[str, str] | None = None,
    ) -> ImageInfo:
        with translate_errors(what, self._api.url, ImageBuildError):
            credentials = _all_credentials()
        try:
            answer = self._api.call(
                "POST",
                "/build",
                what,
                params={
                    "dockerfile": dockerfile,
                    "t": tag,
                    "labels": json.dumps(dict(labels)),
                    "buildargs": json.dumps({**args, **(names or {})}),
                    "rm": "1",
                    "forcerm": "1",
                    "target": target or None,
                    "nocache": "1" if no_cache else None,
                    "networkmode": "none" if offline else None,
                    "version": None if names is None else "2",
                },
                data=context,
                headers=credentials,
                timeout=(10.0, _STEP_PATIENCE) if offline else LONG,
                stream=True,
            )
        except EngineError as error:
            raise ImageBuildError(error.message, remedy=error.remedy) from None
        trace = BuildTrace(progress, {v: args[k] for k, v in (names or {}).items()})
        with answer:
            for line in self._api.messages(answer.lines(), what, ImageBuildError):
                trace.feed_line(line)
        progress.finish()
        if progress.error:
            step = f"\nThe failed step: {progress.step}" if progress.step else ""
            tail = f"\nLast lines of output:\n{progress.tail}" if progress.tail else ""
            raise to_engine_error(what, progress.error, ImageBuildError, details=step + tail)
        made = image_made(self._api, tag or progress.image, what)
        image = self._labelled(made, labels)
        if tag and image is not made:
            self.tag(image.id, tag)
            # Nothing names it any more, but a layer of the new one may need it.
            with suppress(EngineError):
                self.remove_image(made.id)
        return image_made(self._api, tag or image.id, what)

    def _labelled(self, image: ImageInfo, labels: Mapping[str, str]) -> ImageInfo:
        """
        Return *image* if it has *labels*, otherwise an image made from it that has them.

        Some engines ignore the labels of a commit, and some read those of a build as text of a
        Dockerfile. All of them keep the labels of a container as they are.
        """
        if labels.items() <= image.labels.items():
            return image
        what = f"label the image {image.id}"
        body = {"Image": image.id, "Labels": dict(labels)}
        container = self._api.call("POST", "/containers/create", what, body=body, finish=True)
        path = f"/containers/{container.json()['Id']}"
        try:
            params = {"container": container.json()["Id"]}
            answer = self._api.call("POST", "/commit", what, params=params, body={}, timeout=LONG)
            return image_made(self._api, str(answer.json()["Id"]), what)
        finally:
            self._api.call("DELETE", path, what, params={"force": "1"}, allow={404}, timeout=LONG)


def _all_credentials() -> dict[str, str]:
    """
    Return the header with every credential of the docker command: a build may use any of them.
    """
    config: Any = docker.auth.load_config()
    found = config.get_all_credentials()
    if docker.auth.INDEX_NAME in found:
        found.setdefault(docker.auth.INDEX_URL, found[docker.auth.INDEX_NAME])
    return {"X-Registry-Config": _header(found)} if found else {}


def _header(credentials: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(credentials).encode()).decode("ascii")


def find_image(api: Api, reference: str) -> ImageInfo | None:
    """
    Return the image that *reference* names; `None` if the engine does not have it.
    """
    for name in possible_names(api, reference):
        what = f"look up the image {reference}"
        answer = api.call("GET", f"/images/{name}/json", what, allow={404})
        if answer.status_code != 404:
            return _image_info(answer.json(), api.dialect.local_host)
    return None


def image_made(api: Api, reference: str, what: str) -> ImageInfo:
    """
    Return the image that the engine has just made.

    Raises:
        EngineError: the engine does not have the image.
    """
    image = find_image(api, reference)
    if image is None:
        raise to_engine_error(what, "it reported success, but the image is not there")
    return image


def written_name(api: Api, reference: str) -> str:
    """
    Return the name under which the engine keeps a new image.
    """
    return possible_names(api, reference)[0]


def known_name(api: Api, reference: str) -> str:
    """
    Return the name under which the engine has the image *reference*.
    """
    names = possible_names(api, reference)
    if len(names) == 1:
        return reference
    what = f"look up the image {reference}"
    answers = ((name, api.call("GET", f"/images/{name}/json", what, allow={404})) for name in names)
    return next((name for name, answer in answers if answer.status_code != 404), reference)


def possible_names(api: Api, reference: str) -> tuple[str, ...]:
    """
    Return the names that *reference* may stand for, the most likely first.
    """
    host, slash, _ = reference.partition("/")
    named = slash and (host == "localhost" or "." in host or ":" in host)
    local = api.dialect.local_host
    if not local or named or _ID.fullmatch(reference):
        return (reference,)
    return (local + reference, reference)


def _image_info(about: Mapping[str, Any], local: str) -> ImageInfo:
    """
    Read the description of an image, in the form of `inspect` or of a list. Tags lose *local*,
    the name that the engine gives to a host that is none.
    """
    config = about.get("Config") or {}
    tags = [one for one in about.get("RepoTags") or () if one != "<none>:<none>"]
    digests = [one for one in about.get("RepoDigests") or () if one != "<none>@<none>"]
    return ImageInfo(
        id=about["Id"],
        tags=tuple(one.removeprefix(local) for one in tags),
        labels=about.get("Labels") or config.get("Labels") or {},
        digests=tuple(digests),
        size=about.get("Size") or 0,
        architecture=about.get("Architecture") or "",
        layers=tuple((about.get("RootFS") or {}).get("Layers") or ()),
        on_build=tuple(map(str, config.get("OnBuild") or ())),
    )
