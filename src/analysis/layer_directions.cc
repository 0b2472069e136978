#include "analysis/layer_directions.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "analysis/angle.h"
#include "analysis/record_fields.h"
#include "base/progress.h"
#include "base/random.h"
#include "linearize/layer_operator.h"
#include "model/model.h"
#include "spectral/singular.h"

namespace defectoscope {
namespace {

constexpr Index kLargestForProducts = 300'000'000;  // parameters

/// L_n · … · L_1, matrix-free.
class ProductOperator final : public LinearOperator {
 public:
  explicit ProductOperator(const std::vector<std::unique_ptr<LinearizedLayer>>& layers) : layers_(layers) {}
  Index rows() const override { return form(layers_.size() - 1).rows(); }
  Index cols() const override { return form(0).cols(); }
  void apply(ConstMatrixView x, MatrixView y) const override {
    Matrix from(x), to(x.rows(), x.cols());
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      form(i).apply(from, to);
      std::swap(from, to);
    }
    put(from, y);
  }
  void apply_transpose(ConstMatrixView x, MatrixView y) const override {
    Matrix from(x), to(x.rows(), x.cols());
    for (std::size_t i = layers_.size(); i-- > 0;) {
      form(i).apply_transpose(from, to);
      std::swap(from, to);
    }
    put(from, y);
  }

 private:
  const LinearOperator& form(std::size_t i) const { return layers_[i]->form(LinearForm::kLayer); }
  static void put(ConstMatrixView from, MatrixView to) {
    for (Index i = 0; i < from.rows(); ++i)
      std::copy(from.row(i).begin(), from.row(i).end(), to.row(i).begin());
  }
  const std::vector<std::unique_ptr<LinearizedLayer>>& layers_;
};

constexpr auto kEachOfDirections = [](auto& directions, const auto& field) {
  field(directions.layer);
  field(directions.attention_angle_degrees);
  field(directions.attention_singular_value);
  field(directions.accumulated_angle_degrees);
};

}  // namespace

AccumulatedDirections layer_directions(const Model& model, const ScanOptions& options, const ScanResult& scan,
                                       ScanJournal& journal) {
  AccumulatedDirections result;
  const std::vector<float>& direction = scan.high_norm.direction;
  const bool products = scan.parameters <= kLargestForProducts;
  if (!products)
    result.note =
        "Accumulated directions cost the square of the number of layers and are left out beyond 300 "
        "million parameters.";
  const auto angle = [&](const SingularTriplets& triplets) -> std::optional<double> {
    if (direction.empty()) return std::nullopt;
    return acute_angle_degrees(triplets.left.row(0), direction);
  };
  Progress progress("Directions of attention and of products", scan.layers);
  std::vector<std::unique_ptr<LinearizedLayer>> layers;
  for (Index index = 0; index < scan.layers; ++index) {
    check_interrupt();
    const std::string name = fmt::format("layer-directions-{:04}", index + 1);
    const auto kept = journal.get(name);
    if (!products) layers.clear();
    if (products || !kept)
      layers.push_back(
          std::make_unique<LinearizedLayer>(model.layer(index), model.config(), options.linearize));
    if (kept) {
      result.layers.push_back(value_of<LayerDirections>(*kept, kEachOfDirections));
      progress.skip();
      continue;
    }
    LayerDirections directions;
    SingularOptions search;
    search.seed = Random(options.seed, static_cast<std::uint64_t>(index)).next_u64();
    directions.layer = index + 1;
    const SingularTriplets attention = leading_singular(layers.back()->form(LinearForm::kAttention), search);
    directions.attention_singular_value = attention.values.empty() ? 0 : attention.values[0];
    directions.attention_angle_degrees = angle(attention);
    if (products)
      directions.accumulated_angle_degrees = angle(leading_singular(ProductOperator(layers), search));
    journal.put(name, record_of(directions, kEachOfDirections));
    result.layers.push_back(directions);
    progress.advance();
  }
  return result;
}

}  // namespace defectoscope
