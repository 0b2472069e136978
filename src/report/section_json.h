#pragma once

#include "report/json_values.h"
#include "report/page.h"
#include "report/section.h"

namespace defectoscope {

/// Sections as JSON and back: what the page draws, what sections.json holds (schema
/// docs/schema/sections.schema.json), what compare-report and the journal read. Doubles come back the same.
Json sections_json(const std::vector<Section>& sections);
/// Throws nlohmann::json::exception where the JSON is not of that form.
std::vector<Section> sections_from_json(const Json& json);

/// A model's page as sections.json holds it, and back, as above.
inline constexpr const char* kSectionsSchema = "defectoscope.sections/1";
Json page_json(const ModelPage& page);
ModelPage page_from_json(const Json& json);

}  // namespace defectoscope
