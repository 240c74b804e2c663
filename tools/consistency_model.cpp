// Settings, networks and samples of few-step generators.
#include "models/nn/placement.h"
#include "tools/consistency_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/autocast.h"
#include "engine/autograd/grad_mode.h"
#include "engine/io/sha256.h"
#include "models/diffusion/guidance.h"
#include "models/diffusion/time_mlp.h"
#include "models/nn/init.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tools/consistency_methods.h"
#include "tools/diffusion_model.h"
#include "tools/train/run_config.h"

namespace plumb::tools {

static constexpr auto fields = [](auto& r, auto&& f) {
  f("method", r.method), f("network", r.network), f("data", r.data), f("data_sha256", r.data_sha256), f("teacher", r.teacher),
      f("teacher_sha256", r.teacher_sha256);
  f("guidance", r.guidance), f("sigma_data", r.sigma_data), f("sigma_min", r.sigma_min), f("sigma_max", r.sigma_max), f("rho", r.rho),
      f("s0", r.s0), f("s1", r.s1), f("grid", r.grid);
  f("solver_steps", r.solver_steps), f("gamma", r.gamma), f("class_dropout", r.class_dropout), f("validation", r.validation),
      f("sample_steps", r.sample_steps);
  f("image", r.image), f("class_names", r.class_names);
};

ConsistencyRun::ConsistencyRun() {
  DiffusionRun unet;
  network = unet.network;
  training = unet.training;
  training.lr = 5e-4;
}

std::string ConsistencyRun::to_json() const { return run_json("consistency", *this, fields).text(); }

ConsistencyRun ConsistencyRun::from_json(const std::string& text) {
  ConsistencyRun run;
  read_run("consistency", text, run, fields);
  require_image_sizes(run.image);
  return run;
}

void ConsistencyRun::check() const {
  training.check();
  network.check();
  const ConsistencyMethod& known = consistency_method(method);
  require(!known.needs_teacher || !teacher.empty(), "--method " + method + " distils a teacher: give --teacher, a run of train unet");
  require(known.needs_teacher || teacher.empty(), "--teacher: --method " + method + " learns without one");
  require(grid.empty() || grid.size() >= 2, "--grid needs at least 2 noise levels");
  require(grid.empty() || grid[0] > 0, fmt::format("--grid: noise levels are positive, the first is {}", grid.empty() ? 0 : grid[0]));
  for (size_t i = 0; i + 1 < grid.size(); ++i)
    require(grid[i] < grid[i + 1], fmt::format("--grid must increase, {} is followed by {}", grid[i], grid[i + 1]));
  require(grid.empty() || method != "ctm", "--grid: ctm jumps along a Karras grid of --s1 intervals");
  require(sigma_min > 0 && sigma_max > sigma_min,
          fmt::format("--sigma-min {} and --sigma-max {} make no noise grid: its levels must increase from a positive one", sigma_min,
                      sigma_max));
  require(rho > 0, fmt::format("--rho must be positive, it is {}", rho));
  require(s0 >= 1 && s1 >= s0,
          fmt::format("--s0 {} and --s1 {}: the noise grid must have at least one interval and not fewer at the end", s0, s1));
  require(method != "ctm" || (solver_steps >= 1 && solver_steps <= s1),
          fmt::format("--solver-steps must lie in [1, {}], the intervals of the grid, it is {}", s1, solver_steps));
  try {
    known.check(*this);
  } catch (const ValueError& error) { throw ConfigError("--method " + method + ": " + error.what()); }
  require(gamma >= 0 && gamma <= 1, fmt::format("--gamma must lie in [0, 1], it is {}", gamma));
  require(guidance >= 0, fmt::format("--guidance must not be negative, it is {}", guidance));
  require(class_dropout >= 0 && class_dropout < 1, fmt::format("--class-dropout must lie in [0, 1), it is {}", class_dropout));
  require(validation > 0 && validation < 1, fmt::format("--validation must lie in (0, 1), it is {}", validation));
  require(sample_steps >= 1, fmt::format("--sample-steps must be at least 1, it is {}", sample_steps));
  require(!training.recompute, "--recompute: a U-Net keeps its blocks' inputs for the skips; choose a smaller batch or --accumulate");
  int64_t factor = int64_t{1} << (network.levels() - 1);
  if (image.size() == 3)
    require(image[1] % factor == 0 && image[2] % factor == 0,
            fmt::format("--multipliers: {} levels need images whose sides are multiples of {}, they are {}×{}", network.levels(), factor,
                        image[1], image[2]));
}

FewStepNetwork::FewStepNetwork(nn::Module* parent, std::string name, const unet::UnetConfig& config, bool second_time)
    : Module(parent, std::move(name)), unet_(this, "unet", config), labels_(std::make_shared<Tensor>()) {
  if (!second_time) return;
  end_.emplace(this, "end", 9, config.embedding_width(), nn::LinearOptions{.bias = false});
  nn::init::zeros(end_->weight);
}

Tensor FewStepNetwork::operator()(const Tensor& x, const Tensor& noise, const Tensor& end) const {
  unet::UnetInputs inputs;
  if (unet_.config().classes > 0) inputs.labels = *labels_;
  if (end_) inputs.embedding = (*end_)(diffusion::level_waves(end));
  return unet_(x, noise, inputs);
}

Tensor FewStepNetwork::last_weight() const {
  auto parameters = unet_.named_parameters();
  return std::ranges::find(parameters, "out.2.weight", &nn::NamedTensor::name)->tensor;
}

ConsistencyModel::ConsistencyModel(const ConsistencyRun& run)
    : student(this, "student", run.network, consistency_method(run.method).second_time) {
  if (!run.teacher.empty()) {
    auto directory = train::RunDirectory::open(run.teacher);
    student.unet().load_state(directory.load_model());
  }
  run.training.prepare(*this);
  if (!consistency_method(run.method).average) return;
  target.emplace(student);
  register_module("target", *target);
  target->requires_grad_(false);
}

std::vector<double> levels_of(const ConsistencyRun& run, const FewStepSampling& s) {
  require(s.steps >= 1, fmt::format("--steps must be at least 1, it is {}", s.steps));
  require(s.gamma >= 0 && s.gamma <= 1, fmt::format("--gamma must lie in [0, 1], it is {}", s.gamma));
  std::vector<double> levels = s.levels;
  if (levels.empty()) {
    levels = diffusion::karras_sigmas(s.steps + 1, run.sigma_min, run.sigma_max, run.rho);
    levels.pop_back();
    return levels;
  }
  require(levels[0] <= run.sigma_max && levels.back() > run.sigma_min,
          fmt::format("--levels must lie above {} and not above {}, the run's noise levels", run.sigma_min, run.sigma_max));
  for (size_t i = 0; i + 1 < levels.size(); ++i)
    require(levels[i + 1] < levels[i], fmt::format("--levels must descend, {} is followed by {}", levels[i], levels[i + 1]));
  return levels;
}

Tensor sample(const ConsistencyModel& model, const ConsistencyRun& run, const Tensor& labels, const FewStepSampling& sampling,
              Generator& generator, int64_t batch, const ProgressFunction& progress) {
  std::vector<double> levels = levels_of(run, sampling);
  NoGrad off;
  Autocast cast(run.training.autocast_type());
  std::vector<Tensor> parts;
  Tensor like = model.parameters()[0], wanted = nn::input_for(model, labels);
  for (int64_t i = 0; i < labels.size(0); i += batch) {
    Tensor some = narrow(wanted, 0, i, std::min(batch, labels.size(0) - i));
    Shape shape{some.size(0), run.image[0], run.image[1], run.image[2]};
    Tensor x = randn(shape, {.dtype = like.dtype(), .device = like.device(), .generator = &generator}) * levels[0];
    model.student.show(some);
    Tensor y = consistency_method(run.method).sample(run, model.student, x, levels, sampling.gamma, generator);
    parts.push_back(to(clamp((y + 1) * 0.5, 0, 1), cpu));
    if (progress) progress(i + some.size(0), labels.size(0));
  }
  return to(cat(parts), f32);
}

void adopt_teacher(ConsistencyRun& run, const std::string& path, const std::vector<int64_t>& image, int64_t classes) {
  auto directory = train::RunDirectory::open(path);
  std::string kind = kind_of(directory);
  require(kind == "unet", "--teacher " + path + " is a run of train " + kind + "; a teacher is a run of train unet");
  require(directory.finished(), "--teacher " + path + " is not finished; go on with it: train unet --resume " + path);
  DiffusionRun teacher = DiffusionRun::from_json(directory.config());
  require(teacher.image == image, fmt::format("--teacher {} draws images {}, those of --data are {}", path, to_string(Shape(teacher.image)),
                                              to_string(Shape(image))));
  require(teacher.network.classes == classes,
          fmt::format("--teacher {} knows {} classes, the student would know {}{}", path, teacher.network.classes, classes,
                      teacher.network.classes == 0 ? ": --unconditional?" : ""));
  require(!teacher.network.self_condition,
          "--teacher " + path + " sees its own last estimate (--self-condition), which a student of few steps does not have");
  run.teacher = path;
  run.teacher_sha256 = sha256_of_file(directory.file("model.safetensors"));
  run.network = teacher.network;
  run.sigma_data = teacher.sigma_data;
}

Teacher load_teacher(const ConsistencyRun& run) {
  if (run.teacher.empty()) return {};
  auto directory = train::RunDirectory::open(run.teacher);
  if (sha256_of_file(directory.file("model.safetensors")) != run.teacher_sha256)
    throw ConfigError(
        run.teacher +
        ", the teacher, has changed since the run began; a resumed run would not be the same. Restore it, or start a new run");
  auto settings = std::make_shared<DiffusionRun>(DiffusionRun::from_json(directory.config()));
  auto model = std::make_shared<DiffusionModel>(load_diffusion(directory, *settings));
  model->network().requires_grad_(false);
  return [model, guidance = run.guidance](const Tensor& labels) -> diffusion::Denoiser {
    diffusion::Denoiser plain = model->denoiser(labels);
    if (guidance != 1)
      plain = diffusion::classifier_free(plain, model->denoiser(cat({labels, full(labels.shape(), -1, i64, labels.device())})),
                                         {.scale = guidance});
    return [model, plain](const Tensor& x, const Tensor& sigma) { return plain(x, sigma); };
  };
}

ConsistencyModel load_consistency(const train::RunDirectory& directory, const ConsistencyRun& run) {
  ConsistencyRun alone = run;
  alone.teacher.clear();  // its weights are those trained
  ConsistencyModel model(alone);
  model.load_state(directory.load_model());
  model.eval();
  return model;
}

}  // namespace plumb::tools
