// Tokens on their way to other processes' experts.
#include "models/moe/expert_parallel.h"

#include <numeric>

#include "engine/autograd/grad_mode.h"
#include "models/parallel/exchange_rows.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::moe {
namespace {

using Counts = std::vector<int64_t>;

// Each process's numbers, as many on each, in the order of processes.
std::vector<Counts> gathered(const Counts& own, dist::Communicator& processes) {
  Tensor all = empty({static_cast<int64_t>(own.size()) * processes.size()}, i64);
  processes.start_all_gather(from_vector(own), all)->wait();
  std::vector<Counts> each;
  for (const int64_t *next = all.data<int64_t>(), *end = next + all.numel(); next < end; next += own.size())
    each.emplace_back(next, next + own.size());
  return each;
}

// The plan is made on the CPU; what follows it may be on a GPU.
Tensor numbers(const Counts& counts, Device device) { return to(from_vector(counts), device); }

Tensor offsets_of(const Counts& counts, Device device) {
  Counts offsets{0};
  for (int64_t c : counts) offsets.push_back(offsets.back() + c);
  return numbers(offsets, device);
}

std::vector<GroupedLinear*> layers_of(Experts& experts) {
  std::vector<GroupedLinear*> layers{&experts.up, &experts.down};
  if (experts.gate) layers.push_back(&*experts.gate);
  return layers;
}

}  // namespace

void share_out_experts(MoeFeedForward& layer, dist::Communicator& processes) {
  int64_t experts = layer.experts.up.weight.size(0), size = processes.size();
  if (layer.processes()) throw ConfigError("moe: the experts are shared out already");
  if (experts < size)
    throw ConfigError("moe: " + std::to_string(size) + " processes are more than the experts, " + std::to_string(experts) +
                      "; start so many at most");
  auto [begin, end] = parallel::rows_of(experts, processes.rank(), processes.size());
  NoGrad off;
  auto keep_own = [&, begin = begin, end = end](nn::Parameter& p) {
    if (p.defined()) p = clone(narrow(p.detach(), 0, begin, end - begin)).requires_grad_(p.requires_grad());
  };
  for (GroupedLinear* linear : layers_of(layer.experts)) {
    keep_own(linear->weight);
    keep_own(linear->bias);
  }
  layer.work_with(processes);
}

void share_out_experts_of(nn::Module& model, dist::Communicator& processes) {
  for (auto& [name, module] : model.named_modules())
    if (auto* layer = dynamic_cast<MoeFeedForward*>(module)) share_out_experts(*layer, processes);
}

// Each process gives its vector to all, and gets a row from each.
Tensor sum_across(const Tensor& x, dist::Communicator& processes) {
  int64_t size = processes.size();
  std::vector<int64_t> one_each(static_cast<size_t>(size), 1);
  return sum(parallel::exchange_rows(expand(unsqueeze(x, 0), {size, x.numel()}), one_each, one_each, processes), {0});
}

// A pair's place in the queue of its expert: first choices before second ones, and among equals processes, then tokens, in order.
Routing route_tokens_across(const Tensor& expert, const Tensor& weight, int64_t experts, int64_t capacity, dist::Communicator& processes) {
  Routing own = route_tokens(expert, weight, experts, 0);  // checks the arguments
  int64_t tokens = expert.size(0), choices = expert.size(1);
  Counts wanted = to_vector<int64_t>(reshape(transpose(expert, 0, 1), {expert.numel()}));
  Counts counts(static_cast<size_t>(choices * experts), 0);
  auto count_at = [&](Counts& c, int64_t choice, int64_t e) -> int64_t& { return c[static_cast<size_t>(choice * experts + e)]; };
  for (size_t a = 0; a < wanted.size(); ++a) ++count_at(counts, static_cast<int64_t>(a) / tokens, wanted[a]);
  std::vector<Counts> all = gathered(counts, processes);
  Counts next(counts.size(), 0),
      chosen(static_cast<size_t>(experts), 0);  // next: the place of this process's next pair of a choice and expert
  for (int64_t e = 0; e < experts; ++e)
    for (int64_t choice = 0; choice < choices; ++choice)
      for (size_t r = 0; r < all.size(); ++r) {
        if (static_cast<int>(r) == processes.rank()) count_at(next, choice, e) = chosen[static_cast<size_t>(e)];
        chosen[static_cast<size_t>(e)] += count_at(all[r], choice, e);
      }
  std::vector<Counts> kept(static_cast<size_t>(experts));
  for (size_t a = 0; a < wanted.size(); ++a)
    if (int64_t place = count_at(next, static_cast<int64_t>(a) / tokens, wanted[a])++; capacity == 0 || place < capacity)
      kept[static_cast<size_t>(wanted[a])].push_back(static_cast<int64_t>(a));
  Counts order, taken;
  for (const Counts& pairs : kept) {
    order.insert(order.end(), pairs.begin(), pairs.end());
    taken.push_back(static_cast<int64_t>(pairs.size()));
  }
  Counts token, of_expert;
  for (int64_t a : order) {
    token.push_back(a % tokens);
    of_expert.push_back(wanted[static_cast<size_t>(a)]);
  }
  Device device = expert.device();
  own.token = numbers(token, device);
  own.expert = numbers(of_expert, device);
  own.weight = index_select(reshape(transpose(weight, 0, 1), {weight.numel()}), 0, numbers(order, device));
  own.offsets = offsets_of(taken, device);
  own.place = {};  // that of other pairs
  own.chosen_by_all = numbers(chosen, device);
  own.processes = &processes;
  return own;
}

Routing choose_tokens_across(const Tensor& probability, int64_t each, dist::Communicator& processes) {
  int64_t tokens = probability.size(0), experts = probability.size(1), first = processes.rank() * tokens;
  Device device = probability.device();
  Tensor all = empty({processes.size() * tokens, experts}, probability.dtype(), device, "choose_tokens_across");
  processes.collectives_on(device)->start_all_gather(contiguous_data(probability.detach()), all)->wait();
  Counts best = to_vector<int64_t>(topk(transpose(all, 0, 1), each, -1, true, false).indices), token, expert,
         taken(static_cast<size_t>(experts), 0), flat;
  for (size_t a = 0; a < best.size(); ++a) {
    int64_t own = best[a] - first, e = static_cast<int64_t>(a) / each;
    if (own < 0 || own >= tokens) continue;
    token.push_back(own);
    expert.push_back(e);
    flat.push_back(own * experts + e);
    ++taken[static_cast<size_t>(e)];
  }
  return {.tokens = tokens,
          .experts = experts,
          .token = numbers(token, device),
          .expert = numbers(expert, device),
          .weight = index_select(reshape(probability, {probability.numel()}), 0, numbers(flat, device)),
          .offsets = offsets_of(taken, device),
          .chosen = numbers(taken, device),
          .chosen_by_all = full({experts}, each, i64, device),
          .processes = &processes};
}

Tensor run_across(const Experts& experts, const Tensor& rows, const Routing& routing, dist::Communicator& processes) {
  auto size = static_cast<size_t>(processes.size()), rank = static_cast<size_t>(processes.rank());
  auto experts_of = [&](size_t r) { return parallel::rows_of(routing.experts, static_cast<int>(r), processes.size()); };
  Counts offsets = to_vector<int64_t>(routing.offsets), own(offsets.size() - 1);
  for (size_t e = 0; e < own.size(); ++e) own[e] = offsets[e + 1] - offsets[e];
  std::vector<Counts> counts = gathered(own, processes);
  auto rows_for = [&](const Counts& of, size_t r) {
    return std::accumulate(of.begin() + experts_of(r).begin, of.begin() + experts_of(r).end, int64_t{0});
  };
  Counts give, take;
  for (size_t r = 0; r < size; ++r) {
    give.push_back(rows_for(own, r));
    take.push_back(rows_for(counts[r], rank));
  }
  // What arrives is sorted by process, then expert; the experts want it the other way round.
  Counts begin(size, 0), sorted, here;
  for (size_t r = 1; r < size; ++r) begin[r] = begin[r - 1] + take[r - 1];
  for (int64_t e = experts_of(rank).begin; e < experts_of(rank).end; ++e) {
    size_t before = sorted.size();
    for (size_t r = 0; r < size; ++r)
      for (int64_t i = 0; i < counts[r][static_cast<size_t>(e)]; ++i) sorted.push_back(begin[r]++);
    here.push_back(static_cast<int64_t>(sorted.size() - before));
  }
  Counts back(sorted.size());
  for (size_t i = 0; i < sorted.size(); ++i) back[static_cast<size_t>(sorted[i])] = static_cast<int64_t>(i);
  Device device = rows.device();
  Tensor arrived = index_select(parallel::exchange_rows(rows, give, take, processes), 0, numbers(sorted, device));
  return parallel::exchange_rows(index_select(experts(arrived, offsets_of(here, device)), 0, numbers(back, device)), take, give, processes);
}

}  // namespace plumb::moe
