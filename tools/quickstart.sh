#!/usr/bin/env bash
# From nothing to a model that writes: installs what is missing, builds the `plumb` command, trains a small GPT for about two minutes
# and prints what it writes. usage: quickstart.sh [FILE…]      FILE: texts to learn from; without, Plumb's own sources and documents
# PLUMB_QUICKSTART_STEPS: so many steps instead of two minutes; PLUMB_RUNS: where the run directory is made (runs)
set -euo pipefail

texts=()
for file in "$@"; do
  [ -r "$file" ] && [ -f "$file" ] || { echo "quickstart: $file: no such file, or not readable" >&2; exit 2; }
  texts+=("$(realpath "$file")")
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/packages.sh build

step="setting out"
trap 'echo "quickstart: $step failed" >&2' ERR

# A build directory that is there keeps its options; a fresh one builds what training needs and nothing else.
step="configuring the build"
if [ ! -f build/CMakeCache.txt ]; then
  options=(-DPLUMB_TESTS=OFF -DPLUMB_QUICK=ON)
  if command -v nvcc >/dev/null && nvidia-smi -L >/dev/null 2>&1; then options+=(-DPLUMB_CUDA=ON); fi
  cmake --preset release "${options[@]}" >/dev/null
fi
step="building"
cmake --build build --target plumb

step="gathering the text"
runs=${PLUMB_RUNS:-runs}
mkdir -p "$runs"
run=$runs/quickstart
for ((n = 2; ; ++n)); do
  [ -e "$run" ] || [ -e "$run.txt" ] || break
  run=$runs/quickstart-$n
done
if [ ${#texts[@]} = 0 ]; then
  find ./*.md engine ops models tools -type f \( -name '*.md' -o -name '*.h' -o -name '*.cpp' \) -print0 | LC_ALL=C sort -z | xargs -0 cat >"$run.txt"
  prompt="// "
else
  cat "${texts[@]}" >"$run.txt"
  prompt=$(LC_ALL=C grep -aoEm1 '[A-Za-z]+' "$run.txt" | head -n 1 || true)
fi

# How many steps two minutes are on this machine: a short run, thrown away, tells its speed.
step="trying the speed"
tokens_a_step=$((12 * 64))
steps=${PLUMB_QUICKSTART_STEPS:-}
if [ -z "$steps" ]; then
  probe=$(mktemp -d)
  head -c 100000 "$run.txt" >"$probe/text.txt"
  build/plumb train gpt --data "$probe/text.txt" --out "$probe/run" --steps 60 --tokenizer byte >/dev/null 2>"$probe/errors" ||
    { cat "$probe/errors" >&2; false; }
  speed=$(tail -n 1 "$probe/run/metrics.jsonl" | sed -n 's/.*"tokens_per_s":\([0-9]*\).*/\1/p')
  rm -rf "$probe"
  steps=$((105 * speed / tokens_a_step))
fi
[ "$steps" -gt 0 ] || false

step="training"
printf '\nTraining a small GPT on %s bytes of text (%s) for %s steps\n' "$(stat -c %s "$run.txt")" "$run.txt" "$steps"
build/plumb train gpt --data "$run.txt" --out "$run" --steps "$steps" --eval-every $((steps / 4 + 1))

step="sampling"
printf '\nWhat it writes now:\n\n'
build/plumb sample "$run" --prompt "$prompt" --temperature 0.8
printf '\n\nThe run is in %s, its report in %s/report.html\nMore: build/plumb sample %s --prompt "..."\n' "$run" "$run" "$run"
