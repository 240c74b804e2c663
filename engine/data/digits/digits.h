// Handwritten digits that are always there: a small set of real images carried inside the library.
#pragma once
#include "engine/data/parts.h"

namespace plumb::data {

/// 1,797 handwritten digits (Alpaydin and Kaynak 1998, CC BY 4.0; see ATTRIBUTION.md): image [1, 8, 8] f32, grey levels 0 … 16 divided by
/// 16, and label. train() and test() are a fixed stratified split into 80 % and 20 % (1,438 and 359 images); Sample::index is the place in
/// all().
DatasetParts digits();

}  // namespace plumb::data
