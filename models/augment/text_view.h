// Changes to sentences as views of batches of tokens, as consistency training wants them.
#pragma once
#include <functional>

#include "models/augment/rand_augment.h"
#include "models/augment/text.h"

namespace plumb::augment {

/// Rows of tokens i64 [B, T] on the CPU, filled up at the end with `padding`, each taken as a sentence without its padding and changed; a
/// longer result is cut at T, a shorter one filled up. Throws ShapeError or DTypeError for another tensor, ValueError for a padding within
/// a sentence.
Tensor change_words(const Tensor& tokens, const std::function<Sentence(const Sentence&, Generator&)>& change, int64_t padding,
                    Generator& generator);
/// change_words as a view.
View word_view(std::function<Sentence(const Sentence&, Generator&)> change, int64_t padding = 0);

/// The words of a batch, without padding.
std::vector<Sentence> sentences_of(const Tensor& tokens, int64_t padding = 0);
/// [sentences, length], the last `length` words of each, filled up at the end with `padding`. Throws ValueError for length < 1.
Tensor padded_tokens(const std::vector<Sentence>& sentences, int64_t length, int64_t padding = 0);

}  // namespace plumb::augment
