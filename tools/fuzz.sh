#!/usr/bin/env bash
# Feeds every reader with damaged files under the address and undefined-behaviour sanitizers (libFuzzer, needs Clang). Corpora grow in
# build-fuzz/corpora; an input that does harm lies in build-fuzz/harm afterwards, and belongs into tests/fuzz/kept/TARGET once it is mended.
# build-fuzz/executions.txt adds up over all calls: target, executions, findings, seconds of processor time.
# usage: fuzz.sh [minutes of each target, default 1] [targets…]      with inputs of up to 64 KiB
#        fuzz.sh --until EXECUTIONS [targets…]       until executions.txt has so many of each target; the fastest first, with inputs of the usual size
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n 's/^# usage: /usage: /p; s/^#        fuzz/       fuzz/p' "$0" >&2; exit 2; }
until=0
if [ "${1:-}" = --until ]; then
  [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || usage
  until=$2
  shift 2
else
  minutes=${1:-1}
  [[ $minutes =~ ^[0-9]+([.][0-9]+)?$ ]] || usage
  shift $(($# > 0 ? 1 : 0))
  seconds=$(awk "BEGIN { s = int(60 * $minutes); print (s < 1 ? 1 : s) }")
fi
command -v clang++ >/dev/null || { echo "fuzz.sh: clang++ is missing; install clang and lld (tools/packages.sh fuzz)" >&2; exit 2; }
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz

program=build-fuzz/plumb_fuzz
counts=build-fuzz/executions.txt
mkdir -p build-fuzz/harm build-fuzz/logs
touch $counts
# All checks are on where the time is given. What costs time and finds nothing is small: the stacks kept of allocations (the input that does harm
# can be run again with longer ones) and the space in which stack frames live on, all of which is looked through whenever something is thrown.
# At its default, 1 MiB for each size, that took half of the time; where executions are counted, frames do not live on, since even then it takes
# half of the time of readers that throw deep down.
export ASAN_OPTIONS=detect_stack_use_after_return=$((until == 0)):strict_string_checks=1:allocator_may_return_null=0:malloc_context_size=4:max_uar_stack_size_log=16
export UBSAN_OPTIONS=print_stacktrace=1
# Files that must lie in a directory, as a run's: in memory where there is such a file system. libFuzzer ends without removing them.
TMPDIR=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)" plumb-fuzz-XXXXXX)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
# Stopped from outside, by a signal to this script's process group, it adds up what was counted until then.
stopped=
trap 'stopped=1' INT TERM HUP
wanted="$* "

count_of() { awk -v t="$1" '$1 == t { n = $2 } END { print n + 0 }' $counts; }
add() {  # target executions findings processor-seconds
  awk -v t="$1" -v n="$2" -v f="$3" -v s="$4" '$1 != t { print } $1 == t { n += $2; f += $3; s += $4 }
    END { printf "%s %d %d %.1f\n", t, n, f, s }' $counts >$counts.new
  mv $counts.new $counts
}

# Runs libFuzzer on one target once. What it counted is added up; 0: no finding, 1: a finding, more: stopped from outside.
run() {  # target dictionary options…
  local target=$1 dictionary=$2 corpus=build-fuzz/corpora/$1 log=build-fuzz/logs/$1 code=0 executions spent options=("${@:3}")
  [ "$dictionary" = - ] || options+=("-dict=tests/fuzz/dictionaries/$dictionary.dict")
  mkdir -p "$corpus"
  # -timeout guards against hangs; slowness is measured in processor time by the program itself.
  TIMEFORMAT='%U %S'
  spent=$(trap : INT TERM HUP; { time "$program" "--target=$target" "--seeds=$corpus" "${options[@]}" -timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=512 -reload=0 \
    -print_final_stats=1 -print_funcs=0 "-artifact_prefix=build-fuzz/harm/$target-" "$corpus" >"$log" 2>&1; } 2>&1) || code=$?
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1 | grep . || echo 0)
  if [ $code = 126 ] || [ $code = 127 ]; then echo "fuzz.sh: $program cannot be run: $(tail -1 "$log")" >&2; exit 2; fi
  if [ $code -ge 128 ] || [ $code = 72 ] || [ -n "$stopped" ]; then  # 72: libFuzzer's answer to a signal
    add "$target" "$executions" 0 "$(awk '{ print $1 + $2 }' <<<"$spent")"
    exit 130
  fi
  add "$target" "$executions" $((code != 0)) "$(awk '{ print $1 + $2 }' <<<"$spent")"
  [ $code = 0 ] || cp "$log" "$log.$(date +%s)"
  return $((code != 0))
}

# One target for its time. After a finding the rest of the time is spent on going on.
for_a_time() {  # target dictionary
  local end=$((SECONDS + seconds)) found=0
  while [ $((end - SECONDS)) -gt 0 ] && [ $found -lt 10 ]; do
    run "$1" "$2" -max_len=65536 -max_total_time=$((end - SECONDS)) && break
    found=$((found + 1))
  done
  [ $found = 0 ]
}

# One target until it has had `goal` executions, in pieces: what stops this script costs no more than one of them.
up_to() {  # target size dictionary goal
  local found=0 left
  while left=$(($4 - $(count_of "$1"))); [ $left -gt 0 ] && [ $found -lt 3 ]; do
    run "$1" "$3" "-max_len=$2" -runs=$((left < 500000 ? left : 500000)) || found=$((found + 1))
  done
  [ $found = 0 ]
}

targets() {
  "$program" --list | while read -r target size dictionary; do
    if [[ $wanted = " " || " $wanted" = *" $target "* ]]; then echo "$target $size ${dictionary:--}"; fi
  done
}
by_rate() {  # targets, the fastest first
  targets | while read -r line; do
    echo "$(awk -v t="${line%% *}" '$1 == t && $4 > 0 { r = $2 / $4 } END { print r + 0 }' $counts) $line"
  done | sort -rn | cut -d' ' -f2-
}

result=0
if [ "$until" = 0 ]; then
  while read -r target size dictionary; do for_a_time "$target" "$dictionary" </dev/null || result=1; done < <(targets)
else
  sample=$((until < 20000 ? until : 20000))
  while read -r target size dictionary; do up_to "$target" "$size" "$dictionary" $sample </dev/null || result=1; done < <(targets)
  while read -r target size dictionary; do up_to "$target" "$size" "$dictionary" "$until" </dev/null || result=1; done < <(by_rate)
fi
while read -r target executions findings spent; do
  [[ $wanted != " " && " $wanted" != *" $target "* ]] || echo "$target: $executions executions, $findings findings, $spent s of processor time"
done <$counts
exit $result
