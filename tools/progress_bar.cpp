// Draws the progress bar.
#include "tools/progress_bar.h"

#include <memory>
#include <optional>

#include "models/train/progress.h"

namespace plumb::tools {

ProgressFunction progress_bar(const std::string& title, const std::string& unit) {
  auto bar = std::make_shared<std::optional<train::Progress>>();
  return [=](int64_t done, int64_t total) {
    if (!*bar) bar->emplace(title, total, 0, 0);
    (*bar)->update(done, unit);
    if (done == total) bar->reset();
  };
}

}  // namespace plumb::tools
