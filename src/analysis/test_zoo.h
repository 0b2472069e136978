#pragma once

#include <memory>
#include <string>

#include "analysis/journal.h"
#include "analysis/scan.h"
#include "model/model.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope::testing_zoo {

inline const std::string kZoo = DEFECTOSCOPE_SOURCE_DIR "/zoo/";

/// A model of the zoo, opened; scanned on the held-out page.
struct ZooModel {
  explicit ZooModel(const std::string& name)
      : model(Model::open(kZoo + name)), tokenizer(open_tokenizer(kZoo + name)) {
    options.text = kZoo + "heldout.txt";
    options.fingerprint = "known";
  }
  ScanResult scan() const {
    ScanJournal journal;
    return defectoscope::scan(model, *tokenizer, options, journal);
  }
  ScanResult scan_states() const {
    ScanJournal journal;
    return defectoscope::scan_states(model, *tokenizer, options, journal);
  }

  Model model;
  std::unique_ptr<Tokenizer> tokenizer;
  ScanOptions options;
};

}  // namespace defectoscope::testing_zoo
