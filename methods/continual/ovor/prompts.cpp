// Prompts: pools by cosine, components by weight, and the five kinds as one module.
#include "methods/continual/ovor/prompts.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "models/nn/init.h"
#include "models/optim/transforms.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::methods::ovor {
namespace {

void put(nn::Prefixes& prefixes, int64_t layer, nn::AttentionPrefix prefix) {
  auto at = static_cast<size_t>(layer);
  if (prefixes.size() <= at) prefixes.resize(at + 1);
  prefixes[at] = std::move(prefix);
}

int64_t count(const PromptPlace& place) { return static_cast<int64_t>(place.layers.size()); }

Shape checked_shape(const PromptPlace& place, int64_t prompts, int64_t width) {
  nn::check_prompt("ovor", place.layers, place.length);
  if (prompts < 1) throw ValueError(fmt::format("ovor: a pool of {} prompts", prompts));
  return {count(place), prompts, place.length, width};
}

// cos(query_b, key_m): [B, M]
Tensor cosines(const Tensor& query, const Tensor& keys) { return matmul(normalize(query.detach(), 2, 1), mT(normalize(keys, 2, 1))); }

// [B, top, L, width] → halves [B, top · L / 2, width]
nn::AttentionPrefix joined(const Tensor& prompts) {
  nn::AttentionPrefix halves = nn::split_prompt(prompts);
  return {flatten(halves.key, 1, 2), flatten(halves.value, 1, 2)};
}

}  // namespace

PromptPool::PromptPool(const PromptPlace& place, int64_t prompts_, int64_t width, int64_t key_width)
    : prompts(this, "prompts", zeros(checked_shape(place, prompts_, width))), place_(place) {
  register_parameter("keys", keys, zeros({count(place), prompts_, key_width}));
  nn::init::uniform(keys);
  nn::init::uniform(prompts);
}

Prompted PromptPool::nearest(const Tensor& query, int64_t top, int64_t known) const {
  if (known == 0) known = size();
  if (top < 1 || top > known || known > size())
    throw ValueError(fmt::format("ovor: the {} nearest of {} prompts in a pool of {}", top, known, size()));
  Prompted out;
  for (int64_t l = 0; l < count(place_); ++l) {
    Tensor cosine = cosines(query, narrow(select(keys, 0, l), 0, 0, known));
    Tensor index = topk(cosine.detach(), top, 1).indices;
    Tensor loss = sum(1 - gather(cosine, 1, index)) / static_cast<double>(query.size(0));
    out.key_loss = out.key_loss.defined() ? out.key_loss + loss : loss;
    Tensor rows = index_select(select(prompts, 0, l), 0, flatten(index));
    put(out.prefixes, place_.layers[static_cast<size_t>(l)], joined(unflatten(rows, 0, {query.size(0), top})));
  }
  return out;
}

Prompted PromptPool::chosen(const Tensor& query, int64_t prompt) const {
  if (prompt < 0 || prompt >= size()) throw IndexError(fmt::format("ovor: prompt {} is outside the pool of {}", prompt, size()));
  Prompted out;
  for (int64_t l = 0; l < count(place_); ++l) {
    Tensor loss = mean(1 - cosines(query, narrow(select(keys, 0, l), 0, prompt, 1)));
    out.key_loss = out.key_loss.defined() ? out.key_loss + loss : loss;
    put(out.prefixes, place_.layers[static_cast<size_t>(l)], nn::split_prompt(select(select(prompts, 0, l), 0, prompt)));
  }
  return out;
}

CodaPrompt::CodaPrompt(const PromptPlace& place, int64_t components, int64_t tasks, int64_t width, int64_t key_width)
    : place_(place), per_task_(tasks > 0 ? components / tasks : 0), width_(width) {
  checked_shape(place, components, width);
  if (tasks < 1 || components % tasks != 0)
    throw ValueError(fmt::format("ovor: {} components cannot be shared out evenly over {} tasks", components, tasks));
  if (components > key_width || components > place.length * width)
    throw ValueError(
        fmt::format("ovor: {} components cannot be orthogonal in {} dimensions", components, std::min(key_width, place.length * width)));
  register_parameter("attention", attention, zeros({count(place), components, key_width}));
  register_parameter("keys", keys, zeros({count(place), components, key_width}));
  register_parameter("prompts", prompts, zeros({count(place), components, place.length * width}));
}

void CodaPrompt::begin_task(int64_t task, Generator& generator) {
  if (task < 0 || (task + 1) * per_task_ > keys.size(1))
    throw IndexError(fmt::format("ovor: task {} is outside the {} that components were made for", task, keys.size(1) / per_task_));
  first_ = task * per_task_;
  last_ = first_ + per_task_;
  NoGrad off;
  for (int64_t l = 0; l < count(place_); ++l)
    for (const Tensor& all : {attention, keys, prompts}) {
      Tensor rows = select(all, 0, l);
      draw_orthogonal_rows(rows, first_, last_, generator);
    }
}

nn::Prefixes CodaPrompt::operator()(const Tensor& query) const {
  if (last_ == 0) throw ValueError("ovor: CODA-Prompt is asked before its first task began");
  // Components of earlier tasks as constants, those of this one in the graph.
  auto so_far = [&](const Tensor& all, int64_t l) {
    Tensor rows = select(all, 0, l), now = narrow(rows, 0, first_, last_ - first_);
    return first_ == 0 ? now : cat({narrow(rows, 0, 0, first_).detach(), now}, 0);
  };
  nn::Prefixes out;
  for (int64_t l = 0; l < count(place_); ++l) {
    Tensor seen = unsqueeze(query.detach(), 1) * so_far(attention, l);                          // [B, M, key_width]
    Tensor weight = sum(normalize(seen, 2, 2) * normalize(so_far(keys, l), 2, 1), {2});         // [B, M]
    Tensor prompt = unflatten(matmul(weight, so_far(prompts, l)), 1, {place_.length, width_});  // [B, L, width]
    put(out, place_.layers[static_cast<size_t>(l)], nn::split_prompt(prompt));
  }
  return out;
}

void draw_orthogonal_rows(Tensor& rows, int64_t first, int64_t last, Generator& generator) {
  if (last > rows.size(1)) throw ValueError(fmt::format("ovor: {} rows cannot be orthogonal in {} dimensions", last, rows.size(1)));
  std::vector<std::vector<Tensor>> basis;
  for (int64_t i = 0; i < last; ++i)
    basis.push_back(
        {i < first ? clone(to(select(rows, 0, i).detach(), f64)) : randn({rows.size(1)}, {.dtype = f64, .generator = &generator})});
  optim::orthonormalize(basis);  // trained rows that depend on others are dropped, fresh ones do not depend on any
  for (int64_t i = first; i < last; ++i) {
    Tensor row = select(rows, 0, i);
    copy_data(basis[basis.size() - static_cast<size_t>(last - i)][0], row);
  }
}

// -- the kinds ------------------------------------------------------------------------------------------

Prompts::Prompts(const PromptOptions& o, int64_t width) : options_(o) {
  if (o.kind == PromptKind::one || o.kind == PromptKind::dual)
    register_module("general", general.emplace(o.general.layers, o.general.length, width));
  if (o.kind == PromptKind::one) register_module("expert", expert.emplace(o.expert.layers, o.expert.length, width));
  if (o.kind == PromptKind::l2p) register_module("pool", pool.emplace(o.expert, o.pool, width, width));
  if (o.kind == PromptKind::dual) register_module("pool", pool.emplace(o.expert, o.tasks, width, width));
  if (o.kind == PromptKind::coda) register_module("components", components.emplace(o.expert, o.components, o.tasks, width, width));
}

void Prompts::begin_task(int64_t task, Generator& generator) {
  if (components) components->begin_task(task, generator);
  task_ = task;
}

Prompted Prompts::operator()(const Tensor& query) const {
  Prompted out;
  if (components) out.prefixes = (*components)(query);
  if (options_.kind == PromptKind::l2p) out = pool->nearest(query, options_.top);
  if (options_.kind == PromptKind::dual)
    out = training() ? pool->chosen(query, task_) : pool->nearest(query, 1, std::max<int64_t>(task_ + 1, 1));
  if (general) general->place(out.prefixes);
  if (expert) expert->place(out.prefixes);
  return out;
}

}  // namespace plumb::methods::ovor
