// `plumb bench scale`: measures small cases, checks the formulas with them, and works a large case out.
#include "tools/bench/scale.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <thread>

#include "engine/core/allocator.h"
#include "engine/core/generator.h"
#include "engine/core/parallel.h"
#include "engine/dist/world.h"
#include "models/optim/adam.h"
#include "models/parallel/gradient_buckets.h"
#include "models/parallel/sharded_optimizer.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::tools {
namespace {

using Clock = std::chrono::steady_clock;
using transformer::GptConfig;

constexpr int64_t kSequences = 8;  // of a process's share of a batch

GptConfig measured_model() { return {.vocab = 256, .layers = 4, .heads = 4, .width = 128, .context = 64}; }
GptConfig large_model() { return {.vocab = 32000, .layers = 34, .heads = 32, .width = 4096, .context = 2048}; }

// The least of `times`, after two to warm up: other work on the machine only adds.
double least_seconds(int64_t times, const std::function<void()>& work) {
  for (int i = 0; i < 2; ++i) work();
  double least = INFINITY;
  for (int64_t i = 0; i < times; ++i) {
    auto start = Clock::now();
    work();
    least = std::min(least, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return least;
}

// A model with the tokens of one share of a batch.
struct Case {
  explicit Case(const GptConfig& config, int64_t sequences) : model((manual_seed(1), config)) {
    Generator generator(2);
    tokens = randint(0, config.vocab, {sequences, config.context}, {.dtype = i64, .generator = &generator});
    target = randint(0, config.vocab, {sequences * config.context}, {.dtype = i64, .generator = &generator});
  }
  Tensor loss() const { return cross_entropy(flatten(model(tokens), 0, 1), target); }
  transformer::Gpt model;
  Tensor tokens, target;
};

// -- memory -----------------------------------------------------------------------------------------

struct Memory {
  double weights = 0, gradients = 0, optimizer = 0, activations = 0;
};

double live() { return static_cast<double>(memory_stats(cpu).live); }

Memory measure_memory(const GptConfig& config, int64_t sequences) {
  double before = live();
  Memory m;
  Case c(config, sequences);
  m.weights = live() - before - static_cast<double>(c.tokens.numel() + c.target.numel()) * 8;
  optim::AdamW adamw(c.model.parameters());
  before = live();
  reset_peak_memory(cpu);
  {
    Tensor loss = c.loss();
    m.activations = live() - before;  // what the graph keeps for the backward pass
    loss.backward();
  }
  m.gradients = live() - before;
  before = live();
  adamw.step();
  m.optimizer = live() - before;
  return m;
}

// The two coefficients from two depths.
ActivationCost measure_activations() {
  GptConfig shallow = measured_model(), deep = shallow;
  deep.layers = 8;
  auto tokens = static_cast<double>(kSequences * shallow.context);
  double a = measure_memory(shallow, kSequences).activations, b = measure_memory(deep, kSequences).activations;
  ActivationCost cost;
  cost.block = (b - a) / (tokens * static_cast<double>((deep.layers - shallow.layers) * shallow.width));
  cost.vocabulary =
      (a - tokens * cost.block * static_cast<double>(shallow.layers * shallow.width)) / (tokens * static_cast<double>(shallow.vocab));
  return cost;
}

// -- time -------------------------------------------------------------------------------------------

double alone_step(int64_t steps, int64_t sequences) {
  Case c(measured_model(), sequences);
  optim::AdamW adamw(c.model.parameters());
  return least_seconds(steps, [&] {
    adamw.zero_grad();
    c.loss().backward();
    adamw.step();
  });
}

struct Together {
  double seconds = 0;
  dist::Traffic traffic;      // of one step
  double state_bytes = 0;     // of the optimiser, on this process
};

Together together_step(int64_t steps, bool shard) {
  dist::Communicator& world = dist::world();
  Case c(measured_model(), kSequences);
  parallel::GradientBuckets buckets(c.model.parameters(), world, {.bytes = int64_t{1} << 20, .scatter = shard});
  std::unique_ptr<optim::Optimizer> adamw;
  if (shard)
    adamw = std::make_unique<parallel::ShardedAdamW>(std::vector<optim::Group<optim::AdamWOptions>>{{c.model.parameters(), {}}}, buckets);
  else adamw = std::make_unique<optim::AdamW>(c.model.parameters());
  auto step = [&] {
    adamw->zero_grad();
    buckets.backward(c.loss() / static_cast<double>(world.size()));
    adamw->step();
  };
  world.barrier();
  Together t;
  t.seconds = least_seconds(steps, step);
  dist::Traffic before = world.traffic();
  step();
  const dist::Traffic& after = world.traffic();
  t.traffic = {after.all_reduced - before.all_reduced, after.scattered - before.scattered, after.gathered - before.gathered};
  for (auto& [name, x] : adamw->state().tensors) t.state_bytes += static_cast<double>(x.numel() * 4);
  if (auto* sharded = dynamic_cast<parallel::ShardedAdamW*>(adamw.get())) t.state_bytes = static_cast<double>(sharded->state_bytes());
  return t;
}

// t = latency + bytes sent / bandwidth, by two sizes.
struct Link {
  double latency = 0, bandwidth = INFINITY;
  double seconds(double sent) const { return latency + sent / bandwidth; }
};

double all_reduce_seconds(int64_t steps, int64_t elements) {
  Tensor x = zeros({elements});
  return least_seconds(4 * steps, [&] { dist::world().start_all_reduce(x)->wait(); });
}

Link measure_link(int64_t steps) {
  auto n = static_cast<double>(dist::world().size());
  constexpr int64_t kSmall = 1 << 8, kLarge = 1 << 21;
  double small = all_reduce_seconds(steps, kSmall), large = all_reduce_seconds(steps, kLarge);
  Link link;
  link.bandwidth = (ring_all_reduce(4.0 * kLarge, n) - ring_all_reduce(4.0 * kSmall, n)) / std::max(1e-9, large - small);
  link.latency = std::max(0.0, small - ring_all_reduce(4.0 * kSmall, n) / link.bandwidth);
  return link;
}

// -- the page ---------------------------------------------------------------------------------------

std::string giga(double bytes) { return fmt::format("{:.1f} GB", bytes / 1e9); }

// When and where: a load beyond the processes' own is other work, which the times suffer from.
void print_place() {
  std::time_t now = std::time(nullptr);
  char date[32];
  std::strftime(date, sizeof date, "%-d %b %Y", std::localtime(&now));
  double load = 0;
  getloadavg(&load, 1);
  fmt::print("Measured on {} by {} process(es), on a machine of {} cores with a load of {:.0f} at the start.\n\n", date,
             dist::world().size(), std::thread::hardware_concurrency(), load);
}

void print_formulas() {
  fmt::print(
      "# What training on many GPUs takes\n\n"
      "Worked out by formulas from measurements of small cases, which the tables below also check the formulas with. Everything under "
      "*Measured* is of the CPU that\n"
      "the command ran on; no GPU was measured for this page, and figures of GPUs are inputs from data sheets, marked so. To make the page "
      "again:\n\n"
      "    mpirun -np 2 plumb bench scale > bench/scale.md\n\n"
      "## Formulas\n\n"
      "Ψ parameters, L layers, d width, V vocabulary, T context, B sequences a GPU and step, N GPUs. Weights and gradients are f32, "
      "products bf16 (`--dtype bf16`).\n\n"
      "| what | formula |\n|---|---|\n"
      "| parameters | Ψ = L (12 d² + 2 d) + (V + T + 1) d |\n"
      "| weights, gradients | 4 Ψ bytes each |\n"
      "| AdamW's state | 8 Ψ bytes; with `--shard-optimizer` 8 Ψ / N |\n"
      "| activations | B T (a L d + v V) bytes, a and v measured; with `--recompute` B T (4 L d + a d + v V) |\n"
      "| arithmetic | B T (6 (12 L d² + V d) + 6 L T d) operations; with `--recompute` 4/3 of that |\n"
      "| sent by a GPU a step | ring: all-reduce 2 (N − 1)/N · 4 Ψ; reduce-scatter and all-gather (N − 1)/N · 4 Ψ each |\n"
      "| update | Ψ / N · 28 bytes through memory |\n"
      "| step | t_forward + max(t_backward, t_scatter) + t_update + t_gather: the exchange of gradients overlaps with the backward pass, "
      "that of weights with nothing |\n\n");
}

void print_memory(const ActivationCost& cost) {
  fmt::print(
      "## Measured: memory\n\nBytes of tensors in one process, f32. The coefficients of activations, a = {:.1f} and v = {:.1f} bytes, come "
      "from 4 and 8 layers of width 128; the other rows are predictions.\n\n"
      "| layers | width | vocabulary | sequences | what | formula | measured | ratio |\n|---|---|---|---|---|---|---|---|\n",
      cost.block, cost.vocabulary);
  struct Row {
    GptConfig config;
    int64_t sequences;
  };
  for (const Row& r :
       {Row{measured_model(), kSequences}, Row{{.vocab = 512, .layers = 6, .heads = 8, .width = 256, .context = 64}, kSequences},
        Row{{.vocab = 256, .layers = 4, .heads = 4, .width = 128, .context = 128}, 4}}) {
    Memory m = measure_memory(r.config, r.sequences);
    double parameters = parameter_count(r.config), tokens = static_cast<double>(r.sequences * r.config.context);
    auto row = [&](const char* what, double formula, double measured) {
      fmt::print("| {} | {} | {} | {} × {} | {} | {:.2f} MB | {:.2f} MB | {:.2f} |\n", r.config.layers, r.config.width, r.config.vocab,
                 r.sequences, r.config.context, what, formula / 1e6, measured / 1e6, measured / formula);
    };
    row("weights", 4 * parameters, m.weights);
    row("gradients", 4 * parameters, m.gradients);
    row("AdamW's state", 8 * parameters, m.optimizer);
    row("activations", cost.bytes(r.config, tokens), m.activations);
  }
  fmt::print("\n");
}

void print_time(double alone, double half, double beside, const Together& whole, const Together& shard, const Link& link) {
  auto n = static_cast<double>(dist::world().size());
  double parameters = parameter_count(measured_model()),
         flops = step_flops(measured_model(), static_cast<double>(kSequences * measured_model().context));
  fmt::print(
      "## Measured: time and traffic\n\nThe model of 4 layers of width 128 ({:.0f} parameters), {} sequences of {} tokens a process, {} "
      "thread(s) a process, the fastest of the timed steps: other work on the machine only adds.\n\n",
      parameters, kSequences, measured_model().context, num_threads());
  fmt::print("| what | formula | measured |\n|---|---|---|\n");
  fmt::print("| one process, {} sequences | | {:.1f} ms ({:.1f} GFLOP/s) |\n", kSequences, alone * 1e3, flops / alone / 1e9);
  fmt::print("| one process, {} sequences | in proportion: {:.1f} ms | {:.1f} ms |\n", kSequences / 2, alone / 2 * 1e3, half * 1e3);
  if (dist::world().size() == 1) {
    fmt::print("\nMade by one process: run it under mpirun for what several take.\n\n");
    return;
  }
  fmt::print("| {:.0f} processes at once, without an exchange | | {:.1f} ms |\n", n, beside * 1e3);
  double sent = ring_all_reduce(4 * parameters, n), exchange = link.seconds(sent), gather = link.seconds(ring_half(4 * parameters, n));
  fmt::print("| {:.0f} processes: an exchange | {:.0f} µs + bytes sent / {:.2f} GB/s, fitted to 1 KiB and 8 MiB | |\n", n,
             link.latency * 1e6, link.bandwidth / 1e9);
  fmt::print("| {:.0f} processes, data parallel | between {:.1f} ms (all of the exchange overlaps) and {:.1f} ms (none) | {:.1f} ms |\n", n,
             std::max(beside, exchange) * 1e3, (beside + exchange) * 1e3, whole.seconds * 1e3);
  fmt::print("| {:.0f} processes, state shared out | between {:.1f} ms and {:.1f} ms | {:.1f} ms |\n", n, (beside + gather) * 1e3,
             (beside + 2 * gather) * 1e3, shard.seconds * 1e3);
  fmt::print("| handed to all-reduce a step | 4 Ψ = {:.0f} bytes | {} bytes |\n", 4 * parameters, whole.traffic.all_reduced);
  fmt::print("| handed to reduce-scatter a step | 4 Ψ = {:.0f} bytes | {} bytes |\n", 4 * parameters, shard.traffic.scattered);
  fmt::print("| handed to all-gather a step | 4 Ψ = {:.0f} bytes | {} bytes |\n", 4 * parameters, shard.traffic.gathered);
  fmt::print("| AdamW's state a process, whole | 8 Ψ = {:.0f} bytes | {:.0f} bytes |\n", 8 * parameters, whole.state_bytes);
  fmt::print("| AdamW's state a process, shared out | 8 Ψ / N = {:.0f} bytes | {:.0f} bytes |\n\n", 8 * parameters / n, shard.state_bytes);
  fmt::print(
      "What is counted beyond the formulas is a number for each parameter (whether it has a gradient) and padding. Bounds of time start "
      "from what\n"
      "the processes take at once without an exchange, since they share the machine's cores, memory and caches with each other and with "
      "other work.\n"
      "Where the load is above the number of processes a step waits for whichever was interrupted, and takes longer than the upper "
      "bound.\n\n");
}

void print_plan(const ActivationCost& cost) {
  Cluster cluster;
  constexpr double kLargeSequences = 4;
  GptConfig c = large_model();
  Plan p = plan(c, kLargeSequences, cluster, cost);
  fmt::print(
      "## Worked out: 7 billion parameters on 64 GPUs\n\nL = {}, d = {}, V = {}, T = {}, B = {:.0f}. Inputs from data sheets (NVIDIA H100 "
      "SXM, 400 Gb/s InfiniBand a GPU), **not measured here**: {:.0f} TFLOP/s in bf16, {:.0f} GB, {:.2f} TB/s,\n"
      "{:.0f} GB/s between machines a GPU. Assumed, not measured: products reach {:.0f} % of the peak; the slowest link is the one between "
      "machines. Activations are counted at the\n"
      "measured f32 coefficients, which bf16 does not exceed.\n\n",
      c.layers, c.width, c.vocab, c.context, kLargeSequences, cluster.peak_flops / 1e12, cluster.memory_bytes / 1e9,
      cluster.memory_bandwidth / 1e12, cluster.network_bandwidth / 1e9, 100 * cluster.utilisation);
  double kept = p.weights + p.gradients;
  fmt::print(
      "| a GPU | |\n|---|---|\n| parameters | {:.2f} billion |\n| weights + gradients | {} |\n| AdamW's state | {}; shared out {} |\n| "
      "activations | {}; with `--recompute` {} |\n",
      p.parameters / 1e9, giga(kept), giga(p.optimizer_whole), giga(p.optimizer_sharded), giga(p.activations),
      giga(p.activations_recomputed));
  double plain = kept + p.optimizer_whole, least = kept + p.optimizer_sharded + p.activations_recomputed;
  fmt::print("| in all without either | {} of {}: {} |\n", giga(plain + p.activations), giga(cluster.memory_bytes),
             plain + p.activations <= cluster.memory_bytes ? "fits" : "does not fit");
  fmt::print("| in all with `--shard-optimizer --recompute` | {} of {}: {} |\n", giga(least), giga(cluster.memory_bytes),
             least <= cluster.memory_bytes ? "fits" : "does not fit");
  fmt::print(
      "| sent a step | {} |\n| forward | {:.2f} s |\n| backward, with recomputing | {:.2f} s |\n| reduce-scatter of gradients | {:.2f} s, "
      "within backward |\n| update | {:.4f} s |\n| all-gather of weights | {:.2f} s |\n| **step** | **{:.2f} s** |\n",
      giga(p.sent), p.forward_s, p.backward_s, p.scatter_s, p.update_s, p.gather_s, p.step_s);
  double tokens = kLargeSequences * static_cast<double>(c.context * cluster.gpus);
  fmt::print("| tokens a step, a second | {:.0f}, {:.0f} |\n| share of the peak, recomputing not counted | {:.0f} % |\n", tokens,
             tokens / p.step_s, 100 * p.flops / p.step_s / cluster.peak_flops);
}

}  // namespace

int scale_page(int64_t steps) {
  dist::Communicator& world = dist::world();
  ActivationCost cost;
  double alone = 0, half = 0;
  if (world.rank() == 0) {  // the others wait, without work
    cost = measure_activations();
    print_formulas();
    print_place();
    print_memory(cost);
    alone = alone_step(steps, kSequences);
    half = alone_step(steps, kSequences / 2);
  }
  world.barrier();
  double beside = alone_step(steps, kSequences);  // by all at once: they share the machine's memory and caches
  Together whole = together_step(steps, false), shard = together_step(steps, true);
  Link link = world.size() > 1 ? measure_link(steps) : Link{};
  if (world.rank() == 0) {
    print_time(alone, half, beside, whole, shard, link);
    print_plan(cost);
  }
  return 0;
}

}  // namespace plumb::tools
