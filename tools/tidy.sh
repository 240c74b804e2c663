#!/usr/bin/env bash
# clang-tidy over the library and the tools, by the profile in .clang-tidy: any finding is an error. Files are read with the flags of preset
# clang, which is configured, not built.
# usage: tidy.sh [--since COMMIT | files…]      --since: files that differ from COMMIT (main); nothing: all of engine, ops, models, methods, tools, capi
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tidy=${CLANG_TIDY:-clang-tidy-16}
command -v "$tidy" >/dev/null || { echo "tidy.sh: $tidy is missing; install it (tools/packages.sh analysis), or name another, of version 16 or later, in CLANG_TIDY" >&2; exit 2; }
cmake --preset clang -DPLUMB_CUDA=OFF >/dev/null
case "${1:-}" in
  --since)
    [ $# = 2 ] || { echo "usage: tidy.sh [--since COMMIT | files…]" >&2; exit 2; }
    mapfile -t files < <(git diff --name-only --diff-filter=d "$2" -- '*.cpp')
    ;;
  "") mapfile -t files < <(git ls-files 'engine/*.cpp' 'ops/*.cpp' 'models/*.cpp' 'methods/*.cpp' 'tools/*.cpp' 'capi/*.cpp') ;;
  *) files=("$@") ;;
esac
# What is not compiled on this machine (MPI, CUDA) has no flags to be read with.
known=()
for file in "${files[@]}"; do
  if grep -qF "\"$PWD/$file\"" build-clang/compile_commands.json; then known+=("$file"); fi
done
[ ${#known[@]} -gt 0 ] || { echo "tidy.sh: nothing to read"; exit 0; }
echo "tidy.sh: ${#known[@]} files"
printf '%s\0' "${known[@]}" | xargs -0 -n 1 -P "${PLUMB_TIDY_JOBS:-$(nproc)}" "$tidy" --quiet -p build-clang 2>/dev/null
