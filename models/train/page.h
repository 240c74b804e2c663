// The page that shows runs: the same one live, from a server, and frozen into one file.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "models/train/run_view.h"

namespace plumb::train {

/// A file of the live page: "board.css", "chart.js" or "board.js"; empty for another name.
std::string_view page_part(std::string_view name);
/// The live page, which asks its server for /data and /histograms/N.
std::string live_page();
/// One file that shows `runs` overlaid, without anything loaded from elsewhere. Its own policy forbids the browser to ask anybody for
/// anything.
std::string frozen_page(const std::string& title, const std::vector<RunView>& runs);

}  // namespace plumb::train
