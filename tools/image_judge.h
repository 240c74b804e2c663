// How good drawn images are, told by a classifier that was trained apart.
#pragma once
#include <string>

#include "models/train/trainer.h"
#include "tools/image_classifier.h"
#include "tools/labelled_images.h"

namespace plumb::tools {

/// A finished run of `train classifier`. Images are [n, C, H, W] in [0, 1], any number of them.
class ImageJudge {
 public:
  explicit ImageJudge(const std::string& run);
  /// What its last layer reads, or its logits where it has no features of its own: [n, features].
  Tensor features(const Tensor& images) const;
  /// The class of each image, i64 [n].
  Tensor answers(const Tensor& images) const;

 private:
  explicit ImageJudge(const train::RunDirectory& directory);
  ImageClassifier classifier_;
};

/// All images of a data set, [n, C, H, W].
Tensor all_images(const data::Dataset& images);

/// Precision, recall, density and coverage of the samples' features among as many test images' (Kynkäänniemi et al. 2019, Naeem et al.
/// 2020), the Fréchet distance between the two ("frechet") and between test and training images ("frechet_of_real"), and the share of
/// samples that lie nearer to a training image than all but a hundredth of the test images do ("copies").
train::Measures measure_samples(const ImageJudge& judge, const LabelledImages& data, const Tensor& samples);

}  // namespace plumb::tools
