#!/bin/bash
# Creates below $1 what the origin serves to git, Go, cargo, gem, Composer, Maven and Gradle's
# wrapper: one small package each.
set -euo pipefail
root=$1
work=$(mktemp -d)

git init --quiet --initial-branch main "$work/demo"
echo 'hello from git' > "$work/demo/README"
git -C "$work/demo" add README
git -C "$work/demo" -c user.name=A -c user.email=a@example.com commit --quiet --message first
git clone --quiet --bare "$work/demo" "$root/git/demo.git"

# A module proxy, by the GOPROXY protocol.
module=example.com/hello@v1.0.0
versions=$root/go/example.com/hello/@v
mkdir -p "$versions" "$work/$module"
printf 'module example.com/hello\n\ngo 1.24\n' | tee "$versions/v1.0.0.mod" > "$work/$module/go.mod"
echo 'package hello' > "$work/$module/hello.go"
echo '{"Version":"v1.0.0","Time":"2024-01-01T00:00:00Z"}' > "$versions/v1.0.0.info"
(cd "$work" && zip --quiet -r "$versions/v1.0.0.zip" "$module")

# A sparse registry, as cargo reads it over HTTP.
mkdir -p "$work/hello-1.0.0/src" "$root/cargo/he/ll"
printf '[package]\nname = "hello"\nversion = "1.0.0"\n' > "$work/hello-1.0.0/Cargo.toml"
echo 'fn main() { println!("hello from cargo"); }' > "$work/hello-1.0.0/src/main.rs"
tar -C "$work" -czf "$root/cargo/hello-1.0.0.crate" hello-1.0.0
sum=$(sha256sum "$root/cargo/hello-1.0.0.crate" | cut -d' ' -f1)
echo '{"dl":"https://origin.test/cargo/{crate}-{version}.crate"}' > "$root/cargo/config.json"
echo '{"name":"hello","vers":"1.0.0","deps":[],"features":{},"yanked":false,"cksum":"'"$sum"'"}' \
    > "$root/cargo/he/ll/hello"

# A gem server with a compact index.
mkdir -p "$work/gem/lib" "$root/gems/info" "$root/gems/gems" "$root/gems/quick/Marshal.4.8"
echo 'puts "hello from gem"' > "$work/gem/lib/hello.rb"
cat > "$work/gem/hello.gemspec" <<'EOF'
Gem::Specification.new do |s|
  s.name, s.version, s.summary, s.authors = "hello", "1.0.0", "Hello", ["A"]
  s.files = ["lib/hello.rb"]
end
EOF
cd "$work/gem"
gem build --silent hello.gemspec --output "$root/gems/gems/hello-1.0.0.gem"
sum=$(sha256sum "$root/gems/gems/hello-1.0.0.gem" | cut -d' ' -f1)
printf -- '---\n1.0.0 |checksum:%s\n' "$sum" > "$root/gems/info/hello"
printf 'created_at: 2024-01-01T00:00:00Z\n---\nhello 1.0.0 %s\n' \
    "$(md5sum "$root/gems/info/hello" | cut -d' ' -f1)" > "$root/gems/versions"
ruby -e 'File.binwrite(ARGV[0], Gem.deflate(Marshal.dump(Gem::Specification.load("hello.gemspec"))))' \
    "$root/gems/quick/Marshal.4.8/hello-1.0.0.gemspec.rz"

# A Composer repository.
mkdir -p "$work/php" "$root/composer"
echo '{"name":"origin/hello","autoload":{"files":["hello.php"]}}' > "$work/php/composer.json"
echo '<?php echo "hello from composer\n";' > "$work/php/hello.php"
(cd "$work/php" && zip --quiet -r "$root/composer/hello-1.0.0.zip" .)
cat > "$root/composer/packages.json" <<'EOF'
{"packages": {"origin/hello": {"1.0.0": {
  "name": "origin/hello", "version": "1.0.0", "autoload": {"files": ["hello.php"]},
  "dist": {"type": "zip", "url": "https://origin.test/composer/hello-1.0.0.zip"}
}}}}
EOF

# A Maven repository: a parent is what Maven fetches without a plugin.
parent=$root/maven/test/origin/parent/1.0/parent-1.0.pom
mkdir -p "${parent%/*}"
cat > "$parent" <<'EOF'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>test.origin</groupId><artifactId>parent</artifactId><version>1.0</version><packaging>pom</packaging>
</project>
EOF
sha1sum "$parent" | cut -c1-40 > "$parent.sha1"

# A distribution as Gradle's wrapper wants it: a class of that name in a jar of that name.
main=$work/gradle-1.0/classes/org/gradle/launcher/GradleMain.java
mkdir -p "${main%/*}" "$work/gradle-1.0/lib" "$root/gradle"
cat > "$main" <<'EOF'
package org.gradle.launcher;

public class GradleMain {
    public static void main(String... arguments) {
        System.out.println("hello from " + arguments[0]);
    }
}
EOF
javac "$main"
(cd "$work/gradle-1.0/classes" && zip --quiet -r ../lib/gradle-launcher-1.0.jar org)
(cd "$work" && zip --quiet -r "$root/gradle/gradle-1.0-bin.zip" gradle-1.0/lib)
rm -rf "$work"
