#!/bin/bash
# What the origin has to offer to git, Go, cargo and gem: one small package each, below $1.
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
rm -rf "$work"
