// Stick figures on photographs, twenty with joints and many without: are hard views made of two complementary changes better than one or
// three, and two different ones better than one of them twice?
#include "methods/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "methods/common/scene_backgrounds.h"
#include "methods/common/stick_figures.h"
#include "methods/semi_supervised/multiaugs/multiaugs.h"
#include "models/nn/conv.h"
#include "models/nn/norm.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "models/train/image_grid.h"
#include "ops/activation.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::multiaugs {

Experiment experiment();

namespace {

constexpr double kStride = 2, kSigma = 1.5, kReach = 2;  // a joint is found within kReach pixels

// Four convolutions down to an eighth, two transposed ones up to a half, a map a joint.
struct SmallPoseNet : nn::Module {
  static constexpr int64_t kWidth = 32;
  nn::Conv2d conv1{this, "conv1", 1, 16, 3, {.padding = 1, .bias = false}};
  nn::BatchNorm2d bn1{this, "bn1", 16};
  nn::Conv2d conv2{this, "conv2", 16, kWidth, 3, {.stride = 2, .padding = 1, .bias = false}};
  nn::BatchNorm2d bn2{this, "bn2", kWidth};
  nn::Conv2d conv3{this, "conv3", kWidth, kWidth, 3, {.stride = 2, .padding = 1, .bias = false}};
  nn::BatchNorm2d bn3{this, "bn3", kWidth};
  nn::Conv2d conv4{this, "conv4", kWidth, kWidth, 3, {.stride = 2, .padding = 1, .bias = false}};
  nn::BatchNorm2d bn4{this, "bn4", kWidth};
  nn::ConvTranspose2d up1{this, "up1", kWidth, kWidth, 4, {.stride = 2, .padding = 1, .bias = false}};
  nn::BatchNorm2d bn5{this, "bn5", kWidth};
  nn::ConvTranspose2d up2{this, "up2", kWidth, kWidth, 4, {.stride = 2, .padding = 1, .bias = false}};
  nn::BatchNorm2d bn6{this, "bn6", kWidth};
  nn::Conv2d head{this, "head", kWidth, kFigureJoints, 1};
  Tensor operator()(const Tensor& images) const {
    Tensor x = relu(bn2(conv2(relu(bn1(conv1(images - 0.3))))));
    x = relu(bn4(conv4(relu(bn3(conv3(x))))));
    x = relu(bn5(up1(x)));
    return head(relu(bn6(up2(x))));
  }
};

struct Data {
  Figures labelled, test;
  Tensor unlabelled;
  std::string source;
  uint64_t seed;
};

Data make_data(const Cell& cell) {
  Generator g(default_generator().next_u64());
  Backgrounds backgrounds = cell.budget() == Budget::smoke ? generated_backgrounds(g) : scene_backgrounds(g);
  auto figures = [&](int64_t n, const Tensor& pictures) { return stick_figures(n, pictures, {}, g); };
  Figures labelled = figures(cell.pick<int64_t>(8, 20, 20), backgrounds.train),
          unlabelled = figures(cell.pick<int64_t>(16, 2000, 2000), backgrounds.train);
  return {labelled, figures(cell.pick<int64_t>(8, 400, 400), backgrounds.test), unlabelled.images, backgrounds.source, g.next_u64()};
}

// The easy view: turned by up to 30°, scaled by up to a quarter, mirrored by chance (then left and right change places).
Figures easy_view(const Figures& f, Generator& g) {
  int64_t n = f.images.size(0), size = f.images.size(2);
  std::vector<double> angle(static_cast<size_t>(n)), scale = angle;
  std::vector<char> mirrored(angle.size());
  for (size_t i = 0; i < angle.size(); ++i) {
    angle[i] = 60 * g.next_double() - 30, scale[i] = 0.75 + 0.5 * g.next_double();
    mirrored[i] = g.next_double() < 0.5;
  }
  AffineBatch affine = AffineBatch::of(angle, scale);
  Tensor images = affine.warp(f.images), flipped = flip(images, {3});
  std::vector<int64_t> which;
  for (char m : mirrored) which.push_back(m);
  Tensor mask = from_vector(which, {n, 1, 1, 1}) > 0;
  Figures out{where(mask, flipped, images), {}, f.area};
  if (!f.joints.defined()) return out;
  std::vector<double> joints = to_vector(affine.joints(f.joints, size, size)), turned = joints;
  for (size_t i = 0; i < mirrored.size(); ++i)
    for (size_t j = 0; j < kFigureJoints && mirrored[i]; ++j) {
      size_t to = 3 * (i * kFigureJoints + j), from = 3 * (i * kFigureJoints + static_cast<size_t>(kMirroredJoint[j]));
      turned[to] = static_cast<double>(size - 1) - joints[from];
      turned[to + 1] = joints[from + 1], turned[to + 2] = joints[from + 2];
    }
  out.joints = to(from_vector(turned, f.joints.shape()), f32);
  return out;
}

struct Arm {
  std::vector<const char*> views;
  double weight = 1;
  bool dual = false;
};
struct NamedArm {
  Variant variant;
  Arm arm;
};

const std::vector<NamedArm>& arms() {
  static const std::vector<NamedArm> all{
      {{"supervised", "the labelled figures alone, easy views"}, {}},
      {{"A60", "PoseCons, hard views are turned and scaled alone"}, {{"A60"}}},
      {{"JO", "PoseCons, joints of others pasted over joints"}, {{"JO"}}},
      {{"CO", "PoseCons, boxes at random places cut out"}, {{"CO"}}},
      {{"JC", "PoseCons, boxes about joints cut out: the best single change before"}, {{"JC"}}},
      {{"JO+CO+CM", "PoseCons, three changes stacked"}, {{"JO+CO+CM"}}},
      {{"JOCO", "PoseCons, JO and then CO"}, {{"JOCO"}}},
      {{"JOCO, weight 2", "the same, its consistency counting twice"}, {{"JOCO"}, 2}},
      {{"JOCO×2", "two hard views of the same kind"}, {{"JOCO", "JOCO"}}},
      {{"dual JC", "PoseDual: two networks teach each other, one view each"}, {{"JC"}, 1, true}},
      {{"JOCO, JCCM, JC, JO", "four hard views"}, {{"JOCO", "JCCM", "JC", "JO"}}},
      {{"MultiAugs, weight ¼", "JOCO and JCCM, their consistency counting a quarter"}, {{"JOCO", "JCCM"}, 0.25}},
      {{"MultiAugs", "JOCO and JCCM: two hard views of different kinds"}, {{"JOCO", "JCCM"}}}};
  return all;
}

const Arm& arm_of(const Cell& cell) {
  return std::ranges::find(arms(), cell.variant(), [](const NamedArm& a) { return a.variant.name; })->arm;
}

// An endless random order of examples.
class Order {
 public:
  Order(int64_t size, uint64_t seed) : size_(size), generator(seed) {}
  Tensor next(int64_t count) { return randint(0, size_, {count}, {.dtype = i64, .generator = &generator}); }

 private:
  int64_t size_;

 public:
  Generator generator;  ///< of the views too
};

// A batch of labelled figures under easy views, with its maps.
Labelled labelled_batch(const Figures& figures, int64_t batch, Order& order) {
  Tensor index = order.next(batch);
  Figures easy = easy_view({index_select(figures.images, 0, index), index_select(figures.joints, 0, index), {}}, order.generator);
  int64_t side = easy.images.size(2) / static_cast<int64_t>(kStride);
  return {easy.images, pose::joint_maps(easy.joints, side, side, kStride, kSigma)};
}

// What stands for the paper's pre-trained backbone: a network that has learned from the labelled figures alone, so that its maps are worth
// teaching.
SmallPoseNet pretrained(Cell& cell, const Data& data, uint64_t seed) {
  SmallPoseNet net;
  optim::Adam adam(net.parameters(), {.lr = 1e-3});
  Order order(data.labelled.images.size(0), seed);
  for (int64_t step = 0; step < cell.pick<int64_t>(3, 1500, 6000); ++step) {
    Labelled batch = labelled_batch(data.labelled, cell.pick<int64_t>(4, 8, 16), order);
    adam.zero_grad();
    pose::joint_map_mse(net(batch.images), batch.target.maps, batch.target.weight).backward();
    adam.step();
    if (step % 20 == 0) cell.progress(0);
  }
  return net;
}

struct Judged {
  double found = 0, error = 0, precision = 0;
};

Judged judge(std::vector<SmallPoseNet>& nets, const Figures& test) {
  NoGrad off;
  std::vector<Tensor> all;
  for (const Tensor& part : split(test.images, 100)) {
    std::vector<Tensor> maps;
    for (SmallPoseNet& net : nets) {
      net.eval();
      maps.push_back(net(part));
      net.train();
    }
    all.push_back(mean(stack(maps), {0}));
  }
  pose::Keypoints k = pose::read_joints(cat(all), kStride);
  Judged j;
  j.found = pose::correct_keypoints(k.places, test.joints, ones({test.images.size(0)}), kReach).share;
  std::vector<double> p = to_vector(k.places), t = to_vector(test.joints), peak = to_vector(mean(k.scores, {1})),
                      area = to_vector(test.area);
  double there = 0;
  for (size_t i = 0; i < p.size() / 2; ++i) {
    if (!(t[3 * i + 2] > 0)) continue;
    j.error += std::hypot(p[2 * i] - t[3 * i], p[2 * i + 1] - t[3 * i + 1]);
    ++there;
  }
  j.error /= there;
  std::vector<double> k_of(static_cast<size_t>(kFigureJoints), 2 * 0.079);
  j.precision = pose::oks_average_precision(pose::object_keypoint_similarity(k.places, test.joints, area, k_of), peak);
  return j;
}

// Test images with what is found as bright crosses.
void show(Cell& cell, std::vector<SmallPoseNet>& nets, const Data& data) {
  NoGrad off;
  int64_t shown = std::min<int64_t>(8, data.test.images.size(0)), size = data.test.images.size(2);
  Tensor images = narrow(data.test.images, 0, 0, shown);
  nets[0].eval();
  std::vector<double> p = to_vector(pose::read_joints(nets[0](images), kStride).places);
  nets[0].train();
  Tensor colour = clone(cat({images * 0.6, images * 0.6, images * 0.6}, 1));
  float* pixels = colour.data<float>();
  for (size_t k = 0; k < p.size() / 2; ++k) {
    auto x = std::clamp<int64_t>(std::llround(p[2 * k]), 0, size - 1), y = std::clamp<int64_t>(std::llround(p[2 * k + 1]), 0, size - 1);
    auto image = static_cast<int64_t>(k) / kFigureJoints, joint = static_cast<int64_t>(k) % kFigureJoints;
    for (int64_t c = 0; c < 3; ++c) pixels[((image * 3 + c) * size + y) * size + x] = (joint + 1) >> c & 1 ? 1.0f : 0.2f;
  }
  cell.picture("test figures on " + data.source + ", the joints found as dots, a colour a joint",
               train::image_grid(colour, {.columns = 4, .zoom = 4}));
}

void run(Cell& cell) {
  auto data = cell.shared("figures", [&] { return make_data(cell); });
  const Arm& arm = arm_of(cell);
  std::vector<SmallPoseNet> nets{*cell.shared("first network", [&] { return pretrained(cell, *data, data->seed + 3); })};
  if (arm.dual) nets.push_back(*cell.shared("second network", [&] { return pretrained(cell, *data, data->seed + 4); }));
  std::vector<Tensor> parameters;
  for (const SmallPoseNet& net : nets)
    for (const Tensor& p : net.parameters()) parameters.push_back(p);
  optim::Adam adam(parameters, {.lr = 1e-3});
  ConsistencyOptions options{.sizes = OpSizes::small(), .stride = kStride, .weight = arm.weight};
  for (const char* view : arm.views) options.plans.push_back(plan_named(view));
  int64_t steps = cell.pick<int64_t>(3, 300, 4000), batch = cell.pick<int64_t>(4, 8, 16), every = std::max<int64_t>(1, steps / 3);
  auto schedule = optim::milestones({steps * 2 / 3, steps * 5 / 6}, 0.1);
  Order labelled(data->labelled.images.size(0), data->seed), unlabelled(data->unlabelled.size(0), data->seed + 1);
  Generator views(data->seed + 2);
  PoseFunction f = [&](const Tensor&x) { return nets[0](x); }, f2 = [&](const Tensor&x) { return nets.back()(x); };
  double peak = 0, passes = 0;
  for (int64_t step = 0; step < steps; ++step) {
    Labelled truth = labelled_batch(data->labelled, batch, labelled);
    Tensor others = options.plans.empty()
                        ? Tensor{}
                        : easy_view({index_select(data->unlabelled, 0, unlabelled.next(batch)), {}, {}}, unlabelled.generator).images;
    adam.set_lr_scale(schedule(step));
    adam.zero_grad();
    PoseLoss loss = arm.dual ? pose_dual_step(f, f2, truth, others, options, views) : pose_cons_step(f, truth, others, options, views);
    loss.total.backward();
    adam.step();
    peak = loss.peak, passes = static_cast<double>(loss.passes);
    if ((step + 1) % every == 0) {
      auto at = static_cast<double>(step + 1);
      cell.point("joints found within 2 pixels (%)", "steps", at, 100 * judge(nets, data->test).found);
      if (!options.plans.empty()) cell.point("mean peak of the easy maps", "steps", at, peak);
    }
    if (step % 10 == 0) cell.progress(static_cast<double>(step) / static_cast<double>(steps));
  }
  Judged j = judge(nets, data->test);
  cell.metric("PCK within 2 pixels (%)", 100 * j.found);
  cell.metric("mean error (pixels)", j.error);
  cell.metric("OKS-AP (%)", 100 * j.precision);
  cell.metric("batches through a network a step", passes);
  show(cell, nets, *data);
}

std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (const NamedArm& a : arms()) all.push_back(a.variant);
  return all;
}

}  // namespace

Experiment experiment() {
  return {
      .title = "MultiAugs",
      .paper =
          "Zhou, Luo, Jiang, Ding, Lu: Boosting Semi-Supervised 2D Human Pose Estimation by Revisiting Data Augmentation and Consistency "
          "Training, arXiv 2402.11566, 2024",
      .claim = "two hard views made of different, complementary changes teach a pose network more than one of them twice, at the same cost",
      .metrics = {{"PCK within 2 pixels (%)"},
                  {"mean error (pixels)", Better::lower},
                  {"OKS-AP (%)"},
                  {"batches through a network a step", Better::neither}},
      .variants = variants(),
      .baseline = "JOCO×2",
      .method = "MultiAugs",
      .run = run};
}

}  // namespace plumb::methods::multiaugs
