#!/bin/sh
# without.sh PROGRAM COMMAND...: runs the command where that program of /usr/bin cannot be found to be executable, in a mount namespace of its own.
# Exits with 77, which ctest counts as skipped, where there is no such program or no right to make a namespace.
set -eu
program=/usr/bin/$1
shift
[ -e "$program" ] || { echo "$program is not installed"; exit 77; }
unshare --mount true 2>/dev/null || { echo "no right to make a mount namespace"; exit 77; }
exec unshare --mount sh -ec 'mount --bind /dev/null "$0"; exec "$@"' "$program" "$@"
