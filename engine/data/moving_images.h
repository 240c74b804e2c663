// Made-up videos whose motion is known exactly: images that move over a canvas without ends.
#pragma once
#include "engine/data/dataset.h"

namespace plumb::data {

/// Where an image may move: one pixel a frame along one of four directions, or of eight.
enum class Directions : uint8_t { four, eight };

struct MovingOptions {
  int64_t frames = 6;
  int64_t side = 0;  ///< height and width of the canvas; 0: those of the image, which must be square
  Directions directions = Directions::four;
  int64_t speed = 1;          ///< pixels a frame
  bool random_start = false;  ///< the image begins anywhere on the canvas, else in its middle
  uint64_t seed = 0;
};

/// How far direction number d goes a frame, {down, right}: right, down, left, up, then the diagonals between them, each from one to the
/// next.
std::pair<int64_t, int64_t> step_of(int64_t direction);

/// n videos; video i shows image i mod |images| on a canvas of zeros, moved on by its velocity each frame; what leaves at one side comes in
/// at the other. What is drawn for it depends on (seed, i) alone. Fields:
///   video      [C, F, side, side] f32
///   label      the image's, where it has one
///   direction  i64, of its velocity
///   start      i64 [2], row and column of the image's corner in frame 0
/// Throws ValueError for options out of range or no images, and when an example is read, ShapeError for an image that is larger than the
/// canvas or, without a side, not square.
Dataset moving_images(const Dataset& images, int64_t n, MovingOptions options = {});

}  // namespace plumb::data
