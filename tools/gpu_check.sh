#!/usr/bin/env bash
# On a machine with a GPU, CUDA, CMake and Ninja, no network needed: builds everything for that GPU, runs every test on it, NVIDIA's
# compute-sanitizer on a sample, and the benchmarks; writes what came out to one JSON file. Ends with 1 if anything failed.
# usage: gpu_check.sh [--prefix DIR] [--build DIR] [--built] [--out FILE] [--no-bench] [--no-racecheck]
#   --prefix DIR   the dependencies (tools/packages.sh names them) as an installed prefix, or as Debian packages unpacked into DIR
#                  (for p in *.deb; do dpkg -x $p DIR; done); without, those of the system
#   --built        everything lies in the build directory already, built for this GPU on another machine: nothing is compiled, and the tests
#                  of the CPU, which need no GPU, are left out
#   --no-racecheck the sample under racecheck, the longest of all steps, is left out
# PLUMB_COMMIT of the environment names the commit where there is no repository.
set -uo pipefail
prefix="" build=build-gpu out=gpu_check.json bench=yes built=no racecheck=yes
while [ $# -gt 0 ]; do
  case "$1" in
    --prefix | --build | --out)
      [ $# -ge 2 ] || { echo "gpu_check: $1 wants a value" >&2; exit 2; }
      declare "${1#--}=$2"
      shift 2 ;;
    --no-bench) bench=no; shift ;;
    --built) built=yes; shift ;;
    --no-racecheck) racecheck=no; shift ;;
    *) echo "usage: gpu_check.sh [--prefix DIR] [--build DIR] [--built] [--out FILE] [--no-bench] [--no-racecheck]" >&2; exit 2 ;;
  esac
done
[ -z "$prefix" ] || [ -d "$prefix" ] || { echo "gpu_check: $prefix: no such directory" >&2; exit 2; }
[ -z "$prefix" ] || prefix=$(realpath "$prefix")
out=$(realpath -m "$out")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH=$PATH:/usr/local/cuda/bin PLUMB_SKIP_PACKAGES=1
tools="nvidia-smi nvcc cmake ninja"
[ $built = no ] || tools="nvidia-smi ctest"
for tool in $tools; do
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

# tool, test files…: all at once, for most of the time is the tool's own work on the CPU.
sanitize() {
  local tool=$1 jobs=() job code=0
  shift
  for file in "$@"; do
    PLUMB_TEST_GPU=1 compute-sanitizer --tool "$tool" --error-exitcode 9 "$build/tests/cuda_tests" "--source-file=*tests/cuda/${file}_test.cpp" 2>&1 &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job" || code=1; done
  return $code
}

build_all() {
  step configure cmake -G Ninja -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DPLUMB_TESTS=ON -DPLUMB_BENCH=ON -DPLUMB_CUDA=ON \
    "-DCMAKE_CUDA_ARCHITECTURES=$architecture" "${options[@]}" &&
    step build cmake --build "$build"
}

# Whether the programs can use the GPU that nvidia-smi sees. With a driver older than the toolkit they cannot, and all tests would skip.
gpu_is_used() {
  local said code=0
  said=$(PLUMB_TEST_GPU=1 "$build/tests/cuda_tests" "--source-file=*tests/cuda/copy_test.cpp" 2>&1) || code=$?
  echo "$said"
  [ $code = 0 ] && [[ $said != skipped:* ]]
}

not_run() {  # step reason
  echo "== $1: not run: $2"
  steps+="${steps:+,
    }{\"step\": \"$1\", \"passed\": null, \"seconds\": 0, \"last_line\": \"not run: $2\"}"
}

check_all() {
  step gpu_is_used gpu_is_used || return
  step tests_on_gpu ctest --test-dir "$build" -R '^gpu/' -j 4 --output-on-failure --no-tests=error
  [ $built = yes ] || step tests ctest --test-dir "$build" -E '^gpu/' -j "$(nproc)" --output-on-failure
  if command -v compute-sanitizer >/dev/null; then
    step memcheck sanitize memcheck copy memory pointwise reduce scan sort index softmax norm embedding attention grouped_matmul grouped_rows channels_last windows optim
    [ $racecheck = no ] || step racecheck sanitize racecheck copy reduce scan sort softmax norm attention grouped_matmul grouped_rows channels_last
  else
    not_run memcheck "compute-sanitizer was not found"
  fi
  [ $racecheck = yes ] || not_run racecheck "left out by --no-racecheck"
  if [ $bench = yes ]; then
    step bench_kernels "$build/plumb" bench kernels --device cuda --against plain own cublaslt cudnn --json
    for work in gpt moe unet resnet; do
      step "bench_step_$work" "$build/plumb" bench steps --only $work --size gpt2 --device cuda --dtype bf16 --capture --json
    done
  fi
}

if [ $built = yes ]; then check_all; else build_all && check_all; fi

rows=$(cat "$logs"/bench_*.log 2>/dev/null | grep '^{' | sed '$!s/$/,/')
cat >"$out" <<END
{
  "gpu": "$(echo "$gpu" | quoted)",
  "compute_capability": "$architecture",
  "nvcc": "$([ $built = yes ] && echo "built on another machine" || nvcc --version | tail -n 2 | head -n 1 | quoted)",
  "commit": "${PLUMB_COMMIT:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}",
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
