// Stick figures: small bodies of eight joints whose places are known exactly, for pose estimation.
#pragma once
#include <array>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods {

inline constexpr int64_t kFigureJoints = 8;
/// head, neck, left hand, right hand, left hip, right hip, left foot, right foot: left and right of the picture, in the figure's own
/// upright frame.
const std::array<const char*, kFigureJoints>& figure_joint_names();
/// The joint that takes each one's place in a mirrored picture.
inline constexpr std::array<int64_t, kFigureJoints> kMirroredJoint = {0, 1, 3, 2, 5, 4, 7, 6};

struct FigureOptions {
  int64_t size = 32;                      ///< height and width in pixels
  double min_torso = 5, max_torso = 7.5;  ///< pixels from neck to hips, for 32 pixels
  double degrees = 30;                    ///< the whole figure is turned by up to so much either way
  int64_t stray = 3;                      ///< segments that belong to nobody
  int64_t blocks = 1;                     ///< at most so many rectangles in front
  double background = 0.4;                ///< what pictures are multiplied by
  double noise = 0.05;
};

struct Figures {
  Tensor images;  ///< f32 [n, 1, size, size] in [0, 1]
  Tensor joints;  ///< f32 [n, 8, 3]: x, y (the pixel in row r and column c is at (c, r)) and 1 within the image, else 0
  Tensor area;    ///< f32 [n]: of the smallest box about the joints, in pixels²
};

/// n figures on pictures from `backgrounds` [m, 1, H, W]; what is drawn comes from the generator. Throws ValueError for options out of
/// range, ShapeError for other backgrounds.
Figures stick_figures(int64_t n, const Tensor& backgrounds, const FigureOptions& options, Generator& generator);

}  // namespace plumb::methods
