// Pieces of parameters under an optimiser of their own, and whole parameters put together again.
#include "models/parallel/sharded_optimizer.h"

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "ops/shape.h"

namespace plumb::parallel {
namespace {

Tensor row_of(const Tensor& whole, int64_t begin, int64_t length) { return view_of(whole, {length}, {1}, begin); }

}  // namespace

template <typename Inner, typename Options>
ShardedOptimizer<Inner, Options>::ShardedOptimizer(std::vector<optim::Group<Options>> groups, GradientBuckets& buckets)
    : optim::GroupedOptimizer<Options>(std::move(groups)), buckets_(buckets) {
  if (!buckets.scattered()) throw ValueError("sharded optimizer: the buckets must be made with .scatter");
  for (const Slot& s : this->slots_) {
    if (s.parameter.dtype() != f32 && s.parameter.dtype() != f64)
      throw DTypeError("sharded optimizer: takes parameters of f32 or f64, got " + std::string(name(s.parameter.dtype())));
    if (!s.parameter.is_contiguous()) throw ShapeError("sharded optimizer: a parameter " + to_string(s.parameter.shape()) + " has gaps");
  }
}

// The part of each parameter that lies in this process's slice of its bucket.
template <typename Inner, typename Options>
void ShardedOptimizer<Inner, Options>::cut() {
  const int64_t rank = buckets_.processes().rank();
  std::vector<Piece> pieces;
  slot_of_.clear();
  for (size_t b = 0; b < buckets_.buckets().size(); ++b) {
    const Bucket& bucket = buckets_.buckets()[b];
    slot_of_.emplace_back();
    int64_t first = rank * bucket.slice, last = first + bucket.slice;
    for (size_t k = 0; k < bucket.parameters.size(); ++k) {
      const Tensor& p = buckets_.parameters()[bucket.parameters[k]];
      auto slot = std::find_if(this->slots_.begin(), this->slots_.end(), [&](const Slot& s) { return s.parameter.same_as(p); });
      if (slot == this->slots_.end())
        throw ValueError("sharded optimizer: a parameter " + to_string(p.shape()) + " of the buckets is not one of its own");
      slot_of_[b].push_back(static_cast<size_t>(slot - this->slots_.begin()));
      int64_t begin = std::max(bucket.offsets[k], first), end = std::min(bucket.offsets[k + 1], last);
      if (begin >= end) continue;
      pieces.push_back({slot_of_[b].back(), b, begin - bucket.offsets[k], end - begin, begin - first,
                        row_of(p.detach(), begin - bucket.offsets[k], end - begin)});
    }
  }
  // Groups follow each other in the order of slots, and so do their pieces: Inner numbers them alike.
  std::stable_sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) { return a.slot < b.slot; });
  std::vector<optim::Group<Options>> groups;
  for (size_t g = 0; g < this->group_count(); ++g) groups.push_back({{}, this->options(g)});
  for (const Piece& piece : pieces) groups[this->slots_[piece.slot].group].parameters.push_back(piece.value);
  std::stable_sort(pieces.begin(), pieces.end(),
                   [&](const Piece& a, const Piece& b) { return this->slots_[a.slot].group < this->slots_[b.slot].group; });
  pieces_ = std::move(pieces);
  inner_ = std::make_unique<Inner>(std::move(groups));
  if (loaded_) inner_->load_state(pieces_of(*loaded_));
  loaded_.reset();
}

template <typename Inner, typename Options>
void ShardedOptimizer<Inner, Options>::update(std::span<Slot* const> slots) {
  if (!inner_) cut();
  for (size_t g = 0; g < this->group_count(); ++g) inner_->options(g) = this->options(g);
  inner_->set_lr_scale(this->lr_scale());
  std::vector<const Slot*> active(this->slots_.size(), nullptr);
  for (const Slot* s : slots) active[static_cast<size_t>(s - this->slots_.data())] = s;
  for (Piece& piece : pieces_) {
    const Slot* s = active[piece.slot];
    piece.value.set_grad(s ? row_of(contiguous_data(s->gradient), piece.begin, piece.length) : Tensor());
  }
  inner_->step();
  for (Piece& piece : pieces_) piece.value.set_grad({});
  gather_parameters();
}

// Through the memory of the gradients, which were used.
template <typename Inner, typename Options>
void ShardedOptimizer<Inner, Options>::gather_parameters() {
  const auto& buckets = buckets_.buckets();
  std::vector<Tensor> own;
  for (const Bucket& bucket : buckets) own.push_back(zeros({bucket.slice}, bucket.flat.dtype(), bucket.flat.device()));
  for (const Piece& piece : pieces_) {
    Tensor place = narrow(own[piece.bucket], 0, piece.at, piece.length);
    copy_data(piece.value, place);
  }
  std::vector<std::unique_ptr<dist::Exchange>> exchanges;
  for (size_t b = 0; b < buckets.size(); ++b) exchanges.push_back(buckets_.processes().start_all_gather(own[b], buckets[b].flat));
  for (size_t b = 0; b < buckets.size(); ++b) {
    exchanges[b]->wait();
    for (size_t k = 0; k < buckets[b].parameters.size(); ++k) {
      Tensor whole = buckets_.parameters()[buckets[b].parameters[k]].detach();
      copy_data(buckets_.view(buckets[b], k, buckets[b].flat), whole);
      whole.impl()->storage->bump_version();
      this->slots_[slot_of_[b][k]].parameter.zero_grad();
    }
  }
}

// -- saving and loading -----------------------------------------------------------------------------

template <typename Inner, typename Options>
std::vector<std::string> ShardedOptimizer<Inner, Options>::state_names() const {
  struct Names : Inner {
    using Inner::state_names;
    Names() : Inner(std::vector<Tensor>{}) {}
  };
  return Names().state_names();
}

template <typename Inner, typename Options>
optim::OptimizerState ShardedOptimizer<Inner, Options>::pieces_of(const optim::OptimizerState& whole) const {
  optim::OptimizerState cut;
  for (auto& [name, value] : whole.scalars)
    if (name == "lr_scale" || name.starts_with("group.")) cut.scalars[name] = value;
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const Piece& piece = pieces_[i];
    std::string from = std::to_string(piece.slot) + ".", to = std::to_string(i) + ".";
    cut.scalars[to + "steps"] = whole.scalars.at(from + "steps");
    for (const std::string& state : state_names())
      if (auto found = whole.tensors.find(from + state); found != whole.tensors.end())
        cut.tensors[to + state] = row_of(contiguous_data(found->second), piece.begin, piece.length);
  }
  return cut;
}

template <typename Inner, typename Options>
void ShardedOptimizer<Inner, Options>::load_state(const optim::OptimizerState& state) {
  // The base checks all of it, keeps the numbers, and gives the tensors back at once.
  optim::GroupedOptimizer<Options>::load_state(state);
  for (Slot& s : this->slots_) s.state.clear();
  if (inner_) {
    inner_->load_state(pieces_of(state));
  } else {
    loaded_ = std::make_unique<optim::OptimizerState>(state);
  }
}

// For each slot and name, whether any process has such a tensor.
template <typename Inner, typename Options>
std::vector<double> ShardedOptimizer<Inner, Options>::used_states(const optim::OptimizerState& own) const {
  std::vector<std::string> names = state_names();
  std::vector<double> used(this->slots_.size() * names.size(), 0);
  for (size_t i = 0; i < pieces_.size(); ++i)
    for (size_t j = 0; j < names.size(); ++j)
      if (own.tensors.contains(std::to_string(i) + "." + names[j])) used[pieces_[i].slot * names.size() + j] = 1;
  Tensor shared = to(from_vector(used), this->slots_.front().parameter.device());
  buckets_.processes().start_all_reduce(shared)->wait();
  return to_vector(shared);
}

template <typename Inner, typename Options>
optim::OptimizerState ShardedOptimizer<Inner, Options>::state() const {
  NoGrad off;
  optim::OptimizerState whole = optim::GroupedOptimizer<Options>::state();
  if (loaded_) whole.tensors = loaded_->tensors;
  if (!inner_) return whole;
  optim::OptimizerState own = inner_->state();
  std::vector<std::string> names = state_names();
  std::vector<double> used = used_states(own);
  for (size_t j = 0; j < names.size(); ++j)
    for (size_t b = 0; b < buckets_.buckets().size(); ++b) {
      const Bucket& bucket = buckets_.buckets()[b];
      Tensor part = zeros({bucket.slice}, bucket.flat.dtype(), bucket.flat.device()), flat = empty_like(bucket.flat);
      for (size_t i = 0; i < pieces_.size(); ++i) {
        auto found = own.tensors.find(std::to_string(i) + "." + names[j]);
        if (pieces_[i].bucket != b || found == own.tensors.end()) continue;
        Tensor place = narrow(part, 0, pieces_[i].at, pieces_[i].length);
        copy_data(found->second, place);
      }
      buckets_.processes().start_all_gather(part, flat)->wait();
      for (size_t k = 0; k < bucket.parameters.size(); ++k)
        if (size_t slot = slot_of_[b][k]; used[slot * names.size() + j] > 0)
          whole.tensors[std::to_string(slot) + "." + names[j]] = clone(buckets_.view(bucket, k, flat));
    }
  return whole;
}

template <typename Inner, typename Options>
int64_t ShardedOptimizer<Inner, Options>::state_bytes() const {
  int64_t bytes = 0;
  if (loaded_)
    for (auto& [name, t] : loaded_->tensors) bytes += t.numel() * static_cast<int64_t>(item_size(t.dtype()));
  if (inner_)
    for (auto& [name, t] : inner_->state().tensors) bytes += t.numel() * static_cast<int64_t>(item_size(t.dtype()));
  return bytes;
}

template class ShardedOptimizer<optim::AdamW, optim::AdamWOptions>;
template class ShardedOptimizer<optim::SGD, optim::SgdOptions>;

}  // namespace plumb::parallel
