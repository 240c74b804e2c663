// `plumb bench kernels`: what is made of the times that plumb_bench prints, and what is said where it cannot run. The program here makes
// its times up; the real one is looked at where it was built.
#include "tools/bench/kernels.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "tests/tools/json_rows.h"
#include "tests/tools/run_command.h"

using namespace plumb::tools;
using plumb_test::rows_of;
using plumb_test::Scratch;
using Json = nlohmann::json;

namespace {

std::string executable(const Scratch& scratch, const char* name, const std::string& text) {
  scratch.put(name, text);
  std::filesystem::permissions(scratch.path(name), std::filesystem::perms::owner_all);
  return scratch.path(name);
}

/// A program that copies at 100 GB/s and multiplies at 1000 GFLOP/s; its softmax takes 40 µs, a plain one 200.
const char* const kProgram = R"(#!/bin/sh
case "$*" in
  *benchmark_list_tests*) for n in ceiling_copy/1x/f32/plumb ceiling_product/2x/f32/plumb softmax/8x8/f32/plumb softmax/8x8/f32/plain; do echo $n/real_time; done ;;
  *) cat <<END
{"benchmarks": [
 {"name": "ceiling_copy/1x/f32/plumb/real_time", "real_time": 10, "time_unit": "us", "bytes": 1e6, "flops": 0},
 {"name": "ceiling_product/2x/f32/plumb/real_time", "real_time": 1e6, "time_unit": "ns", "bytes": 0, "flops": 1e9},
 {"name": "softmax/8x8/f32/plumb/real_time", "real_time": 40, "time_unit": "us", "bytes": 2e6, "flops": 5e6},
 {"name": "softmax/8x8/f32/plain/real_time", "real_time": 0.2, "time_unit": "ms", "bytes": 2e6, "flops": 5e6}]}
END
esac
)";

}  // namespace

TEST_CASE("bench kernels: rates, the share of the ceiling that binds, and how other sides compare") {
  Scratch scratch;
  std::vector<Json> rows =
      rows_of(run_plumb("bench kernels --against plain --rounds 2 --json --binary " + executable(scratch, "bench.sh", kProgram)));
  REQUIRE(rows.size() == 5);
  CHECK(rows[0]["bench"] == "environment");
  CHECK(rows[1]["gb_per_s"] == doctest::Approx(100));
  CHECK(rows[2]["gflop_per_s"] == doctest::Approx(1000));
  const Json &own = rows[3], &plain = rows[4];
  CHECK(own["kernel"] == "softmax");
  CHECK(own["shape"] == "8x8");
  CHECK(own["side"] == "plumb");
  CHECK(own["us"] == doctest::Approx(40));
  CHECK(own["gb_per_s"] == doctest::Approx(50));
  CHECK(own["gflop_per_s"] == doctest::Approx(125));
  CHECK(own["bound"] == "memory");  // 20 µs to move 2 MB, 5 µs to compute
  CHECK(own["share_of_ceiling"] == doctest::Approx(0.5));
  CHECK(own["rounds"] == 2);
  CHECK_FALSE(own.contains("ratio"));
  CHECK(plain["side"] == "plain");
  CHECK(plain["ratio"] == doctest::Approx(5));
  CHECK(plain["share_of_ceiling"] == doctest::Approx(0.1));
}

TEST_CASE("bench kernels: a copy's ceiling is that of about as many bytes, a product's is the fastest of its type") {
  Ceilings c;
  c.see({"ceiling_copy/a/f32/plumb", 1e-3, 1e6, 0});
  c.see({"ceiling_copy/b/f32/plumb", 1, 1e8, 0});
  c.see({"ceiling_product/a/f32/plumb", 1, 0, 5});
  c.see({"ceiling_product/a/f32/openblas", 1, 0, 7});
  c.see({"ceiling_product/a/bf16/plumb", 1, 0, 9});
  CHECK(c.bandwidth(1e3) == 1e9);
  CHECK(c.bandwidth(9e6) == 1e9);   // nearer by their ratio
  CHECK(c.bandwidth(2e7) == 1e8);
  CHECK(c.product_rate("f32") == 7);
  CHECK(c.product_rate("bf16") == 9);
  CHECK(c.product_rate("f64") == 0);
}

TEST_CASE("bench kernels: what cannot be done is one line with the way out") {
  Scratch scratch;
  auto message = [](const std::string& arguments) {
    Outcome o = run_plumb("bench kernels " + arguments);
    CHECK(o.code == 2);
    return o.err;
  };
  CHECK(message("--binary /nowhere") ==
        "plumb: bench kernels: /nowhere is not there: configure with -DPLUMB_BENCH=ON (bash tools/packages.sh bench) and build "
        "plumb_bench, or give --binary PATH\n");
  std::string program = " --binary " + executable(scratch, "bench.sh", kProgram);
  CHECK(message("--only sofmtax" + program) == "plumb: bench kernels: --only sofmtax is unknown; choose from softmax\n");
  CHECK(message("--against mkl" + program) ==
        "plumb: bench kernels: --against mkl is unknown on cpu; choose plain, openblas, onednn, torch\n");
  CHECK(message("--against onednn" + program) ==
        "plumb: bench kernels: --against onednn: plumb_bench was built without oneDNN; install libdnnl-dev (bash tools/packages.sh peers), "
        "configure and build again\n");
  CHECK(message("--seconds 0") == "plumb: bench kernels: --seconds must be positive, it is 0\n");
  CHECK(message("--binary " + executable(scratch, "broken.sh", "#!/bin/sh\necho no >&2\nexit 4\n")) ==
        "plumb: bench kernels: " + scratch.path("broken.sh") + " ended with exit code 4: no\n");
  CHECK_THROWS_AS(parse_kernel_times("no JSON"), plumb::ConfigError);
}

TEST_CASE("plumb_bench: the row of where moves a byte and three numbers an element, its derivative a byte and two numbers a gradient") {
  std::string program = std::filesystem::path(std::getenv("PLUMB_BINARY")).parent_path() / "plumb_bench";
  if (!std::filesystem::exists(program)) {
    MESSAGE("skipped: plumb_bench is not built (-DPLUMB_BENCH=ON)");
    return;
  }
  std::vector<Json> rows = rows_of(run_plumb("bench kernels --only where* --rounds 1 --seconds 0.001 --json"));
  std::erase_if(rows, [](const Json& row) { return row["bench"] != "kernels"; });
  REQUIRE(rows.size() == 2);
  double elements = 3 << 20;
  CHECK(rows[0]["kernel"] == "where");
  CHECK(rows[0]["bytes"] == elements * (1 + 3 * 4));
  CHECK(rows[1]["kernel"] == "where_backward");
  CHECK(rows[1]["bytes"] == elements * 2 * (1 + 2 * 4));
}
