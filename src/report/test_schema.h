#pragma once

#include <filesystem>
#include <string>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include "base/files.h"
#include "report/json_values.h"

namespace defectoscope {

/// What a schema of docs/schema has against a document, a line each; empty where it keeps it.
inline std::string schema_complaints(const std::string& text, const std::string& schema_file) {
  const Json schema_json =
      Json::parse(read_file(std::filesystem::path(DEFECTOSCOPE_SOURCE_DIR) / "docs/schema" / schema_file));
  // valijson reads plain nlohmann::json.
  const auto plain_schema = nlohmann::json::parse(schema_json.dump());
  const auto document = nlohmann::json::parse(text);
  valijson::Schema schema;
  valijson::SchemaParser parser;
  parser.populateSchema(valijson::adapters::NlohmannJsonAdapter(plain_schema), schema);
  valijson::Validator validator;
  valijson::ValidationResults results;
  validator.validate(schema, valijson::adapters::NlohmannJsonAdapter(document), &results);
  std::string complaints;
  for (valijson::ValidationResults::Error error; results.popError(error);) {
    for (const std::string& part : error.context) complaints += part;
    complaints += ": " + error.description + "\n";
  }
  return complaints;
}

}  // namespace defectoscope
