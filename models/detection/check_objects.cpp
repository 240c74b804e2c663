// Checks of true boxes, on the host.
#include "models/detection/check_objects.h"

#include <fmt/format.h>

#include <cmath>

namespace plumb::detection {

void check_objects(const char* op, const Objects& objects, int64_t classes, double height, double width) {
  const Shape &b = objects.boxes.shape(), &c = objects.classes.shape();
  if (b.rank() != 3 || b[2] != 4 || c != Shape{b[0], b[1]})
    throw ShapeError(fmt::format("{}: boxes {} and classes {} do not fit [B, K, 4] and [B, K]", op, to_string(b), to_string(c)));
  std::vector<double> box = to_vector(objects.boxes);
  std::vector<int64_t> kind = to_vector<int64_t>(objects.classes);
  constexpr double kSlack = 1e-3;
  for (size_t i = 0; i < kind.size(); ++i) {
    if (kind[i] < -1 || kind[i] >= classes)
      throw IndexError(fmt::format("{}: class {} is outside [0, {}), and not −1 for no object", op, kind[i], classes));
    if (kind[i] < 0) continue;
    const double* e = &box[4 * i];
    auto named = [&](const char* what) {
      return ValueError(
          fmt::format("{}: box [{:g}, {:g}, {:g}, {:g}] of image {} {}", op, e[0], e[1], e[2], e[3], i / static_cast<size_t>(b[1]), what));
    };
    if (!(std::isfinite(e[0]) && std::isfinite(e[1]) && std::isfinite(e[2]) && std::isfinite(e[3]))) throw named("is not finite");
    if (!(e[2] > e[0] && e[3] > e[1])) throw named("has no width or height");
    if (e[0] < -kSlack || e[1] < -kSlack || e[2] > width + kSlack || e[3] > height + kSlack)
      throw named(fmt::format("reaches outside the image of {:g} × {:g}", width, height).c_str());
  }
}

}  // namespace plumb::detection
