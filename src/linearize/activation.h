#pragma once

#include "model/architecture.h"

namespace defectoscope {

/// An activation and its first three derivatives at one point. Derivatives of ReLU and ReLU² leave out the
/// point masses at 0.
struct ActivationJet {
  double d0 = 0, d1 = 0, d2 = 0, d3 = 0;
};
ActivationJet activation_jet(Activation activation, double a);
/// The value alone.
double activation_value(Activation activation, double a);

/// Standard normal density and distribution; the latter to full relative precision in the lower tail.
double normal_density(double x);
double normal_distribution(double x);

}  // namespace defectoscope
