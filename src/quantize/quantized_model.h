#pragma once

#include "quantize/activation_maxima.h"
#include "quantize/module_id.h"
#include "quantize/scheme.h"

namespace defectoscope {

struct QuantizedModelOptions {
  QuantScheme scheme;
  ModuleSet skipped;                         ///< left as they are
  const ActivationMaxima* maxima = nullptr;  ///< needed for static activations; borrowed
  Index window = 0;                          ///< QuantizedLinearOptions::window
  ComputeType compute = ComputeType::kF32;   ///< of what is left
};

/// Options of a Transformer over `model` whose matmuls are quantized, all but the skipped ones, routers and
/// the LM head; embeddings, norms and attention stay as they are. An expert's input is what its tokens of a
/// window give, and has its own step. Where the checkpoint stores query, key and value (or gate and up) as
/// one matrix, they share that matrix's step. `model` and the maxima must outlive the Transformer. Throws
/// Error(kUsage) as check_scheme does, and on static activations without maxima.
TransformerOptions quantized(const Model& model, const QuantizedModelOptions& options);

/// Throws Error(kBadInput) where a matmul's weights are quantized already, as the checkpoint or its
/// config.json says: what a second rounding costs is not what the first did.
void check_unquantized(const Model& model);

/// Bytes of the checkpoint's tensors with the matmuls quantized as said.
Index model_bytes(const Model& model, const QuantScheme& scheme, const ModuleSet& skipped);
/// As they are.
Index model_bytes(const Model& model);

}  // namespace defectoscope
