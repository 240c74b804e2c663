// Families of models of which one number grows.
#include "tools/bench/scaling.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <functional>
#include <memory>

#include "engine/core/error.h"
#include "engine/core/generator.h"
#include "engine/core/parallel.h"
#include "models/metrics/intervals.h"
#include "models/moe/gpt.h"
#include "models/transformer/gpt.h"
#include "ops/loss.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tools/bench/compare.h"
#include "tools/bench/row.h"
#include "tools/bench/scale.h"
#include "tools/bench/statistics.h"

namespace plumb::tools {
namespace {

struct Member {
  double size = 0, flops = 0;
  std::function<void()> passes;
};

Tensor tokens_of(const transformer::GptConfig& c, int64_t batch) {
  Generator generator(0);
  return randint(0, c.vocab, {batch, c.context}, {.dtype = i64, .generator = &generator});
}

transformer::GptConfig base() { return {.vocab = 65, .layers = 2, .heads = 4, .width = 256, .context = 128, .bias = true, .tied = false}; }

Member dense(double size, const transformer::GptConfig& c, int64_t batch) {
  auto model = std::make_shared<transformer::Gpt>(c);
  Tensor tokens = tokens_of(c, batch);
  return {size, step_flops(c, static_cast<double>(tokens.numel())), [=] {
            for (const Tensor& p : model->parameters()) p.zero_grad();
            cross_entropy(flatten((*model)(tokens), 0, 1), flatten(tokens, 0, 1)).backward();
          }};
}

// A token meets two experts of the dense width; its router has a product with one column an expert.
Member mixture(int64_t experts) {
  moe::MoeGptConfig c{.gpt = base()};
  c.moe.experts = experts;
  c.moe.inner = 4 * c.gpt.width;
  auto model = std::make_shared<moe::MoeGpt>(c);
  Tensor tokens = tokens_of(c.gpt, 8);
  transformer::GptConfig met = c.gpt;
  met.inner = 2 * c.moe.inner;
  auto count = static_cast<double>(tokens.numel());
  double flops = step_flops(met, count) + 6 * count * static_cast<double>(c.gpt.layers * c.gpt.width * experts);
  return {static_cast<double>(experts), flops, [=] {
            for (const Tensor& p : model->parameters()) p.zero_grad();
            cross_entropy(flatten((*model).forward(tokens).logits, 0, 1), flatten(tokens, 0, 1)).backward();
          }};
}

std::vector<Member> family(const std::string& axis) {
  manual_seed(0);
  std::vector<Member> members;
  transformer::GptConfig c = base();
  if (axis == "length")
    for (int64_t n : {128, 256, 512, 1024, 2048}) c.context = n, members.push_back(dense(static_cast<double>(n), c, 1));
  else if (axis == "width")
    for (int64_t n : {128, 256, 512, 1024}) c.width = n, members.push_back(dense(static_cast<double>(n), c, 4));
  else if (axis == "batch")
    for (int64_t n : {2, 4, 8, 16}) members.push_back(dense(static_cast<double>(n), c, n));
  else if (axis == "experts")
    for (int64_t n : {2, 4, 8, 16}) members.push_back(mixture(n));
  else throw ConfigError(fmt::format("--only {} is unknown; choose from {}, threads", axis, fmt::join(scaling_axes(), ", ")));
  return members;
}

double seconds_of(const std::function<void()>& run) {
  auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

std::vector<std::string> scaling_axes() { return {"length", "width", "batch", "experts"}; }

JsonObject scaling_row(const std::string& axis, int64_t rounds) {
  std::vector<Member> members = family(axis);
  std::vector<double> sizes, flops, exponents;
  std::vector<std::vector<double>> times(members.size());
  for (Member& m : members) {
    sizes.push_back(m.size);
    flops.push_back(m.flops);
    m.passes();
  }
  for (int64_t round = 0; round < rounds; ++round) {
    std::vector<double> now;
    for (size_t i = 0; i < members.size(); ++i) {
      now.push_back(median({seconds_of(members[i].passes), seconds_of(members[i].passes), seconds_of(members[i].passes)}));
      times[i].push_back(now.back());
    }
    exponents.push_back(exponent(sizes, now));
  }
  std::vector<double> seconds;
  for (const std::vector<double>& t : times) seconds.push_back(estimate(t).value);
  Interval measured = t_interval(exponents);
  JsonObject row;
  row.set("bench", "scaling");
  row.set("axis", axis);
  row.set("sizes", sizes);
  row.set("seconds", seconds);
  row.set("exponent", measured.mean);
  if (rounds > 1) row.set("exponent_95", std::vector<double>{measured.low(), measured.high()});
  row.set("theory", exponent(sizes, flops));
  row.set("rounds", rounds);
  return row;
}

std::vector<JsonObject> thread_rows(const std::string& work, int64_t rounds, int64_t steps, const std::string& size) {
  Side one = own_side(), all = own_side();
  one.threads = 1;
  all.threads = num_threads();
  std::vector<SideResult> results = compare(work, {one, all}, {.rounds = rounds, .steps = steps, .size = size});
  std::vector<JsonObject> rows;
  for (const SideResult& r : results) {
    if (!r.problem.empty()) throw ConfigError(r.problem);
    Estimate step = estimate(r.medians), speedup = ratio(results[0].medians, r.medians);
    JsonObject row;
    std::string name;
    int64_t threads = 0;
    r.about.read("work", name);
    r.about.read("threads", threads);
    row.set("bench", "threads");
    row.set("work", name);
    row.set("threads", threads);
    set_interval(row, "step_s", step);
    set_interval(row, "speedup", speedup);
    row.set("rounds", rounds);
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace plumb::tools
