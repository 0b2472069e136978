#pragma once

#include <string>
#include <utility>
#include <vector>

#include "report/section.h"

namespace defectoscope {

/// A fact worth a glance: "Layer 2", "makes the high-norm tokens".
struct Card {
  std::string value, text;
};

/// One model's part of a page.
struct ModelPage {
  std::string name;        ///< heading; plain text, escaped here
  std::string facts = {};  ///< one line: family, size, calibration
  std::vector<Card> cards = {};
  std::vector<Section> sections;  ///< shown by stage, within a stage in this order
  std::string summary = {};       ///< as printed in a terminal; may be empty
};

/// The self-contained page: text, interactive charts, tables, their data; no network. Several models stand
/// side by side, section by section. Series of more than a few thousand points are thinned for the eye
/// (first, last, smallest and largest of every stretch stay); the CSV files hold all. Deterministic.
std::string page_html(const std::vector<ModelPage>& models);

}  // namespace defectoscope
