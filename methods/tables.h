// The common tables: methods on the same data, split and network, each table an experiment of its own in
// methods/<family>/table_<name>/, found by the build by its place and kept apart from the shelf.
#pragma once
#include <string>

#include "methods/shelf.h"

namespace plumb::methods {

/// All of them, by family, then name. Their slug, and the namespace of their experiment(), is "<name>_table"; the experiment names no
/// method.
std::span<const Method> tables();
/// What `plumb run --table` calls it: "label_noise".
std::string_view name_of_table(const Method& table);
/// Throws ConfigError for a name that no table has, naming all.
const Method& find_table(std::string_view name);

/// Where a method or a table lies below methods/: "robust/elr", "robust/table_label_noise".
std::string folder_of(const Method& method);

}  // namespace plumb::methods
