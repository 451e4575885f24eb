#!/usr/bin/env bash
# Usage: tests/elsewhere.sh PYTHON [ARGUMENT OF PYTEST]...
#
# The tests as if on another machine: from a copy in a path with a space, as a user without a name
# or a home, in another time zone, locale and umask, and with the answer about AMX turned round.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(realpath --no-symlinks "$1")
shift

elsewhere=$(mktemp -d "${TMPDIR:-/tmp}/else where.XXXXXX")
trap 'rm -rf "$elsewhere"' EXIT
cp -r src tests scripts benchmarks docs pyproject.toml README.md "$elsewhere"
mkdir "$elsewhere/tmp"

# Only root can be someone else. Where the interpreter lies behind a door that opens to root alone,
# the other user gets the right to read what root may read, but not to write it.
user=()
if [ "$(id -u)" = 0 ]; then
  nobody="setpriv --reuid=54321 --regid=54321 --clear-groups"
  for as in "$nobody" "$nobody --inh-caps=+dac_read_search --ambient-caps=+dac_read_search"; do
    # A shell between them, because setpriv itself may still start what the user may not.
    if $as sh -c '"$0" -c "import torch"' "$python" 2>/dev/null; then
      read -ra user <<<"$as"
      chown -R 54321:54321 "$elsewhere"
      break
    fi
  done
fi
[ ${#user[@]} -gt 0 ] || echo "elsewhere: not as another user, which needs root and setpriv" >&2

cd "$elsewhere"
umask 077
HOME=/nonexistent TMPDIR="$elsewhere/tmp" TZ=Asia/Kathmandu LC_ALL=C PYTHONPATH="$elsewhere/src" \
  "${user[@]}" "$python" -m pytest --turn-amx "$@"
