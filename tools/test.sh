#!/usr/bin/env bash
# Installs what is missing, builds everything, runs every test. Ends with ctest's summary and one line about CUDA.
# usage: test.sh [arguments for ctest]      PLUMB_WERROR=OFF lets warnings pass
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash tools/packages.sh build test bench
bash tools/packages.sh mpi || echo "Going on without MPI: the tests that need it are left out" >&2
# A build directory that tools/quickstart.sh made has a part of the library only: PLUMB_QUICK is taken back.
# Where nvcc is, the GPU's kernels are built too, for one kind of GPU; those tests run on a simulated one, and on a real one if it is there.
cmake --preset release -DPLUMB_QUICK=OFF -DPLUMB_TESTS=ON -DPLUMB_BENCH=ON -DPLUMB_WERROR="${PLUMB_WERROR:-ON}" -DCMAKE_CUDA_ARCHITECTURES=90
cmake --build build
result=0
ctest --test-dir build -j "$(nproc)" --output-on-failure "$@" || result=$?
cat build/cuda.txt
exit $result
