#include "cli/hub_model.h"

#include <cstdio>

#include "hub/revisions.h"
#include "hub/snapshot.h"
#include "hub/texts.h"

namespace defectoscope {

std::filesystem::path hub_model(const std::string& address) {
  const HubSettings settings = HubSettings::from_environment();
  const SnapshotPlan plan = plan_snapshot(parse_repo(address), {}, settings);
  if (!plan.note.empty()) std::fprintf(stderr, "defectoscope: %s\n", plan.note.c_str());
  return download_snapshot(plan, settings);
}

std::vector<std::string> hub_revisions(const std::string& address) {
  std::vector<std::string> addresses;
  const std::string repository = address.substr(0, address.find('@'));
  for (const std::string& revision : matching_revisions(parse_repo(address), HubSettings::from_environment()))
    addresses.push_back(repository + "@" + revision);
  return addresses;
}

std::filesystem::path text_file(const std::string& text) {
  std::error_code error;
  if (text.empty() || std::filesystem::exists(text, error)) return text;
  const HubSettings settings = HubSettings::from_environment();
  const auto texts = known_texts(settings);
  const TextSource* source = find_text(texts, text);
  return source == nullptr ? std::filesystem::path(text) : fetch_text(*source, settings);
}

}  // namespace defectoscope
