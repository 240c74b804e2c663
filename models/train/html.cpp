// The frame that all pages share.
#include "models/train/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace plumb::train {
namespace {

constexpr const char* kStyle =
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:800px;padding:0 1rem;color:#222;background:#fff}"
    "svg{width:100%;height:auto;margin:1rem 0}svg text{font:11px system-ui,sans-serif}"
    ".title{font-weight:600;font-size:13px}.grid{stroke:#e6e6e6}table{border-collapse:collapse}td{padding:.1rem 1.2rem .1rem "
    "0;vertical-align:top}"
    "td:first-child{color:#666}pre{background:#f6f6f4;padding:1rem;white-space:pre-wrap;overflow-wrap:anywhere}"
    ".wide{overflow-x:auto}.wide table{font-size:13px;white-space:nowrap}.wide th{text-align:right;padding:.1rem 1.2rem .3rem "
    "0;border-bottom:1px solid #ccc}"
    ".wide td{text-align:right}.wide .text{text-align:left;white-space:normal;min-width:8rem}.wide th:first-child,.wide "
    "td:first-child{text-align:left;color:#222}.about{color:#666}"
    "figure{display:inline-block;margin:.5rem 1rem .5rem 0}figure "
    "img{max-width:100%;image-rendering:pixelated}figcaption{color:#666;font-size:13px}";

std::string base64(std::string_view bytes) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    size_t left = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (k < left ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) text.push_back(k <= left ? kLetters[group >> (18 - 6 * k) & 63] : '=');
  }
  return text;
}

}  // namespace

std::string escape_html(const std::string& text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string html_page(const std::string& title, const std::string& body) {
  return fmt::format(
      "<!doctype html><html lang='en'><meta charset='utf-8'><title>{0}</title><style>{1}</style>\n<h1>{0}</h1>\n{2}</html>\n",
      escape_html(title), kStyle, body);
}

std::string png_address(std::string_view png) { return "data:image/png;base64," + base64(png); }

std::string html_picture(const std::string& caption, std::string_view png) {
  return fmt::format("<figure><img alt='{0}' src='{1}'><figcaption>{0}</figcaption></figure>\n", escape_html(caption), png_address(png));
}

}  // namespace plumb::train
