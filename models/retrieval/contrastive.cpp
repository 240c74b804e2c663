// The ranking loss, gradient caching by recomputation, and search in blocks.
#include "models/retrieval/contrastive.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/checkpoint.h"
#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::retrieval {
namespace {

constexpr double kLargestScale = 100;

void check_widths(const char* op, const Tensor& queries, const Tensor& documents) {
  if (queries.rank() != 2 || documents.rank() != 2 || queries.size(1) != documents.size(1))
    throw ShapeError(fmt::format("{}: takes queries [n, D] and documents [m, D], got {} and {}", op, to_string(queries.shape()),
                                 to_string(documents.shape())));
}

void check_directions(const char* what, const Tensor& rows) {
  NoGrad off;
  std::vector<double> length = to_vector(norm(rows.detach(), 2, {1}));
  for (size_t i = 0; i < length.size(); ++i)
    if (!(length[i] > 0 && std::isfinite(length[i])))
      throw ValueError(fmt::format("ranking_info_nce: {} {} has no direction, its length is {}", what, i, length[i]));
}

void check_labels(const Tensor& label, int64_t queries, int64_t documents, const Tensor& allowed) {
  if (label.rank() != 1 || label.size(0) != queries)
    throw ShapeError(fmt::format("ranking_info_nce: labels must be [{}], they are {}", queries, to_string(label.shape())));
  std::vector<int64_t> l = to_vector<int64_t>(label);
  for (size_t i = 0; i < l.size(); ++i)
    if (l[i] < 0 || l[i] >= documents)
      throw IndexError(fmt::format("ranking_info_nce: label {} of query {} is outside [0, {})", l[i], i, documents));
  if (!allowed.defined()) return;
  if (allowed.dtype() != boolean || allowed.shape() != Shape{queries, documents})
    throw ShapeError(
        fmt::format("ranking_info_nce: allowed must be bool [{}, {}], it is {}", queries, documents, to_string(allowed.shape())));
  std::vector<int64_t> a = to_vector<int64_t>(allowed);
  for (size_t i = 0; i < l.size(); ++i)
    if (!a[i * static_cast<size_t>(documents) + static_cast<size_t>(l[i])])
      throw ValueError(fmt::format("ranking_info_nce: the document {} of query {} itself is not allowed", l[i], i));
}

}  // namespace

Tensor ranking_info_nce(const Tensor& queries, const Tensor& documents, const Tensor& label, const RankingLossOptions& o) {
  check_widths("ranking_info_nce", queries, documents);
  if (!(o.scale > 0 && std::isfinite(o.scale)))
    throw ValueError(fmt::format("ranking_info_nce: the scale must be positive, it is {}", o.scale));
  if (o.log_scale.defined() && o.log_scale.numel() != 1)
    throw ShapeError(fmt::format("ranking_info_nce: log_scale must be one number, it is {}", to_string(o.log_scale.shape())));
  check_labels(label, queries.size(0), documents.size(0), o.allowed);
  check_directions("query", queries);
  check_directions("document", documents);
  Tensor cosines = cosine_matrix(queries, documents);
  Tensor logits = o.log_scale.defined() ? cosines * clamp_max(exp(o.log_scale), kLargestScale) : cosines * o.scale;
  if (o.allowed.defined()) logits = masked_fill(logits, logical_not(o.allowed), -INFINITY);
  Tensor loss = cross_entropy(logits, label);
  if (!o.bidirectional) return loss;
  std::vector<int64_t> own;
  for (int64_t i = 0; i < queries.size(0); ++i) own.push_back(i);
  return (loss + cross_entropy(mT(index_select(logits, 1, label)), from_vector(own))) * 0.5;
}

Tensor cached_embeddings(int64_t rows, int64_t chunk, const std::function<Tensor(int64_t begin, int64_t end)>& encode) {
  if (rows < 1 || chunk < 1)
    throw ValueError(fmt::format("cached_embeddings: {} rows in chunks of {}; both must be at least 1", rows, chunk));
  std::vector<Tensor> parts;
  for (int64_t begin = 0; begin < rows; begin += chunk) {
    int64_t end = std::min(rows, begin + chunk);
    parts.push_back(checkpoint([encode, begin, end]() -> Tensor { return encode(begin, end); }));
  }
  return cat(parts, 0);
}

Tensor cosine_matrix(const Tensor& queries, const Tensor& documents) {
  check_widths("cosine_matrix", queries, documents);
  return matmul(normalize(queries), mT(normalize(documents)));
}

ValuesAndIndices nearest_documents(const Tensor& queries, const Tensor& documents, int64_t k, int64_t block) {
  check_widths("nearest_documents", queries, documents);
  int64_t m = documents.size(0);
  if (k < 1 || k > m || block < 1)
    throw ValueError(fmt::format(
        "nearest_documents: the {} nearest of {} documents, {} at once; k must be in [1, {}], the block at least 1", k, m, block, m));
  NoGrad off;
  Tensor q = normalize(queries), value, index;
  for (int64_t begin = 0; begin < m; begin += block) {
    int64_t length = std::min(block, m - begin);
    auto [v, i] = topk(matmul(q, mT(normalize(narrow(documents, 0, begin, length)))), std::min(k, length));
    i = i + begin;
    value = value.defined() ? cat({value, v}, 1) : v;  // what was found before stands first, so that the earlier of equal ones stays
    index = index.defined() ? cat({index, i}, 1) : i;
    if (value.size(1) > k) {
      auto [best, place] = topk(value, k);
      index = gather(index, 1, place);
      value = best;
    }
  }
  return {value, index};
}

}  // namespace plumb::retrieval
