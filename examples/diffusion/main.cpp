// A diffusion model learns to draw digits (EDM: Karras et al. 2022): it sees images under noise of every level and says what was there;
// a solver then walks from pure noise to images. They are written to digits.png.
//   diffusion [steps] [picture]
#include <plumb/plumb.h>

#include <cstdio>
#include <cstdlib>

using namespace plumb;

int main(int argc, char** argv) try {
  const int steps = argc > 1 ? std::atoi(argv[1]) : 2000;
  const std::string picture = argc > 2 ? argv[2] : "digits.png";

  manual_seed(0);
  diffusion::TimeMlp network({.features = 64, .hidden = {256, 256, 256}});
  diffusion::EdmPrecondition edm(/*sigma_data=*/0.5);
  diffusion::Denoiser denoiser = [&](const Tensor& x, const Tensor& sigma) {
    return edm.denoise([&](const Tensor& scaled, const Tensor& noise) { return network(scaled, noise); }, x, sigma);
  };

  optim::Adam adam(network.parameters(), {.lr = 1e-3});
  optim::Ema<diffusion::TimeMlp> average(network);
  auto batches = data::digits().all().shuffle({.seed = 0}).batch(128);
  double mean_loss = 0;
  for (int step = 0; step < steps; ++step) {
    Tensor clean = batches.next().image - 0.5;  // [B, 1, 8, 8] in [−½, ½]
    Tensor sigma = diffusion::lognormal_sigmas(clean.size(0));
    Tensor loss = mean(diffusion::denoising_losses(denoiser, clean, randn_like(clean), sigma));
    mean_loss = step == 0 ? loss.item() : 0.95 * mean_loss + 0.05 * loss.item();  // one batch's loss is mostly chance
    if (step % 200 == 0 || step == steps - 1) std::printf("step %4d  loss %.4f\n", step, mean_loss);
    adam.zero_grad();
    loss.backward();
    adam.step();
    average.update(network, 0.995);
  }

  network = average.model;  // averaged weights draw better
  std::vector<double> levels = diffusion::karras_sigmas_to_zero(/*count=*/18, /*sigma_min=*/0.02, /*sigma_max=*/20);
  Tensor images = diffusion::sample(denoiser, randn({32, 1, 8, 8}) * levels[0], levels);
  save_png(picture, train::image_grid(images + 0.5));
  std::printf("32 drawn digits: %s\n", picture.c_str());
} catch (const Error& e) {
  std::fprintf(stderr, "diffusion: %s\n", e.what());
  return 2;
}
