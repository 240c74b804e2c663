// Characters as tokens: one for each Unicode code point of the text that the vocabulary was made from.
#pragma once
#include "engine/io/tokenizer.h"

namespace plumb {

/// The code points that occur in `text`, ascending. Throws ValueError if it is empty or not UTF-8.
std::vector<uint32_t> learn_characters(std::string_view text);
/// Token i is vocabulary[i]; the code points must differ.
std::shared_ptr<const TokenizerModel> make_characters(const std::vector<uint32_t>& vocabulary);

}  // namespace plumb
