// Turns, and what comes of them.
#include "tools/bench/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "engine/core/error.h"
#include "engine/core/parallel.h"
#include "tools/bench/row.h"
#include "tools/bench/speaker.h"
#include "tools/bench/statistics.h"

namespace plumb::tools {
namespace {

std::vector<std::string> command_of(const Side& side, const std::string& work, const CompareSettings& s) {
  std::vector<std::string> words = side.command;
  for (const std::string& word : {work, std::string("--threads"),
                                  std::to_string(side.threads > 0 ? side.threads
                                                 : s.threads > 0  ? s.threads
                                                                  : num_threads()),
                                  std::string("--dtype"), s.dtype, std::string("--device"), s.device, std::string("--size"), s.size,
                                  std::string("--warmup"), std::to_string(s.warmup), std::string("--turns")})
    words.push_back(word);
  if (side.name != own_side().name) return words;
  if (s.capture) words.push_back("--capture");
  words.insert(words.end(), {"--winograd", s.winograd});
  return words;
}

std::vector<double> numbers(const JsonObject& line, const char* name) {
  std::vector<double> values;
  line.read(name, values);
  if (values.empty()) throw ConfigError(fmt::format("{}: an answer without \"{}\"", line.what(), name));
  return values;
}

template <typename F>
void guarded(SideResult& result, F&& work) {
  if (!result.problem.empty()) return;
  try {
    work();
  } catch (const Error& error) {
    result.problem = error.what();
  }
}

// The fields of one side's line, in the order in which peers have always printed them.
JsonObject side_row(const std::string& bench, const SideResult& r) {
  JsonObject row;
  Estimate step = estimate(r.medians);
  double items = number(r.about, "items");
  std::string unit = text(r.about, "unit");
  row.set("bench", bench);
  row.set("work", text(r.about, "work"));
  row.set("peer", text(r.about, "peer"));
  row.set("side", r.name);
  row.set("device", text(r.about, "device"));
  if (unit == "operations") {
    set_interval(row, text(r.about, "work") == "tiny" ? "ns_per_op_fwd_bwd" : "ns_per_op", step, 1e9 / items);
  } else {
    row.set("dtype", text(r.about, "dtype"));
    bool compiled = false;
    r.about.read("compile", compiled);
    row.set("compile", compiled);
    if (r.about.contains("winograd")) row.set("winograd", text(r.about, "winograd"));
    row.set("threads", static_cast<int64_t>(number(r.about, "threads")));
    row.set("optimiser", text(r.about, "optimiser"));
    row.set("params", static_cast<int64_t>(number(r.about, "params")));
    set_interval(row, "step_s", step);
    row.set(unit + "_per_s", items / step.value);
    if (!r.calls.empty()) set_interval(row, "call_us", estimate(r.calls), 1e6);
    if (!r.queued.empty()) set_interval(row, "queued_step_s", estimate(r.queued));
    for (const char* loss : {"first_loss", "last_loss"})
      if (r.ending.contains(loss)) row.set(loss, number(r.ending, loss));
    row.set("peak_mib", static_cast<int64_t>(number(r.ending, "peak_mib")));
    row.set("over_import_mib", static_cast<int64_t>(number(r.ending, "over_import_mib")));
  }
  row.set("rounds", static_cast<int64_t>(r.medians.size()));
  return row;
}

}  // namespace

std::vector<SideResult> compare(const std::string& work, const std::vector<Side>& sides, const CompareSettings& settings) {
  std::vector<SideResult> results;
  std::vector<std::unique_ptr<Speaker>> speakers(sides.size());
  for (size_t i = 0; i < sides.size(); ++i) {
    SideResult& r = results.emplace_back(SideResult{.name = sides[i].name});
    guarded(r, [&] {
      speakers[i] = std::make_unique<Speaker>(sides[i].name, command_of(sides[i], work, settings));
      r.about = speakers[i]->listen();
    });
  }
  for (int64_t round = 0; round < settings.rounds; ++round)
    for (size_t k = 0; k < sides.size(); ++k) {
      size_t i = (k + static_cast<size_t>(round)) % sides.size();
      guarded(results[i], [&] {
        JsonObject answer = speakers[i]->turn(std::to_string(settings.steps));
        results[i].medians.push_back(median(numbers(answer, "step_s")));
        if (answer.contains("call_s")) results[i].calls.push_back(median(numbers(answer, "call_s")));
        if (answer.contains("queued_s")) results[i].queued.push_back(number(answer, "queued_s"));
      });
    }
  for (size_t i = 0; i < sides.size(); ++i) guarded(results[i], [&] { results[i].ending = speakers[i]->finish(); });
  return results;
}

double fastest_product(int64_t rounds, const CompareSettings& compared) {
  try {
    bool gpu = compared.device != "cpu";
    CompareSettings settings{.threads = compared.threads, .device = compared.device, .dtype = gpu ? compared.dtype : "f32"};
    const char* work = gpu ? "product" : "sgemm";
    Speaker speaker(work, command_of(own_side(), work, settings));
    speaker.listen();
    return std::ranges::max(numbers(speaker.turn(std::to_string(6 * rounds)), "flop_per_s"));
  } catch (const Error&) {
    return 0;  // a BLAS that does not run here without the choice of its kernels that the user made
  }
}

std::vector<double> start_times(const std::string& work, const Side& side, const CompareSettings& settings) {
  CompareSettings first = settings;
  first.warmup = 1;
  std::vector<double> seconds;
  for (int64_t i = 0; i < settings.rounds; ++i) {
    auto start = std::chrono::steady_clock::now();
    Speaker speaker(side.name, command_of(side, work, first));
    speaker.listen();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    speaker.finish();
  }
  return seconds;
}

std::vector<JsonObject> comparison_rows(const std::string& bench, const std::vector<SideResult>& results, double ceiling) {
  std::vector<JsonObject> rows;
  const SideResult& own = results.at(0);
  auto fastest = std::ranges::min_element(results.begin() + 1, results.end(), {},
                                          [](const SideResult& r) { return r.problem.empty() ? estimate(r.medians).value : 1e300; });
  for (auto r = results.begin(); r != results.end(); ++r) {
    if (!r->problem.empty()) continue;
    JsonObject row = side_row(bench, *r);
    double flops = number(own.about, "flops");
    if (flops > 0) {
      const std::string product = text(r->about, "device") == "cpu" ? "sgemm" : "product";
      row.set("gflop_per_s", flops / estimate(r->medians).value * 1e-9);
      if (ceiling > 0) row.set(product + "_gflop_per_s", ceiling * 1e-9);
      if (ceiling > 0) row.set("share_of_" + product, flops / estimate(r->medians).value / ceiling);
    }
    if (r != results.begin()) {
      set_interval(row, "ratio", ratio(r->medians, own.medians));
      if (double theirs = number(r->ending, "over_import_mib"); theirs > 0)
        row.set("memory_ratio", number(own.ending, "over_import_mib") / theirs);
      row.set("fastest", r == fastest);
      row.set("same_params", number(r->about, "params") == number(own.about, "params"));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace plumb::tools
