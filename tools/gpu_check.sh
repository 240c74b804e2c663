#!/usr/bin/env bash
# On a machine with a GPU, CUDA, CMake and Ninja, no network needed: builds everything for that GPU, runs every test on it, NVIDIA's
# compute-sanitizer on a sample, and the benchmarks; writes what came out to one JSON file. Ends with 1 if anything failed.
# usage: gpu_check.sh [--prefix DIR] [--build DIR] [--out FILE] [--no-bench]
#   --prefix DIR   the dependencies (tools/packages.sh names them) as an installed prefix, or as Debian packages unpacked into DIR
#                  (for p in *.deb; do dpkg -x $p DIR; done); without, those of the system
set -uo pipefail
prefix="" build=build-gpu out=gpu_check.json bench=yes
while [ $# -gt 0 ]; do
  case "$1" in
    --prefix | --build | --out)
      [ $# -ge 2 ] || { echo "gpu_check: $1 wants a value" >&2; exit 2; }
      declare "${1#--}=$2"
      shift 2 ;;
    --no-bench) bench=no; shift ;;
    *) echo "usage: gpu_check.sh [--prefix DIR] [--build DIR] [--out FILE] [--no-bench]" >&2; exit 2 ;;
  esac
done
[ -z "$prefix" ] || [ -d "$prefix" ] || { echo "gpu_check: $prefix: no such directory" >&2; exit 2; }
[ -z "$prefix" ] || prefix=$(realpath "$prefix")
out=$(realpath -m "$out")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH=$PATH:/usr/local/cuda/bin PLUMB_SKIP_PACKAGES=1
for tool in nvidia-smi nvcc cmake ninja; do
  command -v "$tool" >/dev/null || { echo "gpu_check: $tool was not found: this runs on a machine with a GPU, CUDA, CMake and Ninja" >&2; exit 2; }
done
gpu=$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null | head -n 1)
[ -n "$gpu" ] || { echo "gpu_check: nvidia-smi sees no GPU" >&2; exit 2; }
architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)

options=()
if [ -n "$prefix" ]; then
  triplet=$(gcc -dumpmachine)
  places=("$prefix" "$prefix/usr")
  libraries=("$prefix/lib" "$prefix/usr/lib" "$prefix/usr/lib/$triplet" "$prefix/usr/lib/$triplet"/openblas-pthread)
  headers=("$prefix/include" "$prefix/usr/include" "$prefix/usr/include/$triplet" "$prefix/usr/include/$triplet"/openblas-pthread)
  join() { local IFS="$1"; shift; echo "$*"; }
  options=("-DCMAKE_PREFIX_PATH=$(join ';' "${places[@]}")" "-DCMAKE_LIBRARY_PATH=$(join ';' "${libraries[@]}")"
    "-DCMAKE_INCLUDE_PATH=$(join ';' "${headers[@]}")")
  # Found before the system's by the linker and when programs start. Unpacked packages lack what their installation would link together.
  export LIBRARY_PATH=$(join : "${libraries[@]}")${LIBRARY_PATH:+:$LIBRARY_PATH}
  export LD_LIBRARY_PATH=$(join : "${libraries[@]}")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export CPLUS_INCLUDE_PATH=$(join : "${headers[@]}")${CPLUS_INCLUDE_PATH:+:$CPLUS_INCLUDE_PATH}
fi

logs=$build/gpu_check
mkdir -p "$logs"
steps="" failed=0
quoted() { sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/[[:cntrl:]]/ /g' | tr -d '\n'; }

# step NAME COMMAND…: runs it, keeps its output in a log, and remembers how it ended, how long it took and its last line.
step() {
  local name=$1 begin=$SECONDS code=0
  shift
  echo "== $name"
  "$@" >"$logs/$name.log" 2>&1 || code=$?
  local last=$(grep -v '^[[:space:]]*$' "$logs/$name.log" | tail -n 1 | quoted)
  [ $code = 0 ] || { failed=1; tail -n 30 "$logs/$name.log"; }
  steps+="${steps:+,
    }{\"step\": \"$name\", \"passed\": $([ $code = 0 ] && echo true || echo false), \"seconds\": $((SECONDS - begin)), \"last_line\": \"$last\"}"
  return $code
}

sanitize() {  # tool, test files…
  local tool=$1
  shift
  for file in "$@"; do
    PLUMB_TEST_GPU=1 compute-sanitizer --tool "$tool" --error-exitcode 9 "$build/tests/cuda_tests" "--source-file=*tests/cuda/${file}_test.cpp" || return 1
  done
}

step configure cmake -G Ninja -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DPLUMB_TESTS=ON -DPLUMB_BENCH=ON -DPLUMB_CUDA=ON \
  "-DCMAKE_CUDA_ARCHITECTURES=$architecture" "${options[@]}" &&
  step build cmake --build "$build" &&
  {
    step tests_on_gpu ctest --test-dir "$build" -R '^gpu/' --output-on-failure --no-tests=error
    step tests ctest --test-dir "$build" -E '^gpu/' -j "$(nproc)" --output-on-failure
    if command -v compute-sanitizer >/dev/null; then
      step memcheck sanitize memcheck copy memory pointwise reduce scan sort index softmax norm embedding attention grouped_matmul optim
      step racecheck sanitize racecheck copy reduce scan sort softmax norm attention grouped_matmul
    fi
    if [ $bench = yes ]; then
      step bench_kernels "$build/plumb" bench kernels --device cuda --json
      step bench_steps "$build/plumb" bench steps --device cuda --json
    fi
  }

rows=$(cat "$logs"/bench_*.log 2>/dev/null | grep '^{' | sed '$!s/$/,/')
cat >"$out" <<END
{
  "gpu": "$(echo "$gpu" | quoted)",
  "compute_capability": "$architecture",
  "nvcc": "$(nvcc --version | tail -n 2 | head -n 1 | quoted)",
  "commit": "$(git rev-parse HEAD 2>/dev/null || echo unknown)",
  "date": "$(date -u +%F)",
  "passed": $([ $failed = 0 ] && echo true || echo false),
  "steps": [
    $steps
  ],
  "bench": [
$rows
  ]
}
END
echo "Results: $out"
exit $failed
