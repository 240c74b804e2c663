// Attention by cuDNN: both slots, for 16-bit types. The library fuses graphs of a fixed pattern, which is what is built here: scores, their
// masks by comparing indices, softmax with its log-sum-exp, the second product; and backward the formulas of ops/attention.cpp. Backward,
// the gradient of the scores is stored between two kernels, since sums of dq by atomic additions would come in another order each time.
// What the library has no plan for is own kernels' (cuda/kernels/attention.cu).
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <memory>

#include "cuda/kernels/attention.h"
#include "cuda/libraries/cudnn_graph.h"
#include "cuda/libraries/library_handles.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"
#include "ops/kernels/attention_choice.h"

namespace plumb::cuda_backend {
namespace {

constexpr double kLargeWork = 1e9;  // operations of a forward pass, from which on the library saves 40 μs forward and backward, and more
constexpr int64_t kStoredScores = int64_t{512} << 20;  // bytes of gradients of scores at once
constexpr size_t kWorkspaceLimit = size_t{1} << 30;
constexpr size_t kOldestVersion = 91002;  // earlier ones are known to err

struct Problem {
  AttentionPlan plan;
  cudnnDataType_t type;
  int64_t batch, heads, groups, queries, keys, width, values;

  Problem(const AttentionPlan& p, const Tensor& q, const Tensor& k, const Tensor& v)
      : plan(p),
        type(q.dtype() == bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF),
        batch(q.size(0)),
        heads(q.size(1)),
        groups(k.size(1)),
        queries(q.size(2)),
        keys(k.size(2)),
        width(q.size(3)),
        values(v.size(3)) {}
  FourSizes scores() const { return {batch, heads, queries, keys}; }
  FourSizes rows() const { return {batch, heads, queries, 1}; }
};

// -- graphs: their tensors in memory are made first, in the order of the slot's arguments ----------------

FourSizes sizes_of(const Tensor& x) { return {x.size(0), x.size(1), x.size(2), x.size(3)}; }
FourSizes strides_of(const Tensor& x) { return {x.strides()[0], x.strides()[1], x.strides()[2], 1}; }
FourSizes turned(const FourSizes& x) { return {x[0], x[1], x[3], x[2]}; }
FourSizes dense(const FourSizes& n) { return {n[1] * n[2] * n[3], n[2] * n[3], n[3], 1}; }

CudnnTensor heads_in_memory(CudnnGraph& g, const Problem& p, const Tensor& x) { return g.memory(sizes_of(x), strides_of(x), p.type); }
CudnnTensor turned_in_memory(CudnnGraph& g, const Problem& p, const Tensor& x) {
  return g.memory(turned(sizes_of(x)), turned(strides_of(x)), p.type);
}
CudnnTensor rows_in_memory(CudnnGraph& g, const Problem& p) { return g.memory(p.rows(), dense(p.rows()), CUDNN_DATA_FLOAT); }

// Scores with −inf where query i may not see key j: where j > i + S − T, and with a window where j ≤ i + S − T − window.
CudnnTensor visible(CudnnGraph& g, const Problem& p, CudnnTensor x) {
  if (!p.plan.causal) return x;
  const FourSizes n = p.scores();
  const CudnnTensor nothing = g.number(-std::numeric_limits<float>::infinity());
  CudnnTensor query = g.index(x, 2), key = g.index(x, 3);
  if (p.keys != p.queries) {
    query =
        g.pointwise(CUDNN_POINTWISE_ADD, query, g.number(static_cast<int32_t>(p.keys)), g.between(n, CUDNN_DATA_INT32), CUDNN_DATA_INT32);
    query = g.pointwise(CUDNN_POINTWISE_SUB, query, g.number(static_cast<int32_t>(p.queries)), g.between(n, CUDNN_DATA_INT32),
                        CUDNN_DATA_INT32);
  }
  CudnnTensor seen = g.pointwise(CUDNN_POINTWISE_CMP_GE, query, key, g.between(n, CUDNN_DATA_BOOLEAN), CUDNN_DATA_BOOLEAN);
  x = g.select(seen, x, nothing, g.between(n));
  if (p.plan.window == 0) return x;
  query = g.index(x, 2), key = g.index(x, 3);
  const CudnnTensor shift = g.number(static_cast<float>(p.plan.window - p.keys + p.queries));
  key = g.pointwise(CUDNN_POINTWISE_ADD, key, shift, g.between(n));
  seen = g.pointwise(CUDNN_POINTWISE_CMP_GT, key, query, g.between(n, CUDNN_DATA_BOOLEAN), CUDNN_DATA_BOOLEAN);
  return g.select(seen, x, nothing, g.between(n));
}

CudnnGraph forward_graph(const Problem& p, const Tensor& q_, const Tensor& k_, const Tensor& v_, const Tensor& out_) {
  CudnnGraph g;
  const CudnnTensor q = heads_in_memory(g, p, q_), k = turned_in_memory(g, p, k_), v = heads_in_memory(g, p, v_),
                    out = heads_in_memory(g, p, out_), lse = rows_in_memory(g, p);
  const FourSizes n = p.scores(), rows = p.rows();
  CudnnTensor x = g.matmul(q, k, g.between(n));
  x = g.pointwise(CUDNN_POINTWISE_MUL, x, g.number(static_cast<float>(p.plan.scale)), g.between(n));
  x = visible(g, p, x);
  const CudnnTensor most = g.reduce(CUDNN_REDUCE_TENSOR_MAX, x, g.between(rows));
  x = g.pointwise(CUDNN_POINTWISE_SUB, x, most, g.between(n));
  x = g.pointwise(CUDNN_POINTWISE_EXP, x, g.between(n));
  const CudnnTensor sum = g.reduce(CUDNN_REDUCE_TENSOR_ADD, x, g.between(rows));
  g.pointwise(CUDNN_POINTWISE_ADD, most, g.pointwise(CUDNN_POINTWISE_LOG, sum, g.between(rows)), lse);
  x = g.pointwise(CUDNN_POINTWISE_DIV, x, sum, g.between(n, p.type));
  g.matmul(x, v, out);
  return g;
}

// y = xᵀ rows for each head, summed over the heads of a group.
void sum_over_queries(CudnnGraph& g, const Problem& p, const CudnnTensor& x, const CudnnTensor& rows, const CudnnTensor& y) {
  const FourSizes n = p.scores(), turned_strides = turned(dense(n));
  const CudnnTensor xt = g.reshape(x, g.between(turned(n), turned_strides, p.type));
  if (p.heads == p.groups) {
    g.matmul(xt, rows, y);
    return;
  }
  g.reduce(CUDNN_REDUCE_TENSOR_ADD, g.matmul(xt, rows, g.between({p.batch, p.heads, p.keys, y.sizes[3]}, p.type)), y);
}

CudnnGraph backward_graph(const Problem& p, const Tensor& q_, const Tensor& k_, const Tensor& v_, const Tensor& out_, const Tensor& dout_,
                          const Tensor& dq_, const Tensor& dk_, const Tensor& dv_) {
  CudnnGraph g;
  const CudnnTensor q = heads_in_memory(g, p, q_), k = turned_in_memory(g, p, k_), v = turned_in_memory(g, p, v_),
                    out = heads_in_memory(g, p, out_), lse = rows_in_memory(g, p), dout = heads_in_memory(g, p, dout_),
                    dq = heads_in_memory(g, p, dq_), dk = heads_in_memory(g, p, dk_), dv = heads_in_memory(g, p, dv_),
                    sums = rows_in_memory(g, p);
  const FourSizes n = p.scores();
  const CudnnTensor scale = g.number(static_cast<float>(p.plan.scale)), one = g.number(1.0f);
  CudnnTensor x = g.pointwise(CUDNN_POINTWISE_MUL, dout, out, g.between({p.batch, p.heads, p.queries, p.values}));
  x = g.reduce(CUDNN_REDUCE_TENSOR_ADD, x, g.between(p.rows()));
  g.pointwise(CUDNN_POINTWISE_MUL, x, one, sums);
  x = g.matmul(q, k, g.between(n));
  x = g.pointwise(CUDNN_POINTWISE_MUL, x, scale, g.between(n));
  x = g.pointwise(CUDNN_POINTWISE_SUB, x, lse, g.between(n));
  x = visible(g, p, x);
  const CudnnTensor weights = g.pointwise(CUDNN_POINTWISE_EXP, x, g.between(n));
  sum_over_queries(g, p, weights, dout, dv);
  x = g.matmul(dout, v, g.between(n));
  x = g.pointwise(CUDNN_POINTWISE_SUB, x, sums, g.between(n));
  x = g.pointwise(CUDNN_POINTWISE_MUL, x, weights, g.between(n));
  const CudnnTensor dscores = g.pointwise(CUDNN_POINTWISE_MUL, x, scale, g.between(n));
  sum_over_queries(g, p, dscores, q, dk);
  const CudnnTensor keys = g.reshape(k, g.between(sizes_of(k_), strides_of(k_), p.type));
  g.matmul(dscores, keys, dq);
  return g;
}

// -- plans -----------------------------------------------------------------------------------------------

// Null where there is no plan, or no library.
template <typename Graph>
std::unique_ptr<CudnnPlan> made(const Graph& graph) {
  try {
    if (cudnnGetVersion() < kOldestVersion) return nullptr;
    return std::make_unique<CudnnPlan>(graph(), kWorkspaceLimit);
  } catch (const DeviceError&) { return nullptr; }
}

// The calling thread's plans, by everything that they depend on; null where the library has none.
template <typename Graph>
const CudnnPlan* plan_for(const Problem& p, bool backward, std::initializer_list<const Tensor*> tensors, const Graph& graph) {
  static thread_local auto* known = new std::map<std::vector<int64_t>, std::unique_ptr<CudnnPlan>>;
  std::vector<int64_t> key{current_device(), backward, p.type,   p.plan.causal, p.plan.window, std::bit_cast<int64_t>(p.plan.scale),
                           p.batch,          p.heads,  p.groups, p.queries,     p.keys,        p.width,
                           p.values};
  for (const Tensor* x : tensors)
    for (int64_t stride : strides_of(*x)) key.push_back(stride);
  auto [found, fresh] = known->try_emplace(std::move(key));
  if (fresh) found->second = made(graph);
  return found->second.get();
}

// The library reads rows in pieces of 16 bytes, from any element that has a row of its own, and counts with 32 bits.
bool readable(const Tensor& x) {
  int64_t last = 0;
  for (int d = 0; d < 3; ++d) {
    if (x.size(d) == 0 || (x.size(d) > 1 && x.strides()[d] <= 0)) return false;
    last += (x.size(d) - 1) * x.strides()[d];
  }
  return HeadRows<const uint16_t>(x).aligned(x.size(3)) && x.size(3) > 0 && last <= std::numeric_limits<int32_t>::max() - x.size(3);
}

// Whether a plan repays its making, which takes 80 ms forward and up to a second backward (an H100's host). Training has few shapes and
// many steps; one sequence of an uneven length is a prompt, and the next one has another length. By shapes alone, so that every run chooses
// alike.
bool repays_a_plan(const AttentionPlan& plan, const Tensor& q, const Tensor& k, const Tensor& v) {
  if (q.size(0) == 1 && (q.size(2) % 64 != 0 || k.size(2) % 64 != 0)) return false;
  const double scores = static_cast<double>(q.size(0) * q.size(1)) * static_cast<double>(q.size(2) * k.size(2));
  return (plan.causal ? 1 : 2) * scores * static_cast<double>(q.size(3) + v.size(3)) >= kLargeWork;
}

bool library_computes(const AttentionPlan& plan, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                      std::initializer_list<const Tensor*> others) {
  if (attention_choice() == AttentionChoice::own_kernels || item_size(q.dtype()) != 2 || mask.defined() || plan.dropout > 0) return false;
  if (q.size(2) <= kFewQueries || (plan.causal && q.size(2) > k.size(2))) return false;
  if (attention_choice() == AttentionChoice::automatic && !repays_a_plan(plan, q, k, v)) return false;
  for (const Tensor* x : {&q, &k, &v})
    if (!readable(*x)) return false;
  for (const Tensor* x : others)
    if (!readable(*x)) return false;
  return true;
}

void attention(const AttentionPlan& plan, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, Tensor& out, Tensor& lse) {
  const CudnnPlan* library = nullptr;
  if (library_computes(plan, q, k, v, mask, {&out})) {
    const Problem p(plan, q, k, v);
    library = plan_for(p, false, {&q, &k, &v, &out}, [&] { return forward_graph(p, q, k, v, out); });
  }
  if (!library) return own_attention(plan, q, k, v, mask, out, lse);
  library->run(std::array<const void*, 5>{q.raw_data(), k.raw_data(), v.raw_data(), out.raw_data(), lse.raw_data()});
}

// -- backward, in pieces ---------------------------------------------------------------------------------

struct Piece {
  int64_t image, images, group, groups;
};

// x[image : image + images, group · each : …], each = heads a group of x; for lse, of three dimensions, too.
Tensor part(const Tensor& x, const Piece& piece, int64_t groups) {
  const int64_t each = x.size(1) / groups;
  Shape shape = x.shape();
  shape[0] = piece.images, shape[1] = piece.groups * each;
  return view_of(x, shape, x.strides(), piece.image * x.strides()[0] + piece.group * each * x.strides()[1]);
}

void backward_of_piece(const AttentionPlan& plan, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out, const Tensor& lse,
                       const Tensor& dout, Tensor dq, Tensor dk, Tensor dv) {
  const Problem p(plan, q, k, v);
  const CudnnPlan* library =
      plan_for(p, true, {&q, &k, &v, &out, &dout, &dq, &dk, &dv}, [&] { return backward_graph(p, q, k, v, out, dout, dq, dk, dv); });
  if (!library) return own_attention_backward(plan, q, k, v, {}, out, lse, dout, dq, dk, dv);
  Scratch<float> sums(lse.numel());
  // The library is told of 16 bytes for all tensors; a piece's rows begin where those before it end.
  Scratch<float> moved(reinterpret_cast<uintptr_t>(lse.raw_data()) % 16 == 0 ? 0 : lse.numel());
  if (moved.data())
    check(cudaMemcpyAsync(moved.data(), lse.raw_data(), static_cast<size_t>(lse.numel()) * sizeof(float), cudaMemcpyDeviceToDevice,
                          current_stream()),
          "scaled_dot_product_attention");
  const void* log_sums = moved.data() ? moved.data() : lse.raw_data();
  library->run(std::array<const void*, 10>{q.raw_data(), k.raw_data(), v.raw_data(), out.raw_data(), log_sums, dout.raw_data(),
                                           dq.raw_data(), dk.raw_data(), dv.raw_data(), sums.data()});
}

// `count` in equal pieces of at most `most`.
int64_t piece_of(int64_t count, int64_t most) {
  const int64_t pieces = (count + most - 1) / most;
  return (count + pieces - 1) / pieces;
}

void attention_backward(const AttentionPlan& plan, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, const Tensor& out,
                        const Tensor& lse, const Tensor& dout, Tensor& dq, Tensor& dk, Tensor& dv) {
  if (!library_computes(plan, q, k, v, mask, {&out, &dout, &dq, &dk, &dv}))
    return own_attention_backward(plan, q, k, v, mask, out, lse, dout, dq, dk, dv);
  const int64_t batch = q.size(0), groups = k.size(1), tiles = ((q.size(2) + 63) / 64) * ((k.size(2) + 127) / 128);
  const int64_t of_group = q.size(1) / groups * tiles * 64 * 128 * 2;  // bytes, as the library stores them
  const int64_t images = piece_of(batch, std::max<int64_t>(1, kStoredScores / (groups * of_group)));
  const int64_t groups_at_once = images > 1 ? groups : piece_of(groups, std::max<int64_t>(1, kStoredScores / of_group));
  for (int64_t b = 0; b < batch; b += images)
    for (int64_t g = 0; g < groups; g += groups_at_once) {
      const Piece piece{b, std::min(images, batch - b), g, std::min(groups_at_once, groups - g)};
      auto of = [&](const Tensor& x) { return part(x, piece, groups); };
      backward_of_piece(plan, of(q), of(k), of(v), of(out), of(lse), of(dout), of(dq), of(dk), of(dv));
    }
}

}  // namespace

void register_cudnn_attention() {
  kernel::attention.set(DeviceType::cuda, attention);
  kernel::attention_backward.set(DeviceType::cuda, attention_backward);
}

}  // namespace plumb::cuda_backend
