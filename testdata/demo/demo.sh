#!/bin/bash
# Runs the recipe in this folder on the Engine at DOCKER_HOST with the galley on PATH, and fails if anything is not as told.
set -euo pipefail
cd "$(dirname "$0")"
port=${DEMO_PORT:-18088}

fail() {
	echo "demo: failed: $*" >&2
	exit 1
}

# show prints a command and runs it; expect CODE does so too, and wants that exit code.
show() {
	printf '\n$ %s\n' "$*"
	"$@"
}
expect() {
	local want=$1 code=0
	shift
	show "$@" || code=$?
	[ "$code" = "$want" ] || fail "$* exited with $code instead of $want"
}

# A fresh machine has neither curl nor wget.
get() {
	exec 3<>"/dev/tcp/127.0.0.1/$port"
	printf 'GET / HTTP/1.0\r\n\r\n' >&3
	cat <&3
	exec 3>&-
}

trap 'code=$?; [ $code = 0 ] || galley down --volumes --timeout 1 || :; exit $code' EXIT

before=$(galley plan)
expect 4 galley plan --detailed-exitcode
show galley up --detach --wait
show galley ps --all
printf '\n$ GET http://127.0.0.1:%s/\n' "$port"
page=$(get)
echo "$page"
grep -q '<h1>Hello from a database that was healthy in time</h1>' <<<"$page" || fail "that is not the page that the job wrote"
expect 0 galley plan --detailed-exitcode
show galley down --volumes
[ -z "$(galley ps --all --quiet)" ] || fail "containers are left"
[ "$(galley plan)" = "$before" ] || fail "something is left: the plan is not what it was at first"
printf '\ndemo: all as told, in %s seconds; nothing is left\n' "$SECONDS"
