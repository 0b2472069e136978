#include "registry/schema.h"

#include <fmt/format.h>

#include "base/error.h"
#include "lineage/signature_file.h"
#include "registry/sketch.h"

namespace defectoscope {
namespace {

constexpr const char* kVersionTable = "defectoscope_schema";

void make_tables(Database& database) {
  database.execute(
      "CREATE TABLE defectoscope_models (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, "
      "form TEXT NOT NULL, model TEXT NOT NULL, family TEXT NOT NULL, fingerprint TEXT NOT NULL, "
      "hidden_size INTEGER NOT NULL, layers INTEGER NOT NULL, tokens INTEGER NOT NULL, added TEXT NOT NULL)");
  database.execute("CREATE INDEX defectoscope_models_weights ON defectoscope_models (fingerprint, form)");
  // What is read only of the few that come into question, apart from what a search reads of all.
  database.execute(
      "CREATE TABLE defectoscope_signatures (model INTEGER PRIMARY KEY "
      "REFERENCES defectoscope_models (id) ON DELETE CASCADE, bytes BYTEA NOT NULL)");
  database.execute(
      "CREATE TABLE defectoscope_direction_sketches (model INTEGER PRIMARY KEY "
      "REFERENCES defectoscope_models (id) ON DELETE CASCADE, "
      "form TEXT NOT NULL, hidden_size INTEGER NOT NULL, bits BYTEA NOT NULL)");
  database.execute(
      "CREATE INDEX defectoscope_direction_sketches_width "
      "ON defectoscope_direction_sketches (form, hidden_size, model)");
  database.execute(
      "CREATE TABLE defectoscope_token_sketches (model INTEGER PRIMARY KEY "
      "REFERENCES defectoscope_models (id) ON DELETE CASCADE, form TEXT NOT NULL, bits BYTEA NOT NULL)");
}

/// From the signatures, one at a time: what changes the form of a sketch is a step like this one.
void remake_direction_sketches(Database& database) {
  std::vector<Index> ids;
  database.query("SELECT id FROM defectoscope_models ORDER BY id", {},
                 [&](const Row& row) { ids.push_back(row.integer(0)); });
  for (const Index id : ids) {
    std::string bytes;
    database.query("SELECT bytes FROM defectoscope_signatures WHERE model = $1", {id},
                   [&](const Row& row) { bytes = row.bytes(0); });
    const Signature signature =
        signature_of_bytes(std::move(bytes), fmt::format("{}, model {}", database.name(), id));
    database.execute("UPDATE defectoscope_direction_sketches SET bits = $1 WHERE model = $2",
                     {Bytes{sketch_bytes(sketch_of(signature).directions)}, id});
  }
}

}  // namespace

std::span<const Migration> migrations() {
  static const Migration kSteps[] = {
      {"models, signatures and sketches", make_tables},
      {"sketches of 256 bits a direction instead of 128", remake_direction_sketches}};
  return kSteps;
}

Index schema_version(Database& database, Index known) {
  if (!database.has_table(kVersionTable)) {
    if (!database.is_empty())
      throw_bad_input(
          {.what = "no registry",
           .file = database.name(),
           .expected = fmt::format("a database with the table {}, or an empty one", kVersionTable),
           .got = "a database of something else"});
    return 0;
  }
  Index version = 0;
  database.query(fmt::format("SELECT MAX(version) FROM {}", kVersionTable), {},
                 [&](const Row& row) { version = row.integer(0); });
  if (version > known)
    throw_bad_input({.what = "a registry of a newer schema",
                     .file = database.name(),
                     .expected = fmt::format("version {} at most", known),
                     .got = std::to_string(version),
                     .hint = "update defectoscope"});
  return version;
}

void migrate(Database& database, std::span<const Migration> steps) {
  const Index known = std::ssize(steps);
  {
    Transaction look(database, Access::kRead);
    if (schema_version(database, known) == known) return;
  }
  Transaction transaction(database, Access::kWrite);
  // Another writer may have been faster.
  Index version = schema_version(database, known);
  if (version == 0 && !database.has_table(kVersionTable))
    database.execute(
        fmt::format("CREATE TABLE {} (version INTEGER PRIMARY KEY, what TEXT NOT NULL)", kVersionTable));
  for (; version < known; ++version) {
    const Migration& step = steps[static_cast<std::size_t>(version)];
    step.apply(database);
    database.execute(fmt::format("INSERT INTO {} (version, what) VALUES ($1, $2)", kVersionTable),
                     {version + 1, std::string(step.what)});
  }
  transaction.commit();
}

}  // namespace defectoscope
