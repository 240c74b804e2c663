// plumb_bench: kernels on Google Benchmark. `plumb bench kernels` runs it and reads its JSON; by hand it takes Google Benchmark's options.
// usage: plumb_bench [--device=cpu|cuda|cuda:N] [--benchmark_filter=REGEX] …; leave OPENBLAS_CORETYPE unset.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "bench/suite.h"
#include "engine/core/error.h"

int main(int argc, char** argv) {
  using namespace plumb;
  try {
    int left = 1;
    for (int i = 1; i < argc; ++i) {
      constexpr std::string_view option = "--device=";
      if (std::string_view(argv[i]).starts_with(option)) bench::set_device(device_from_name(argv[i] + option.size()));
      else argv[left++] = argv[i];
    }
    argc = left;
    bench::register_rows();
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::RunSpecifiedBenchmarks();
    // Without destructors of globals: after matrix products oneDNN's own end with a fault (Debian's 2.6.3).
    std::cout.flush();
    std::fflush(nullptr);
    std::_Exit(0);
  } catch (const Error& error) {
    std::fprintf(stderr, "plumb_bench: %s\n", error.what());
    return 2;
  }
}
