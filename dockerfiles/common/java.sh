#!/bin/sh
# Java reads neither variables nor the system's trust store, but files of each JDK: names the proxy and the
# certificate in those of every JDK here. A second run changes nothing, and what an image has set itself stays.
set -eu

hook=/etc/ca-certificates/update.d/zz-codex-workspace-java
homes=$(find / -xdev -path '*/lib/security/cacerts' 2> /dev/null | sed 's|/lib/security/cacerts$||' | sort)
[ "$homes" ] || exit 0

echo "$homes" | while read -r home; do
    for file in "$home/conf/net.properties" "$home/lib/net.properties"; do
        if [ -f "$file" ] && ! grep -Eq '^[[:space:]]*https?\.proxyHost' "$file"; then
            cat >> "$file" <<'PROPERTIES'

# The proxy of a Codex workspace; localhost goes around it by http.nonProxyHosts. A -D of the same name wins.
http.proxyHost=proxy
http.proxyPort=8080
https.proxyHost=proxy
https.proxyPort=8080
PROPERTIES
        fi
    done
done

# As a hook, since a workspace may start with another certificate than its image was made with. Debian's own hook
# for its JDKs adds a certificate but does not replace one: this comes after it, and has its alias.
mkdir -p "${hook%/*}"
{
    cat <<'HOOK'
#!/bin/sh
# Puts the proxy's certificate into the trust store of each JDK listed here. Run by update-ca-certificates.
while read -r home; do
    tool() {
        "$home/bin/keytool" -J-XX:-UsePerfData -J-XX:TieredStopAtLevel=1 "$@" -storepass changeit \
            -keystore "$home/lib/security/cacerts" -alias debian:envoy-mitmproxy-ca-cert.pem < /dev/null
    }
    [ -x "$home/bin/keytool" ] || continue
    tool -delete > /dev/null 2>&1
    said=$(tool -importcert -noprompt -file /usr/local/share/ca-certificates/envoy-mitmproxy-ca-cert.crt 2>&1) ||
        echo "$home does not trust the proxy's certificate: $said" >&2
done <<'HOMES'
HOOK
    echo "$homes"
    echo HOMES
} > "$hook"
chmod 755 "$hook"
