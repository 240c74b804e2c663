// The families' common tables: methods of one family on the same data, split and network, each an experiment of its own in
// methods/<family>/table/, found by the build by its place and kept apart from the shelf.
#pragma once
#include <string>

#include "methods/shelf.h"

namespace plumb::methods {

/// All of them, by family. Their slug, and the namespace of their experiment(), is "<family>_table"; the experiment names no method.
std::span<const Method> tables();
/// Throws ConfigError for a family without one, naming those that have.
const Method& find_table(std::string_view family);

/// Where a method or a table lies below methods/: "robust/elr", "semi_supervised/table".
std::string folder_of(const Method& method);

}  // namespace plumb::methods
