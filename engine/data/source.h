// What stands behind a Dataset: for writing a new kind of data set. Using one needs dataset.h only.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/generator.h"
#include "engine/data/sample.h"

namespace plumb::data {

/// 64 bits that depend on both numbers and look like neither: how seeds are derived from seeds.
constexpr uint64_t mix(uint64_t a, uint64_t b) {
  auto w = philox(a, b, 0x6d6978);
  return (uint64_t{w[0]} << 32) | w[1];
}

/// All that an example may depend on besides its place. Random transforms and orders are functions of it, never of threads or time.
struct Draw {
  uint64_t seed = 0;  ///< of the random transforms
  int64_t epoch = 0;
  int64_t repeat = 0;  ///< tells apart several uses of one example within an epoch
};
/// One example that is asked for.
struct Pick {
  int64_t at = 0;
  Draw draw;
};

/// Fields of examples that differ in shape, and the value to fill them up with.
using Padding = std::vector<std::pair<std::string, Scalar>>;

/// A file that a data set was read from, and the SHA-256 of its bytes in hex.
struct SourceHash {
  std::string path, sha256;
};

/// A finite sequence of examples. All members may be called from several threads at once.
class Source {
 public:
  virtual ~Source() = default;
  virtual int64_t size() const = 0;
  /// The example; its tensors are the caller's to change. pick.at lies in [0, size()).
  virtual Sample get(const Pick& pick) const = 0;
  /// Those examples as one batch. Sources that keep their examples together override this with plain copies.
  virtual Batch gather(std::span<const Pick> picks, const Padding& padding) const;
  /// The label of example `at`, without its other fields where that is cheaper.
  virtual int64_t label(int64_t at) const;
  /// Sample::index of every example is in [0, index_limit()).
  virtual int64_t index_limit() const { return size(); }
  /// Transforms on top of each other: each draws from a stream of its own.
  virtual uint64_t transforms() const { return 0; }
  /// Equal for sources that give the same examples in the same order; tells a resumed run that its data changed.
  virtual uint64_t fingerprint() const { return static_cast<uint64_t>(size()); }
  virtual std::vector<SourceHash> source_hashes() const { return {}; }
};
using SourcePtr = std::shared_ptr<const Source>;

/// Stacks each field over the examples. Fields named in `padding` may differ in their sizes: they are filled up to the largest, and a
/// field "<name>_length" (i64 [B]) tells the size of each example's first dimension. Throws ValueError for no examples or a field that
/// some lack, DTypeError or ShapeError for one that differs.
Batch stack(std::span<const Sample> samples, const Padding& padding = {});

/// A copy with its own elements, row-major.
Tensor copy_of(const Tensor& x);

}  // namespace plumb::data
