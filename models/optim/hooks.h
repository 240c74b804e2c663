// What happens to parameters after an update: hooks for Optimizer::add_hook. lr is the learning rate of the step (schedule included).
#pragma once
#include "models/optim/optimizer.h"

namespace plumb::optim {

/// The hook for these parameters only.
UpdateHook only(std::vector<Tensor> parameters, UpdateHook hook);

/// p ← before + m_r (p − before) for row r of the first dimension: a learning rate for each row (0 freezes it). `multipliers`, of any
/// floating type, has one element a row of `parameter`; it is read at every step, so it may be changed in between.
/// Throws ShapeError if the number of rows differs at a step.
UpdateHook scale_rows(Tensor parameter, Tensor multipliers);
/// p ← p − lr·λ·before: decoupled weight decay (on top of what the optimiser has).
UpdateHook decoupled_decay(double lambda);
/// p ← p − lr·λ·derivative(before): the gradient step of a penalty kept out of the optimiser's moments.
UpdateHook decoupled_penalty(double lambda, std::function<Tensor(const Tensor& parameter)> derivative);
/// The proximal steps  argmin_q ½|q − p|² + lr·λ·penalty(q)  for the penalties
///   |q|₁:              sign(p) max(|p| − lr·λ, 0)                exact zeros
///   ½|q|²:             p / (1 + lr·λ)
///   Σ_rows |q_row|₂:   p_row max(0, 1 − lr·λ/|p_row|)            whole rows of the first dimension to zero
///   ½|q − anchor|²:    (p + lr·λ·anchor) / (1 + lr·λ)            anchors[i] belongs to parameters[i]; other parameters are left alone
UpdateHook proximal_l1(double lambda);
UpdateHook proximal_l2(double lambda);
UpdateHook proximal_rows(double lambda);
UpdateHook proximal_anchor(double lambda, std::vector<Tensor> parameters, std::vector<Tensor> anchors);
/// Limits each element to [low, high].
UpdateHook keep_within(double low, double high);

}  // namespace plumb::optim
