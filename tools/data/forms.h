// Turning what a publisher serves into what is stored.
#pragma once
#include <string>
#include <string_view>

#include "tools/data/catalogue.h"

namespace plumb::tools {

/// `text` in the form in which tables are stored: a line a row, commas between columns, no header, target last. `name` is for errors.
/// Throws IoError if a row has too few columns.
std::string stored_form(std::string_view text, Form form, const std::string& name);

}  // namespace plumb::tools
