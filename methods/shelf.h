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
  std::string_view stored_results;  ///< its results.json, gzipped; empty if none is stored
};

/// All methods and their further experiments, by family, then slug.
std::span<const Method> shelf();
/// The method whose further experiment this is, or null for a method itself. A method's second experiment lies beside it in a folder
/// <slug>_<what>: uda_reviews is one of uda.
const Method* method_of(const Method& entry);
/// How many methods there are, further experiments not counted.
int64_t count_methods();
/// Throws ConfigError for a slug that is not on the shelf, with the closest one that is.
const Method& find_method(std::string_view slug);

}  // namespace plumb::methods
