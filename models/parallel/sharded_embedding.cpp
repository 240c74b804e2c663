// The table's rows in memory, and the messages in which they travel: row numbers as i64, then rows.
#include "models/parallel/sharded_embedding.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/core/parallel.h"
#include "ops/join.h"
#include "ops/shape.h"

namespace plumb::parallel {
namespace {

dist::Communicator& alone() {
  static dist::Communicator one;
  return one;
}

template <typename T>
void append(std::string& text, const T* values, size_t count) {
  text.append(reinterpret_cast<const char*>(values), count * sizeof(T));
}

template <typename T>
std::vector<T> parse(std::string_view text) {
  std::vector<T> values(text.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), text.data(), values.size() * sizeof(T));
  return values;
}

// A Philox block has four 32-bit words, or two numbers of 53 bits.
template <typename T>
constexpr int64_t kPerBlock = sizeof(T) == 4 ? 4 : 2;

template <typename T>
T unit_interval(const std::array<uint32_t, 4>& words, int64_t i) {
  auto k = static_cast<size_t>(i);
  if constexpr (sizeof(T) == 4) return static_cast<T>(words[k] >> 8) * 0x1p-24F;
  else return static_cast<T>(((uint64_t{words[2 * k]} << 32) | words[2 * k + 1]) >> 11) * 0x1p-53;
}

size_t row_bytes(const Tensor& table) { return static_cast<size_t>(table.size(1)) * item_size(table.dtype()); }

const char* row_at(const Tensor& table, int64_t row) {
  return static_cast<const char*>(table.raw_data()) + static_cast<size_t>(row) * row_bytes(table);
}

}  // namespace

ShardedEmbedding::ShardedEmbedding(int64_t rows, int64_t columns, ShardedEmbeddingOptions o)
    : rows_(rows), columns_(columns), processes_(o.processes ? o.processes : &alone()) {
  if (rows < 1 || columns < 1)
    throw ValueError(fmt::format("sharded_embedding: sizes must be positive, they are {} and {}", rows, columns));
  if (!(o.scale >= 0 && std::isfinite(o.scale)))
    throw ValueError(fmt::format("sharded_embedding: scale must not be negative, it is {}", o.scale));
  if (o.dtype != f32 && o.dtype != f64) throw DTypeError(fmt::format("sharded_embedding: takes f32 or f64, got {}", name(o.dtype)));
  int64_t size = processes_->size(), rank = processes_->rank();
  here_ = empty({(rows - rank + size - 1) / size, columns}, o.dtype, cpu, "sharded_embedding");
  o.dtype == f32 ? start<float>(o.seed, o.scale) : start<double>(o.seed, o.scale);
}

template <typename T>
void ShardedEmbedding::start(uint64_t seed, double scale) {
  T* data = here_.data<T>();
  int64_t blocks = (columns_ + kPerBlock<T> - 1) / kPerBlock<T>, size = processes_->size(), rank = processes_->rank();
  parallel_for(here_.size(0), 1024, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      int64_t row = r * size + rank;
      for (int64_t c = 0; c < columns_; c += kPerBlock<T>) {
        auto words = philox(seed, static_cast<uint64_t>(row * blocks + c / kPerBlock<T>));
        for (int64_t i = 0; i < std::min(kPerBlock<T>, columns_ - c); ++i)
          data[r * columns_ + c + i] = static_cast<T>(scale) * (2 * unit_interval<T>(words, i) - 1);
      }
    }
  });
}

FetchedRows ShardedEmbedding::fetch(const Tensor& indices) const {
  std::vector<int64_t> wanted = to_vector<int64_t>(indices), number = wanted;
  std::sort(number.begin(), number.end());
  number.erase(std::unique(number.begin(), number.end()), number.end());
  auto mistake = std::find_if(wanted.begin(), wanted.end(), [&](int64_t row) { return row < 0 || row >= rows_; });
  // Every request begins with whether its sender made a mistake, so that all processes hear of it and none waits for ever.
  auto processes = static_cast<size_t>(processes_->size());
  std::vector<std::string> requests(processes), replies(processes);
  const bool mistaken = mistake != wanted.end();
  const int64_t header[2] = {mistaken, mistaken ? *mistake : 0};
  for (std::string& request : requests) append(request, header, 2);
  if (!mistaken)
    for (int64_t row : number) append(requests[static_cast<size_t>(owner(row))], &row, 1);
  requests = processes_->all_to_all(std::move(requests));
  for (const std::string& request : requests) {
    auto rows = parse<int64_t>(request);
    if (rows[0]) throw IndexError(fmt::format("sharded_embedding: row {} is outside [0, {})", rows[1], rows_));
  }
  for (size_t r = 0; r < processes; ++r) {
    auto rows = parse<int64_t>(requests[r]);
    replies[r].reserve((rows.size() - 2) * row_bytes(here_));
    for (size_t i = 2; i < rows.size(); ++i) replies[r].append(row_at(here_, local(rows[i])), row_bytes(here_));
  }
  replies = processes_->all_to_all(std::move(replies));
  Tensor values = empty({static_cast<int64_t>(number.size()), columns_}, here_.dtype(), cpu, "sharded_embedding");
  std::vector<size_t> read(processes, 0);
  for (size_t i = 0; i < number.size(); ++i) {
    auto from = static_cast<size_t>(owner(number[i]));
    std::memcpy(const_cast<char*>(row_at(values, static_cast<int64_t>(i))), replies[from].data() + read[from], row_bytes(values));
    read[from] += row_bytes(values);
  }
  for (int64_t& row : wanted) row = std::lower_bound(number.begin(), number.end(), row) - number.begin();
  return {values.requires_grad_(), from_vector(wanted, indices.shape()), std::move(number)};
}

void ShardedEmbedding::update(const FetchedRows& rows, const optim::AdamOptions& options) {
  options.check();
  if (options.weight_decay != 0) throw ValueError(fmt::format("sharded_embedding: takes no weight decay, got {}", options.weight_decay));
  if (rows.values.rank() != 2 || rows.values.size(1) != columns_ || rows.values.size(0) != static_cast<int64_t>(rows.number.size()) ||
      rows.values.dtype() != here_.dtype())
    throw ShapeError(fmt::format("sharded_embedding: {} rows {} are not of this table of {} columns", rows.number.size(),
                                 to_string(rows.values.shape()), columns_));
  std::vector<std::string> messages(static_cast<size_t>(processes_->size()));
  if (Tensor gradient = rows.values.grad(); gradient.defined()) {
    gradient = contiguous_data(gradient);
    for (size_t i = 0; i < rows.number.size(); ++i) {
      std::string& message = messages[static_cast<size_t>(owner(rows.number[i]))];
      append(message, &rows.number[i], 1);
      message.append(row_at(gradient, static_cast<int64_t>(i)), row_bytes(gradient));
    }
  }
  messages = processes_->all_to_all(std::move(messages));
  if (!first_moment_.defined()) {
    first_moment_ = zeros_like(here_);
    second_moment_ = zeros_like(here_);
    updates_.assign(static_cast<size_t>(here_.size(0)), 0);
  }
  here_.dtype() == f32 ? apply<float>(messages, options) : apply<double>(messages, options);
}

template <typename T>
void ShardedEmbedding::apply(const std::vector<std::string>& messages, const optim::AdamOptions& o) {
  // (row, where its gradient begins), sorted by row and among equal ones in the order of ranks.
  std::vector<std::pair<int64_t, const char*>> given;
  for (const std::string& message : messages)
    for (size_t at = 0; at < message.size(); at += sizeof(int64_t) + row_bytes(here_)) {
      int64_t row;
      std::memcpy(&row, message.data() + at, sizeof(row));
      given.emplace_back(local(row), message.data() + at + sizeof(row));
    }
  std::stable_sort(given.begin(), given.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  auto width = static_cast<size_t>(columns_);
  std::vector<T> gradient(width), term(width);
  for (size_t i = 0; i < given.size();) {
    int64_t row = given[i].first;
    std::fill(gradient.begin(), gradient.end(), T{0});
    for (; i < given.size() && given[i].first == row; ++i) {
      std::memcpy(term.data(), given[i].second, width * sizeof(T));
      for (size_t c = 0; c < width; ++c) gradient[c] += term[c];
    }
    double t = ++updates_[static_cast<size_t>(row)];
    auto b1 = static_cast<T>(o.beta1), b2 = static_cast<T>(o.beta2), eps = static_cast<T>(o.eps);
    auto rate = static_cast<T>(o.lr / (1 - std::pow(o.beta1, t))), correction = static_cast<T>(1 / std::sqrt(1 - std::pow(o.beta2, t)));
    T *p = here_.data<T>() + row * columns_, *m = first_moment_.data<T>() + row * columns_, *v = second_moment_.data<T>() + row * columns_;
    for (size_t c = 0; c < width; ++c) {
      m[c] = b1 * m[c] + (1 - b1) * gradient[c];
      v[c] = b2 * v[c] + (1 - b2) * gradient[c] * gradient[c];
      p[c] -= rate * m[c] / (std::sqrt(v[c]) * correction + eps);
    }
  }
}

Tensor ShardedEmbedding::gather() const {
  size_t bytes = static_cast<size_t>(here_.numel()) * item_size(here_.dtype());
  std::vector<std::string> shards = processes_->all_gather({static_cast<const char*>(here_.raw_data()), bytes});
  Tensor whole = empty({rows_, columns_}, here_.dtype(), cpu, "sharded_embedding");
  for (int64_t row = 0; row < rows_; ++row)
    std::memcpy(const_cast<char*>(row_at(whole, row)),
                shards[static_cast<size_t>(owner(row))].data() + static_cast<size_t>(local(row)) * row_bytes(here_), row_bytes(here_));
  return whole;
}

Tensor gathered_rows(const Tensor& own, dist::Communicator* processes) {
  if (!processes || processes->size() == 1) return own;
  if (own.rank() != 2) throw ShapeError(fmt::format("gathered_rows: takes a matrix, got {}", to_string(own.shape())));
  Tensor plain = contiguous_data(own);
  std::string message;
  const int64_t width = own.size(1);
  append(message, &width, 1);
  message.append(static_cast<const char*>(plain.raw_data()), static_cast<size_t>(plain.numel()) * item_size(plain.dtype()));
  std::vector<std::string> all = processes->all_gather(message);
  std::vector<Tensor> parts;
  for (size_t r = 0; r < all.size(); ++r) {
    int64_t other;
    std::memcpy(&other, all[r].data(), sizeof(other));
    if (other != width)
      throw ShapeError(fmt::format("gathered_rows: process {} has {} columns, process {} has {}", r, other, processes->rank(), width));
    if (static_cast<int>(r) == processes->rank()) {
      parts.push_back(own);
      continue;
    }
    size_t bytes = all[r].size() - sizeof(other), row = static_cast<size_t>(width) * item_size(own.dtype());
    Tensor part = empty({static_cast<int64_t>(bytes / row), width}, own.dtype(), cpu, "gathered_rows");
    if (bytes > 0) std::memcpy(part.raw_data(), all[r].data() + sizeof(other), bytes);
    parts.push_back(part);
  }
  return cat(parts, 0);
}

void sum_gradients(const std::vector<Tensor>& parameters, dist::Communicator* processes) {
  if (!processes || processes->size() == 1 || parameters.empty()) return;
  NoGrad off;
  std::vector<Tensor> parts;  // each gradient, then for each parameter whether it has one
  std::vector<double> has;
  for (const Tensor& p : parameters) {
    parts.push_back(flatten(p.grad().defined() ? p.grad() : zeros_like(p)));
    has.push_back(p.grad().defined());
  }
  parts.push_back(to(from_vector(has), parts[0].dtype()));
  Tensor joined = contiguous(cat(parts, 0));
  processes->all_reduce(joined);
  std::vector<double> have =
      to_vector(narrow(joined, 0, joined.numel() - static_cast<int64_t>(has.size()), static_cast<int64_t>(has.size())));
  int64_t at = 0;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Tensor& p = parameters[i];
    if (have[i] > 0) p.set_grad(clone(reshape(narrow(joined, 0, at, p.numel()), p.shape())));
    at += p.numel();
  }
}

}  // namespace plumb::parallel
