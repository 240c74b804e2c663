// Grouped products and sums: an expert's first layer in a mixture of 8, with even loads, and with loads that rise from 1 to 15
// sixty-fourths of the rows. Beside them what they stand for: one product a segment ("plain"). A shape is rows x inputs x outputs - loads.
#include "bench/suite.h"
#include "ops/create.h"
#include "ops/grouped_matmul.h"
#include "ops/matmul.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::bench;

namespace {

constexpr int64_t kExperts = 8;

struct Case {
  int64_t rows, in, out;
  bool uneven;
  std::string name() const { return dims({rows, in, out}) + (uneven ? "-uneven" : "-even"); }
};

struct Operands {
  Tensor x, weight, slope;  // [rows, in], [E, out, in], [rows, out]
  std::vector<int64_t> offsets;
  Operands(const Case& c, DType type)
      : x(normal({c.rows, c.in}, type)), weight(normal({kExperts, c.out, c.in}, type)), slope(normal({c.rows, c.out}, type)) {
    for (int64_t e = 0; e <= kExperts; ++e) offsets.push_back(c.uneven ? c.rows * e * e / (kExperts * kExperts) : c.rows * e / kExperts);
  }
  Tensor on_device() const { return to(from_vector(offsets), device()); }
};

std::function<void()> one_by_one(const Case& c) {
  Operands o(c, f32);
  return [=] {
    for (int64_t e = 0; e < kExperts; ++e) {
      auto place = static_cast<size_t>(e);
      linear(slice(o.x, 0, o.offsets[place], o.offsets[place + 1]), select(o.weight, 0, e));
    }
  };
}

const bool registered = suite([] {
  for (DType type : types())
    for (const Case& c : {Case{sized(32768, 4096), sized(768, 256), sized(3072, 1024), false},
                          {sized(32768, 4096), sized(768, 256), sized(3072, 1024), true},
                          {1536, 128, 256, false},
                          {1536, 128, 256, true}}) {
      double size = static_cast<double>(item_size(type));
      Work work{size * static_cast<double>(c.rows * (c.in + c.out) + kExperts * c.in * c.out),
                2 * static_cast<double>(c.rows) * static_cast<double>(c.in * c.out)};
      row("grouped_linear", c.name(), type, "plumb", work, [=] {
        Operands o(c, type);
        Tensor offsets = o.on_device();
        return [=] { grouped_linear(o.x, o.weight, {}, offsets); };
      });
      row("grouped_outer", c.name(), type, "plumb", work, [=] {
        Operands o(c, type);
        Tensor offsets = o.on_device();
        return [=] { grouped_outer(o.slope, o.x, offsets); };
      });
      const Work sum{size * static_cast<double>(c.rows * c.out), static_cast<double>(c.rows * c.out)};
      row("grouped_sum", c.name(), type, "plumb", sum, [=] {
        Operands o(c, type);
        Tensor offsets = o.on_device();
        return [=] { grouped_sum(o.slope, offsets); };
      });
      if (type == f32) row("grouped_linear", c.name(), f32, "plain", work, [c] { return one_by_one(c); });
    }
});

}  // namespace
