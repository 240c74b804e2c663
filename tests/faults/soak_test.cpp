// A run that goes on and on: memory, descriptors and threads stay where they were after the start. A few thousand steps, or as long as
// PLUMB_SOAK_SECONDS says (tools/nightly.sh), and then at an even rate, too.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "models/train/metrics.h"
#include "tests/faults/process.h"
#include "tests/faults/small_run.h"

using namespace plumb;
using plumb_test::Process;
using plumb_test::SmallRuns;
namespace fs = std::filesystem;

namespace {

struct Held {
  long kibibytes = 0;  ///< of memory that is the process's own (not files that it maps)
  long descriptors = 0, threads = 0;
};

long field(const std::string& status, const std::string& name) {
  return std::atol(status.c_str() + status.find("\n" + name + ":") + name.size() + 2);
}

Held held_by(pid_t pid) {
  std::string directory = "/proc/" + std::to_string(pid);
  std::error_code gone;
  std::string status = read_file(directory + "/status");
  return {field(status, "RssAnon"), std::distance(fs::directory_iterator(directory + "/fd", gone), fs::directory_iterator()),
          field(status, "Threads")};
}

Held most(const std::vector<Held>& held, size_t begin, size_t end) {
  Held m;
  for (size_t i = begin; i < end; ++i) {
    m.kibibytes = std::max(m.kibibytes, held[i].kibibytes);
    m.descriptors = std::max(m.descriptors, held[i].descriptors);
    m.threads = std::max(m.threads, held[i].threads);
  }
  return m;
}

double median_rate(const std::vector<train::Metrics>& metrics, size_t begin, size_t end) {
  std::vector<double> rates;
  for (size_t i = begin; i < end; ++i) rates.push_back(metrics[i]["tokens_per_s"]);
  std::ranges::nth_element(rates, rates.begin() + static_cast<long>(rates.size() / 2));
  return rates[rates.size() / 2];
}

}  // namespace

TEST_CASE("soak: memory, descriptors and threads of a long run stay flat") {
  using Clock = std::chrono::steady_clock;
  const char* hours = std::getenv("PLUMB_SOAK_SECONDS");
  SmallRuns r;
  Process process(r.train("a", 2'000'000'000));
  std::string lines = r.run("a") + "/metrics.jsonl";
  REQUIRE(plumb_test::wait_for_lines(process, lines, 300));  // warm: evaluated and saved many times
  auto end = Clock::now() + std::chrono::seconds(hours ? std::atol(hours) : 0);
  auto lasts = [&] { return hours ? Clock::now() < end : fs::file_size(lines) < 400'000; };
  std::vector<Held> held;
  while (process.runs() && lasts()) {
    held.push_back(held_by(process.pid()));
    usleep(hours ? 100'000 : 2000);
  }
  process.kill(SIGTERM);
  CHECK_MESSAGE(process.wait() == 143, process.errors());
  REQUIRE(held.size() > 30);
  Held early = most(held, 0, held.size() / 3), late = most(held, 2 * held.size() / 3, held.size());
  auto metrics = train::read_metrics(lines);
  double first = median_rate(metrics, 300, metrics.size() / 3), last = median_rate(metrics, 2 * metrics.size() / 3, metrics.size());
  MESSAGE(metrics.size() << " steps; at most, in the first and the last third: memory " << early.kibibytes << " and " << late.kibibytes
                         << " KiB, descriptors " << early.descriptors << " and " << late.descriptors << ", threads " << early.threads
                         << " and " << late.threads << "; " << first << " and " << last << " tokens/s");
  CHECK(late.kibibytes <= early.kibibytes + 1024);  // what a heap breathes; 400 bytes a step would be more
  CHECK(late.descriptors <= early.descriptors + 2);  // a file that is being written and its directory may be seen or not
  CHECK(late.threads == early.threads);
  if (hours) CHECK(last > 0.8 * first);
}
