// The shelf: every method in methods/<family>/<slug>/, found by the build by its place.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "methods/experiment.h"

namespace plumb::methods {

struct Method {
  std::string_view family, slug;
  Experiment (*experiment)();
  std::string_view stored_results;  ///< its results.json; empty if none is stored
};

/// All methods, by family, then slug.
std::span<const Method> shelf();
/// Throws ConfigError for a slug that is not on the shelf, with the closest one that is.
const Method& find_method(std::string_view slug);

}  // namespace plumb::methods
