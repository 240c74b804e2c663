#!/usr/bin/env bash
# From nothing to a model that writes: installs what is missing, builds the `plumb` command, trains a small GPT for about two minutes
# and prints what it writes. usage: quickstart.sh [FILE…]      FILE: texts to learn from; without, Plumb's own sources and documents
set -euo pipefail

step="setting out"
trap 'echo "quickstart: $step failed" >&2' ERR
texts=()
for file in "$@"; do
  [ -r "$file" ] && [ -f "$file" ] || { echo "quickstart: $file: no such file, or not readable" >&2; exit 2; }
  texts+=("$(realpath "$file")")
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step="installing packages"
trap - ERR
bash tools/packages.sh build
trap 'echo "quickstart: $step failed" >&2' ERR

# A build directory that is there keeps its options; a fresh one builds what training needs and nothing else.
step="configuring the build"
if [ ! -f build/CMakeCache.txt ]; then
  options=(-DPLUMB_TESTS=OFF)
  if command -v nvcc >/dev/null && nvidia-smi -L >/dev/null 2>&1; then options+=(-DPLUMB_CUDA=ON); fi
  cmake --preset release "${options[@]}" >/dev/null
fi
step="building"
cmake --build build --target plumb

step="making a run directory"
mkdir -p runs
run=runs/quickstart
for ((n = 2; ; ++n)); do
  [ -e "$run" ] || [ -e "$run.txt" ] || break
  run=runs/quickstart-$n
done
prompt="// "
if [ ${#texts[@]} = 0 ]; then
  find README.md ARCHITECTURE.md LICENSE engine ops models methods tools -type f \( -name '*.md' -o -name '*.h' -o -name '*.cpp' \) -print0 2>/dev/null |
    LC_ALL=C sort -z | xargs -0 cat >"$run.txt"
else
  cat "${texts[@]}" >"$run.txt"
  prompt=$(head -c 1 "$run.txt")
fi
printf '\nLearning from %s bytes of text in %s\n' "$(stat -c %s "$run.txt")" "$run.txt"

step="training"
build/plumb train gpt --data "$run.txt" --out "$run" --steps "${PLUMB_QUICKSTART_STEPS:-2000}"

step="sampling"
printf '\nWhat it writes now:\n\n'
build/plumb sample "$run" --prompt "$prompt" --temperature 0.8
printf '\n\nThe run is in %s; its report: %s/report.html\nMore: build/plumb sample %s --prompt "..."\n' "$run" "$run" "$run"
