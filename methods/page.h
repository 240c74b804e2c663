// The page of an experiment: its table, its curves, its pictures; and the index of all of them.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "methods/results.h"
#include "methods/shelf.h"

namespace plumb::methods {

/// Where the picture called `title` of `variant` lies within a run's directory: "pictures/variant--title.png", in letters that file systems
/// take.
std::string picture_file(const std::string& variant, const std::string& title);

/// One page without scripts or links that opens anywhere; `directory` is where pictures are looked for, empty for none.
std::string experiment_page(const Method& method, const Results& results, const std::string& directory = "");

/// The index of stored results: families, claims, effects, and every method's table and curves.
std::string index_page(const std::vector<std::pair<const Method*, Results>>& stored);

}  // namespace plumb::methods
