#include "report/inspection.h"

#include <fmt/format.h>

#include "report/json_values.h"
#include "tensor/tensor.h"

namespace defectoscope {
namespace {

std::string gigabytes(Index bytes) {
  const double size = static_cast<double>(bytes);
  return size >= 1e9 ? fmt::format("{:.2f} GB", size / 1e9) : fmt::format("{:.2f} MB", size / 1e6);
}

std::string positions(const ModelConfig& config) {
  switch (config.architecture->position) {
    case PositionKind::kNone:
      return "none";
    case PositionKind::kLearned:
      return "learned";
    case PositionKind::kAlibi:
      return "ALiBi";
    case PositionKind::kRotaryHalf:
    case PositionKind::kRotaryInterleaved:
      break;
  }
  std::string text = fmt::format("rotary, base {:g}", config.rope_base);
  const auto scaled = [&](const char* kind) {
    return text + fmt::format(", {} scaling by {:g}", kind, config.rope_scaling.factor);
  };
  switch (config.rope_scaling.kind) {
    case RopeScaling::Kind::kNone:
      return text;
    case RopeScaling::Kind::kFactors:
      return text + ", a factor each frequency";
    case RopeScaling::Kind::kLinear:
      return scaled("linear");
    case RopeScaling::Kind::kLlama3:
      return scaled("LLaMA-3's");
    case RopeScaling::Kind::kYarn:
      return scaled("YaRN");
    case RopeScaling::Kind::kLongRope:
      return scaled("LongRoPE");
  }
  return text;
}

/// The first few of a list, and how many more.
template <typename List, typename Name>
std::string some(const List& list, Name name) {
  std::string text;
  std::size_t shown = 0;
  for (const auto& item : list) {
    if (++shown > 10) break;
    text += "  " + name(item) + "\n";
  }
  if (list.size() > 10) text += fmt::format("  … and {} more\n", list.size() - 10);
  return text;
}

}  // namespace

std::string inspection_text(const Inspection& i, bool tensors) {
  const ModelConfig& c = i.config;
  std::string text;
  const auto line = [&](const char* name, const std::string& value) {
    text += fmt::format("{:<16}{}\n", name, value);
  };
  line("family", fmt::format("{} (model_type {})", i.family, c.model_type));
  line("layers", std::to_string(c.layers));
  line("width", std::to_string(c.hidden_size));
  line("heads", c.kv_heads == c.heads
                    ? fmt::format("{} of {}", c.heads, c.head_dim)
                    : fmt::format("{} of {}, {} key-value heads", c.heads, c.head_dim, c.kv_heads));
  line("FFN", fmt::format("{}, {}", c.ffn_size, c.architecture->ffn == FfnForm::kPlain ? "plain" : "gated"));
  line("vocabulary",
       fmt::format("{}{}", c.vocab_size, c.tied_embeddings ? ", embeddings tied to the head" : ""));
  line("positions", fmt::format("{}, up to {}", positions(c), c.max_positions));
  if (!c.causal) line("mask", "none: every token sees all");
  if (c.experts.experts > 0)
    line("experts",
         fmt::format("{} of {}, {} a token{}", c.experts.experts, c.experts.ffn_size, c.experts.chosen,
                     c.experts.shared_ffn_size > 0
                         ? fmt::format(", and a shared one of {}", c.experts.shared_ffn_size)
                         : ""));
  if (c.sliding_window > 0) line("window", fmt::format("{} tokens", c.sliding_window));
  line("parameters", fmt::format("{} ({:.4g} M)", i.parameters, static_cast<double>(i.parameters) / 1e6));
  for (const auto& dtype : i.dtypes)
    line("  ", fmt::format("{}: {} tensors, {} parameters, {}", dtype.format, dtype.tensors, dtype.parameters,
                           gigabytes(dtype.bytes)));
  for (const auto& file : i.files)
    line("file", fmt::format("{}, {}", file.path.filename().string(), gigabytes(file.bytes)));
  line("tokenizer",
       i.tokenizer_files.empty() ? "none found" : fmt::format("{}", fmt::join(i.tokenizer_files, ", ")));
  if (i.weights) line("fingerprint", i.fingerprint);
  if (!i.weights)
    text += fmt::format("\nNo weights: the folder has a config.json alone. It calls for {} tensors{}\n",
                        i.missing.size(), tensors ? ":" : "; --tensors lists them.");
  else if (!i.missing.empty())
    text += fmt::format("\nMissing tensors: {}\n", i.missing.size()) +
            some(i.missing, [](const auto& m) { return m.name + " " + shape_text(m.shape); });
  if (!i.mismatched.empty())
    text +=
        fmt::format("\nTensors of another shape than config.json implies: {}\n", i.mismatched.size()) +
        some(i.mismatched, [](const auto& m) {
          return fmt::format("{}: expected {}, got {}", m.name, shape_text(m.expected), shape_text(m.got));
        });
  if (!i.not_computable.empty())
    text += fmt::format("\nTensors of a type that is not computed with: {}\n", i.not_computable.size()) +
            some(i.not_computable, [](const auto& name) { return name; });
  if (!i.unknown.empty())
    text += fmt::format("\nTensors unknown to the family (ignored): {}\n", i.unknown.size()) +
            some(i.unknown, [](const auto& name) { return name; });
  if (tensors && !i.weights)
    for (const auto& tensor : i.missing)
      text += fmt::format("{:<20}{}\n", shape_text(tensor.shape), tensor.name);
  text += i.usable() ? "\nComplete: `scan` can read it.\n" : "\nNot usable: `scan` would refuse it.\n";
  if (tensors)
    for (const auto& tensor : i.tensors)
      text += fmt::format("{:<8}{:<20}{}\n", tensor.format, shape_text(tensor.shape), tensor.name);
  return text;
}

std::string inspection_json(const Inspection& i) {
  const ModelConfig& c = i.config;
  Json tensors = Json::array();
  for (const auto& tensor : i.tensors)
    tensors.push_back({{"name", tensor.name},
                       {"dtype", tensor.format},
                       {"shape", tensor.shape},
                       {"file", tensor.file.filename().string()}});
  Json files = Json::array();
  for (const auto& file : i.files)
    files.push_back({{"file", file.path.filename().string()}, {"bytes", file.bytes}});
  Json missing = Json::array();
  for (const auto& item : i.missing) missing.push_back({{"name", item.name}, {"shape", item.shape}});
  Json mismatched = Json::array();
  for (const auto& item : i.mismatched)
    mismatched.push_back({{"name", item.name}, {"expected", item.expected}, {"got", item.got}});
  const Json json = {{"schema", "defectoscope.inspect/1"},
                     {"program", program_json()},
                     {"family", i.family},
                     {"model_type", c.model_type},
                     {"fingerprint", i.weights ? Json(i.fingerprint) : Json()},
                     {"weights", i.weights},
                     {"layers", c.layers},
                     {"hidden_size", c.hidden_size},
                     {"heads", c.heads},
                     {"kv_heads", c.kv_heads},
                     {"head_dim", c.head_dim},
                     {"ffn_size", c.ffn_size},
                     {"vocab_size", c.vocab_size},
                     {"max_positions", c.max_positions},
                     {"tied_embeddings", c.tied_embeddings},
                     {"parameters", i.parameters},
                     {"bytes", i.bytes},
                     {"files", std::move(files)},
                     {"tokenizer_files", i.tokenizer_files},
                     {"missing", std::move(missing)},
                     {"mismatched", std::move(mismatched)},
                     {"not_computable", i.not_computable},
                     {"unknown", i.unknown},
                     {"usable", i.usable()},
                     {"tensors", std::move(tensors)}};
  return dump(json) + "\n";
}

}  // namespace defectoscope
