#!/usr/bin/env bash
# Feeds every reader with damaged files under the address and undefined-behaviour sanitizers (libFuzzer, needs Clang). Corpora grow in
# build-fuzz/corpora; an input that does harm lies in build-fuzz/harm afterwards, and belongs into tests/fuzz/kept/TARGET once it is mended.
# usage: fuzz.sh [minutes of each target, default 1] [targets…]      ends with a line for each target: its executions, and what was found
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

minutes=${1:-1}
[[ $minutes =~ ^[0-9]+([.][0-9]+)?$ ]] || { echo "usage: fuzz.sh [minutes] [targets…]" >&2; exit 2; }
shift $(($# > 0 ? 1 : 0))
command -v clang++ >/dev/null || { echo "fuzz.sh: clang++ is missing; install clang and lld (tools/packages.sh fuzz)" >&2; exit 2; }
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz

program=build-fuzz/plumb_fuzz
seconds=$(awk "BEGIN { s = int(60 * $minutes); print (s < 1 ? 1 : s) }")
mkdir -p build-fuzz/harm build-fuzz/logs
export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=0
export UBSAN_OPTIONS=print_stacktrace=1

# One target for its time. After a finding the rest of the time is spent on going on; findings are counted.
fuzz() {  # target dictionary
  local corpus=build-fuzz/corpora/$1 log=build-fuzz/logs/$1 end=$((SECONDS + seconds)) executions=0 found=0 dictionary=()
  [ -z "$2" ] || dictionary=("-dict=tests/fuzz/dictionaries/$2.dict")
  mkdir -p "$corpus"
  while [ $((end - SECONDS)) -gt 0 ] && [ $found -lt 10 ]; do
    # -timeout guards against hangs; slowness is measured in processor time by the program itself.
    "$program" "--target=$1" "--seeds=$corpus" "${dictionary[@]}" -max_total_time=$((end - SECONDS)) -max_len=65536 -timeout=20 \
      -rss_limit_mb=2048 -malloc_limit_mb=512 -print_final_stats=1 -print_funcs=0 "-artifact_prefix=build-fuzz/harm/$1-" "$corpus" >"$log" 2>&1 && code=0 || code=$?
    executions=$((executions + $(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1 | grep . || echo 0)))
    [ "$code" = 0 ] && break
    [ "$code" -lt 128 ] || return "$code"  # stopped from outside
    found=$((found + 1))
    cp "$log" "$log.$found"
  done
  echo "$1: $executions executions, $found findings" | tee -a build-fuzz/executions.txt
  [ $found = 0 ]
}

result=0
while read -r target dictionary; do
  if [ $# = 0 ] || [[ " $* " == *" $target "* ]]; then fuzz "$target" "$dictionary" </dev/null || result=1; fi
done < <("$program" --list)
exit $result
