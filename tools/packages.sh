#!/usr/bin/env bash
# The one list of Debian packages, by what needs them; installs those that are missing.
# usage: packages.sh build|test|bench|peers|mpi|docs|fuzz|analysis|nightly…      PLUMB_SKIP_PACKAGES=1 skips it (another system, or everything built from source)
set -euo pipefail

build=(g++ cmake ninja-build libopenblas-dev libfmt-dev zlib1g-dev libpng-dev libjpeg-dev nlohmann-json3-dev libcli11-dev libcurl4-openssl-dev libcpp-httplib-dev pkg-config)
docs=(python3 cmark-gfm)
test=(doctest-dev "${docs[@]}")
bench=(libbenchmark-dev)
peers=(libdnnl-dev)  # optional: `plumb bench kernels --against onednn`
mpi=(libopenmpi-dev openmpi-bin)  # optional: without them plumb_mpi and its tests are left out
fuzz=(clang lld)  # libFuzzer, tools/fuzz.sh
analysis=(clang-16 clang-tidy-16 lld valgrind)  # tools/tidy.sh, the preset clang (16 is the first that captures structured bindings), valgrind in tools/nightly.sh
nightly=("${test[@]}")

[ -z "${PLUMB_SKIP_PACKAGES:-}" ] || exit 0
wanted=()
for group in "$@"; do
  case "$group" in
    build | test | bench | peers | mpi | docs | fuzz | analysis | nightly) declare -n list=$group; wanted+=("${list[@]}") ;;
    *) echo "packages.sh: unknown group $group (build, test, bench, peers, mpi, docs, fuzz, analysis, nightly)" >&2; exit 2 ;;
  esac
done

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  echo "Plumb installs its dependencies on Debian and its relatives only. Here, install what these packages hold:" >&2
  echo "  ${wanted[*]}" >&2
  echo "and run this again with PLUMB_SKIP_PACKAGES=1." >&2
  exit 2
fi

missing=()
for package in "${wanted[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)
  [[ $status == ii* ]] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ]; then
  as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  as_root=(sudo -n)
else
  echo "Some packages are missing; install them with:" >&2
  echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
  exit 2
fi
echo "Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq || echo "packages.sh: apt-get update failed; trying with the lists that are there" >&2
if ! "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/tmp/plumb-packages.$$ 2>&1; then
  tail -n 5 /tmp/plumb-packages.$$ >&2
  rm -f /tmp/plumb-packages.$$
  echo "packages.sh: apt-get could not install ${missing[*]}" >&2
  exit 2
fi
rm -f /tmp/plumb-packages.$$
