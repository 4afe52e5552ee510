#!/bin/bash
# Runs all tests. What they need beside Rust and a C compiler is installed first, where it is missing: SIPp, baresip,
# linphone, kamailio, rtpengine, sipsak, ffmpeg, libsrtp, Python, Node and recorded voices by apt, the official SDKs,
# JsSIP and sipvicious by npm and pip into this checkout. No test is skipped: what cannot be installed is an error.
# Arguments go to the test runner.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "tests/run.sh: $*" >&2
    exit 1
}

command -v cargo >/dev/null || fail "cargo is missing: install a Rust toolchain first"
command -v cc >/dev/null || fail "cc is missing: install a C compiler first (apt-get install gcc libc6-dev)"

python_fits() { python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; }
node_major() { { node --version 2>/dev/null || true; } | sed -n 's/^v\([0-9]*\)\..*/\1/p'; }

# ---- by apt ----
packages=()
[ -d /usr/share/asterisk/sounds/en_US_f_Allison ] || packages+=(asterisk-core-sounds-en-wav) # speech without digits
command -v curl >/dev/null || packages+=(curl ca-certificates)
command -v sipp >/dev/null || packages+=(sip-tester)
command -v tshark >/dev/null || packages+=(tshark) # reads our capture files
command -v baresip >/dev/null || packages+=(baresip-core) # a phone that speaks G.722 and Opus
command -v linphonec >/dev/null || packages+=(linphone-cli) # another phone
[ -x /usr/sbin/kamailio ] || packages+=(kamailio) # a proxy
command -v rtpengine >/dev/null || packages+=(rtpengine-daemon)
command -v sipsak >/dev/null || packages+=(sipsak)
command -v ffmpeg >/dev/null || packages+=(ffmpeg) # speaks SRTP that is not ours
libsrtp() { PATH=$PATH:/sbin ldconfig -p | grep -q 'libsrtp2\.so\.1 '; } # the other one
libsrtp || packages+=(libsrtp2-1)
python_fits || packages+=(python3 python3-venv)
major=$(node_major)
[ "${major:-0}" -ge 20 ] || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)
if [ ${#packages[@]} -gt 0 ]; then
    echo "installing ${packages[*]}"
    command -v apt-get >/dev/null || fail "there is no apt-get here: install ${packages[*]} by hand"
    root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail "neither root nor sudo: install ${packages[*]} by hand"
        root=(sudo)
    fi
    "${root[@]}" apt-get update -qq || fail "apt-get update failed"
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}" \
        >/dev/null || fail "apt-get could not install ${packages[*]}"
    hash -r
    # Tests start their own: what Debian starts with the package would sit on port 5060.
    for service in kamailio rtpengine-daemon; do
        if [[ " ${packages[*]} " == *" $service "* ]] && systemctl is-active --quiet "$service" 2>/dev/null; then
            "${root[@]}" systemctl disable --quiet --now "$service" || true
        fi
    done
fi
command -v sipp >/dev/null || fail "sipp is missing after installing sip-tester"
command -v baresip >/dev/null || fail "baresip is missing after installing baresip-core"
command -v tshark >/dev/null || fail "tshark is missing after installing it"
command -v linphonec >/dev/null || fail "linphonec is missing after installing linphone-cli"
[ -x /usr/sbin/kamailio ] || fail "kamailio is missing after installing it"
command -v rtpengine >/dev/null || fail "rtpengine is missing after installing rtpengine-daemon"
command -v sipsak >/dev/null || fail "sipsak is missing after installing it"
command -v ffmpeg >/dev/null || fail "ffmpeg is missing after installing it"
libsrtp || fail "libsrtp2.so.1 is missing after installing libsrtp2-1"
python_fits || fail "python3 of at least 3.9 with venv is needed, $(python3 --version 2>&1) was found"
major=$(node_major)
# Debian 12 has 18, with which the SDK works too.
[ "${major:-0}" -ge 18 ] || fail "node of at least 18 is needed, v${major:-none} was found"
command -v npm >/dev/null || fail "npm is missing after installing it"

# SIPp sends telephone events by a raw socket, which only root may open. Everybody else gets a copy of it that may.
if [ "$(id -u)" != 0 ]; then
    tools=$PWD/target/peers/bin
    if ! cmp -s "$(command -v sipp)" "$tools/sipp" || ! PATH=$PATH:/usr/sbin getcap "$tools/sipp" | grep -q cap_net_raw; then
        mkdir -p "$tools"
        cp "$(command -v sipp)" "$tools/sipp"
        sudo setcap cap_net_raw+ep "$tools/sipp" || fail "setcap could not let $tools/sipp open raw sockets"
    fi
    PATH=$tools:$PATH
fi

# ---- by pip and npm, from wherever they are configured to fetch ----
venv=target/peers/python
pins=tests/peers/python/requirements.txt
if ! cmp -s "$pins" "$venv/installed.txt" || ! "$venv/bin/python" -c 'import azure.communication.callautomation'; then
    echo "installing the Python SDK and sipvicious into $venv"
    rm -rf "$venv"
    python3 -m venv "$venv" || fail "python3 -m venv $venv failed"
    "$venv/bin/python" -m pip install --quiet --requirement "$pins" || fail "pip could not install $pins"
    cp "$pins" "$venv/installed.txt"
fi
npm=tests/peers/node
if ! cmp -s "$npm/package-lock.json" "$npm/node_modules/installed.json"; then
    echo "installing the JavaScript SDK into $npm/node_modules"
    (cd "$npm" && npm ci --no-audit --no-fund --loglevel=error) || fail "npm ci failed in $npm"
    cp "$npm/package-lock.json" "$npm/node_modules/installed.json"
fi

# ---- the tests ----
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --no-fail-fast "$@"
else
    cargo test --no-fail-fast "$@"
fi
cargo test --doc
