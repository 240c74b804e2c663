// Makes text from untrusted files safe to print.
#pragma once
#include <string>

namespace plumb::tools {

/// `text` with a space for every control character (ASCII's, and U+0080 to U+009F): none moves the cursor, makes a line or gives an order.
std::string printable(std::string text);

}  // namespace plumb::tools
