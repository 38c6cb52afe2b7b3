"""
Codex's lists of allowed hosts, as policies.

Both lists are from OpenAI's documentation. The placeholders `{python}`, `{npm}`
and `{debian}` stand for the hosts that pip, npm and apt use in an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["PRESETS", "preset_hosts"]

_COMMON_DEPENDENCIES = """
alpinelinux.org anaconda.com apache.org apt.llvm.org archlinux.org azure.com bitbucket.org bower.io centos.org cocoapods.org
continuum.io cpan.org crates.io {debian} docker.com docker.io dot.net dotnet.microsoft.com eclipse.org fedoraproject.org
gcr.io ghcr.io github.com githubusercontent.com gitlab.com golang.org google.com goproxy.io gradle.org hashicorp.com
haskell.org hex.pm java.com java.net jcenter.bintray.com json-schema.org json.schemastore.org k8s.io launchpad.net maven.org
mcr.microsoft.com metacpan.org microsoft.com nodejs.org {npm} nuget.org oracle.com packagecloud.io
packages.microsoft.com packagist.org pkg.go.dev ppa.launchpad.net pub.dev pypa.io {python}
quay.io ruby-lang.org rubyforge.org rubygems.org rubyonrails.org rustup.rs rvm.io sourceforge.net spring.io swift.org
ubuntu.com visualstudio.com yarnpkg.com
"""  # noqa: E501 -- the order of the documentation, as of 2026-06-23

_PACKAGE_MANAGERS = """
{npm} registry.yarnpkg.com {python} download.pytorch.org download-r2.pytorch.org crates.io
index.crates.io static.crates.io static.rust-lang.org proxy.golang.org sum.golang.org repo.maven.apache.org repo1.maven.org
plugins.gradle.org plugins-artifacts.gradle.org services.gradle.org downloads.gradle.org bcr.bazel.build mirror.bazel.build
buf.build cpan.metacpan.org archive.ubuntu.com security.ubuntu.com ports.ubuntu.com ppa.launchpadcontent.net {debian}
packages.microsoft.com apt.buildkite.com developer.download.nvidia.com deb.nodesource.com github.com
codeload.github.com github-cloud.githubusercontent.com github-cloud.s3.amazonaws.com release-assets.githubusercontent.com
dl.google.com pkgconfig.freedesktop.org
"""  # noqa: E501

PRESETS: Mapping[str, str] = {
    "codex-common-dependencies": _COMMON_DEPENDENCIES,
    "codex-package-managers": _PACKAGE_MANAGERS,
}
"""The lists with their placeholders, by name; `preset_hosts` fills them in."""


def preset_hosts(name: str, registries: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """
    Return the hosts of a preset, as patterns of a policy.

    Args:
        name: one of `PRESETS`.
        registries: the hosts that `python`, `npm` and `debian` stand for.

    Returns:
        For `codex-common-dependencies`, each host and all its subdomains (npm
        downloads from a subdomain of its entry). For `codex-package-managers`,
        each host, and for a root domain also `www.`, as the documentation says.
    """
    hosts: list[str] = []
    for word in PRESETS[name].split():
        hosts += registries.get(word[1:-1], ()) if word.startswith("{") else [word]
    patterns: dict[str, None] = {}
    for host in hosts:
        patterns[host] = None
        if name == "codex-common-dependencies":
            patterns[f"*.{host}"] = None
        elif host.count(".") == 1:
            patterns[f"www.{host}"] = None
    return tuple(patterns)
