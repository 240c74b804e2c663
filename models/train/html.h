// Pages that open anywhere: one file, without scripts or anything loaded from elsewhere.
#pragma once
#include <string>
#include <string_view>

namespace plumb::train {

/// The text with &, <, > and quotes as HTML entities.
std::string escape_html(const std::string& text);
/// A whole page around `body`, which is HTML; the title is text and is also the page's heading.
std::string html_page(const std::string& title, const std::string& body);
/// A PNG's bytes as an address that holds them: data:image/png;base64,…
std::string png_address(std::string_view png);
/// A figure that holds the PNG's bytes, so that the page can be sent alone.
std::string html_picture(const std::string& caption, std::string_view png);

}  // namespace plumb::train
