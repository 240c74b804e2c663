// A bar for work that tells itself how far it has come: drawing, embedding, auditing.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace plumb::tools {

/// Told how much is done of how much; may be empty where nobody asks.
using ProgressFunction = std::function<void(int64_t done, int64_t total)>;

/// Draws a bar on standard error that counts `unit` (many of them) and ends when all are done. Where that is no terminal, nothing.
ProgressFunction progress_bar(const std::string& title, const std::string& unit);

}  // namespace plumb::tools
