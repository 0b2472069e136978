#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lineage/compare.h"
#include "lineage/signature.h"
#include "registry/database.h"

namespace defectoscope {

/// What the registry says of a model without looking at its signature.
struct RegisteredModel {
  Index id = 0;
  std::string name;  ///< in the registry, unique
  SignatureForm form = SignatureForm::kCanonical;
  std::string model;  ///< the name its signature was made under
  std::string family, fingerprint;
  Index hidden_size = 0, layers = 0, tokens = 0;
  std::string added;  ///< UTC, 2026-11-25T17:00:00Z
};

struct NamedSignature {
  std::string name;
  Signature signature;
};

enum class AddOutcome {
  kAdded,
  kReplaced,
  kUnchanged,  ///< the name stands for the same weights already
  kKnown       ///< the same weights are there under another name; not added again
};
struct Added {
  std::string name;
  AddOutcome outcome = AddOutcome::kAdded;
  std::string known_as;  ///< of kKnown: the other name
};

struct SearchOptions {
  Index top = 10;  ///< models to return
  /// Models whose signatures are compared; 0: three times `top`, 24 at least.
  Index candidates = 0;
};

/// A model as the search found it: `comparison.a` is what was asked for, b the model. Its p-value and verdict
/// are corrected for all models searched, compared or not (among()).
struct Found {
  std::string name;
  Comparison comparison;
  std::optional<double> distance_degrees;  ///< smallest_distance()
};

struct SearchResult {
  ComparedModel query;
  SignatureForm form = SignatureForm::kCanonical;
  Index searched = 0;        ///< models of the query's form
  Index of_other_form = 0;   ///< models left out: of the other form
  Index compared = 0;        ///< candidates whose signatures were compared
  std::vector<Found> found;  ///< at most `top`; the same weights first, then by p, distance and name
};

/// A database of signatures. Every call is one transaction: done whole or not at all. One writer at a time,
/// any number of readers beside it. Throws as Database says.
class Registry {
 public:
  /// `where` as open_database takes it. For writing, tables are made or brought up to date; for reading, a
  /// database without tables, of an older or of a newer schema is Error(kBadInput).
  static Registry open(const std::string& where, Access access, int wait_seconds = 10);
  explicit Registry(std::unique_ptr<Database> database) : database_(std::move(database)) {}

  /// Adds all, or none. Error(kUsage) where a name stands for other weights and not `replace`, where two
  /// of those given have one name, or a name is empty, longer than 200 bytes, no UTF-8 or has control
  /// characters. Error(kBadInput) for a signature that could not be read back (NaN).
  std::vector<Added> add(const std::vector<NamedSignature>& models, bool replace);
  /// By name.
  std::vector<RegisteredModel> list();
  /// Removes all, or none: Error(kBadInput) names one that is not there.
  void remove(const std::vector<std::string>& names);
  /// The signature stored. Error(kBadInput) where there is none of that name, or it was changed since.
  Signature signature(const std::string& name);

  /// The nearest models. Reads the sketches of all models that can be compared, a piece at a time; those
  /// with the most surprising ones, kind by kind of evidence, are compared by their signatures, and all
  /// where there are no more than that. Memory: a few megabytes and the candidates' signatures.
  SearchResult search(const Signature& query, const SearchOptions& options = {});

  const Database& database() const { return *database_; }

 private:
  std::unique_ptr<Database> database_;
};

/// The registry's place where none is named: $DEFECTOSCOPE_REGISTRY, else registry.db in
/// $XDG_DATA_HOME/defectoscope or ~/.local/share/defectoscope.
std::string default_registry();

}  // namespace defectoscope
