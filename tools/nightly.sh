#!/usr/bin/env bash
# What is too slow for every change: a debug build compared with a release build, bit by bit; all tests under the address and undefined-behaviour
# sanitizers; damaged files for two minutes a reader where Clang is; the whole tree through Clang without a warning, and the library through clang-tidy
# without a finding; the engine's core under valgrind; the engine, the operations, the models and the threaded tests under the thread sanitizer; 200 kills of a run; and a run of two
# hours (PLUMB_SOAK_SECONDS) whose memory must stay flat.
# usage: nightly.sh [--sample]      --sample: the engine and the readers of files alone, about two minutes
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Tests in which several threads meet: the engine's, the operations', the models', and what has them in its name elsewhere.
threaded='^(engine|ops|models)/|thread|loader'
export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1

directory() { [ "$1" = release ] && echo build || echo "build-$1"; }
build() {  # preset targets…
  cmake --preset "$1" -DPLUMB_TESTS=ON -DPLUMB_PRECOMPILE=OFF -DPLUMB_CUDA=OFF >/dev/null
  cmake --build "$(directory "$1")" --target "${@:2}"
}
run() {  # preset ctest arguments…
  ctest --test-dir "build-$1" -j "$(nproc)" --output-on-failure "${@:2}"
}

bash tools/packages.sh build nightly bench
bash tools/packages.sh mpi || echo "Going on without MPI: the tests that need it are left out" >&2
if [ "${1:-}" = --sample ]; then
  # The options of tools/test.sh, so that neither builds the library twice.
  cmake --preset release -DPLUMB_TESTS=ON -DPLUMB_BENCH=ON -DPLUMB_WERROR="${PLUMB_WERROR:-ON}" -DCMAKE_CUDA_ARCHITECTURES=90 >/dev/null
  cmake --build build --target engine_sanitized
  # Instrumented and plain code share containers here, which the container check cannot know.
  ASAN_OPTIONS=$ASAN_OPTIONS:detect_container_overflow=0 PLUMB_FUZZ_SECONDS=15 build/tests/engine_sanitized
  exit
fi
[ $# = 0 ] || { echo "usage: nightly.sh [--sample]" >&2; exit 2; }

result=0
build asan all
run asan || result=1
# The same bits from a debug build and a release build.
build debug models_tests
build release models_tests
for preset in debug release; do
  PLUMB_DETERMINISM_HASHES=$PWD/build/hashes-$preset "$(directory $preset)/tests/models_tests" --test-case='determinism: the hashes*' || result=1
done
cmp build/hashes-debug build/hashes-release || { echo "A debug build and a release build give different bits" >&2; result=1; }
# Different damage every night; an input that does harm is kept in build-fuzz/harm.
if bash tools/packages.sh fuzz; then bash tools/fuzz.sh 2 || result=1; else echo "Going on without Clang: readers are not fuzzed" >&2; fi
# A second compiler's warnings, and what it finds without running anything.
if bash tools/packages.sh analysis; then
  build clang all || result=1
  bash tools/tidy.sh || result=1
  # What no sanitizer sees: memory that was never written. Valgrind is slow and knows no AVX-512, so it gets the core alone, on one thread.
  build release engine_tests
  PLUMB_NUM_THREADS=1 PLUMB_SOURCE=$PWD valgrind --quiet --error-exitcode=1 --leak-check=full --errors-for-leak-kinds=definite \
    build/tests/engine_tests --source-file='*tests/engine/core/*' || result=1
else
  echo "Going on without Clang and valgrind: nothing is analysed" >&2
fi
# A release build, whose memory and speed are those of users, killed at other moments every night.
build release faults_tests ops_tests
export PLUMB_BINARY=$PWD/build/plumb PLUMB_SOURCE=$PWD
PLUMB_KILLS=200 PLUMB_KILL_SEED=${PLUMB_KILL_SEED:-$(date +%s)} build/tests/faults_tests --test-case='kill:*' || result=1
PLUMB_SOAK_SECONDS=${PLUMB_SOAK_SECONDS:-7200} build/tests/faults_tests --test-case='soak:*' || result=1
# Other random programs every night.
export PLUMB_PROGRAMS=20000 PLUMB_PROGRAM_SEED=${PLUMB_PROGRAM_SEED:-$(date +%s)}
build/tests/ops_tests --test-case='random programs: the engine agrees*' || result=1
unset PLUMB_BINARY PLUMB_SOURCE PLUMB_PROGRAMS PLUMB_PROGRAM_SEED
build tsan all
run tsan -R "$threaded" || result=1
exit $result
