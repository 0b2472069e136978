#include "registry/registry.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <set>

#include "base/error.h"
#include "base/parallel.h"
#include "lineage/signature_file.h"
#include "registry/schema.h"
#include "registry/sketch.h"
#include "tokenizer/utf8.h"

namespace defectoscope {
namespace {

constexpr std::size_t kLongestName = 200;

bool is_plain_text(const std::string& text) {
  return !find_invalid_utf8(text) &&
         std::ranges::none_of(text, [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; });
}

void check_names(const std::vector<NamedSignature>& models) {
  std::set<std::string> names;
  for (const NamedSignature& model : models) {
    if (model.name.empty() || model.name.size() > kLongestName || !is_plain_text(model.name))
      throw Error(ErrorKind::kUsage,
                  {.what = "no name for a registry",
                   .expected = fmt::format("1 to {} bytes of UTF-8, no control characters", kLongestName),
                   .got = fmt::format("{} bytes", model.name.size()),
                   .hint = "--name gives another"});
    if (!names.insert(model.name).second)
      throw Error(ErrorKind::kUsage, {.what = "two models of one name: " + model.name,
                                      .hint = "add them one by one, each with its --name"});
  }
}

std::string now() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))); }

/// What is written of one model, made before the writer's place is taken.
struct Prepared {
  std::string signature, direction_bits, token_bits;
};

Prepared prepared(const NamedSignature& model) {
  Prepared made;
  made.signature = signature_bytes(model.signature);
  // What cannot be read back, or not written by any database, must not get in.
  const Signature read = signature_of_bytes(made.signature, model.name);
  for (const std::string* text : {&read.model, &read.family, &read.fingerprint})
    if (!is_plain_text(*text))
      throw_bad_input({.what = "malformed signature",
                       .file = model.name,
                       .tensor = "metadata",
                       .expected = "UTF-8 without control characters",
                       .got = "other bytes"});
  const Sketch sketch = sketch_of(read);
  made.direction_bits = sketch_bytes(sketch.directions);
  made.token_bits = sketch_bytes(sketch.tokens);
  return made;
}

struct Existing {
  std::optional<RegisteredModel> by_name;
  std::string same_weights;  ///< the name of a model with the same weights and form
};

constexpr const char* kColumns =
    "id, name, form, model, family, fingerprint, hidden_size, layers, tokens, added";

RegisteredModel registered(const Row& row) {
  return {.id = row.integer(0),
          .name = row.text(1),
          .form = row.text(2) == signature_form_name(SignatureForm::kPaper) ? SignatureForm::kPaper
                                                                            : SignatureForm::kCanonical,
          .model = row.text(3),
          .family = row.text(4),
          .fingerprint = row.text(5),
          .hidden_size = row.integer(6),
          .layers = row.integer(7),
          .tokens = row.integer(8),
          .added = row.text(9)};
}

Existing existing_models(Database& database, const NamedSignature& model) {
  Existing existing;
  database.query(fmt::format("SELECT {} FROM defectoscope_models WHERE name = $1", kColumns), {model.name},
                 [&](const Row& row) { existing.by_name = registered(row); });
  if (!model.signature.fingerprint.empty())
    database.query(
        "SELECT name FROM defectoscope_models WHERE fingerprint = $1 AND form = $2 ORDER BY name LIMIT 1",
        {model.signature.fingerprint, signature_form_name(model.signature.form)},
        [&](const Row& row) { existing.same_weights = row.text(0); });
  return existing;
}

void insert(Database& database, Index id, const NamedSignature& model, const Prepared& made,
            const std::string& added) {
  const Signature& s = model.signature;
  const std::string form = signature_form_name(s.form);
  database.execute(
      fmt::format("INSERT INTO defectoscope_models ({}) "
                  "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                  kColumns),
      {id, model.name, form, s.model, s.family, s.fingerprint, s.hidden_size, s.layers, s.tokens(), added});
  database.execute("INSERT INTO defectoscope_signatures (model, bytes) VALUES ($1, $2)",
                   {id, Bytes{made.signature}});
  database.execute(
      "INSERT INTO defectoscope_direction_sketches (model, form, hidden_size, bits) VALUES ($1, $2, $3, $4)",
      {id, form, s.hidden_size, Bytes{made.direction_bits}});
  if (!made.token_bits.empty())
    database.execute("INSERT INTO defectoscope_token_sketches (model, form, bits) VALUES ($1, $2, $3)",
                     {id, form, Bytes{made.token_bits}});
}

/// Sketches go with their model (ON DELETE CASCADE).
Index remove_model(Database& database, const std::string& name) {
  return database.execute("DELETE FROM defectoscope_models WHERE name = $1", {name});
}

[[noreturn]] void not_there(const Database& database, const std::string& name) {
  throw_bad_input({.what = "no model of this name in the registry",
                   .file = database.name(),
                   .got = name,
                   .hint = "defectoscope registry list shows all"});
}

}  // namespace

Registry Registry::open(const std::string& where, Access access, int wait_seconds) {
  std::unique_ptr<Database> database = open_database(where, access, wait_seconds);
  if (access == Access::kWrite) {
    migrate(*database, migrations());
  } else {
    const Index known = std::ssize(migrations());
    Transaction look(*database, Access::kRead);
    if (const Index version = schema_version(*database, known); version < known)
      throw_bad_input({.what = version == 0 ? "there is no registry in this database yet"
                                            : "a registry of an older schema",
                       .file = database->name(),
                       .expected = fmt::format("version {}", known),
                       .got = version == 0 ? "no tables" : fmt::format("version {}", version),
                       .hint = "defectoscope registry add MODEL makes it, or brings it up to date"});
  }
  return Registry(std::move(database));
}

std::vector<Added> Registry::add(const std::vector<NamedSignature>& models, bool replace) {
  check_names(models);
  std::vector<Prepared> made(models.size());
  parallel_for(std::ssize(models), [&](Index i) {
    made[static_cast<std::size_t>(i)] = prepared(models[static_cast<std::size_t>(i)]);
  });
  const std::string added = now();

  std::vector<Added> outcomes;
  Transaction transaction(*database_, Access::kWrite);
  Index id = 0;
  database_->query("SELECT COALESCE(MAX(id), 0) FROM defectoscope_models", {},
                   [&](const Row& row) { id = row.integer(0); });
  for (std::size_t i = 0; i < models.size(); ++i) {
    const NamedSignature& model = models[i];
    const Existing existing = existing_models(*database_, model);
    Added outcome{model.name, AddOutcome::kAdded, {}};
    if (existing.by_name) {
      const bool same = existing.by_name->form == model.signature.form &&
                        !existing.by_name->fingerprint.empty() &&
                        existing.by_name->fingerprint == model.signature.fingerprint;
      if (!same && !replace)
        throw Error(
            ErrorKind::kUsage,
            {.what = "the name stands for another model already",
             .file = database_->name(),
             .expected = fmt::format("{}: weights {:.12}, {} form", model.name, existing.by_name->fingerprint,
                                     signature_form_name(existing.by_name->form)),
             .got = fmt::format("weights {:.12}, {} form", model.signature.fingerprint,
                                signature_form_name(model.signature.form)),
             .hint = "--replace puts it in its place, --name gives another name"});
      outcome.outcome = replace ? AddOutcome::kReplaced : AddOutcome::kUnchanged;
      if (replace) remove_model(*database_, model.name);
    } else if (!existing.same_weights.empty()) {
      outcome = {model.name, AddOutcome::kKnown, existing.same_weights};
    }
    if (outcome.outcome == AddOutcome::kAdded || outcome.outcome == AddOutcome::kReplaced)
      insert(*database_, ++id, model, made[i], added);
    outcomes.push_back(std::move(outcome));
  }
  transaction.commit();
  return outcomes;
}

std::vector<RegisteredModel> Registry::list() {
  std::vector<RegisteredModel> models;
  Transaction transaction(*database_, Access::kRead);
  database_->query(fmt::format("SELECT {} FROM defectoscope_models", kColumns), {},
                   [&](const Row& row) { models.push_back(registered(row)); });
  // Here, since databases differ in what they take for alphabetical.
  std::ranges::sort(models, {}, &RegisteredModel::name);
  return models;
}

void Registry::remove(const std::vector<std::string>& names) {
  Transaction transaction(*database_, Access::kWrite);
  for (const std::string& name : names)
    if (remove_model(*database_, name) == 0) not_there(*database_, name);
  transaction.commit();
}

Signature Registry::signature(const std::string& name) {
  std::optional<std::string> bytes;
  {
    Transaction transaction(*database_, Access::kRead);
    database_->query(
        "SELECT s.bytes FROM defectoscope_signatures s JOIN defectoscope_models m ON m.id = s.model "
        "WHERE m.name = $1",
        {name}, [&](const Row& row) { bytes = row.bytes(0); });
  }
  if (!bytes) not_there(*database_, name);
  return signature_of_bytes(std::move(*bytes), fmt::format("{}, {}", database_->name(), name));
}

std::string default_registry() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (const std::string named = variable("DEFECTOSCOPE_REGISTRY"); !named.empty()) return named;
  std::filesystem::path data = variable("XDG_DATA_HOME");
  if (data.empty()) data = std::filesystem::path(variable("HOME")) / ".local/share";
  return data / "defectoscope/registry.db";
}

}  // namespace defectoscope
