#include "checkpoint/strict_json.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"

namespace defectoscope {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxDepth = 64;

/// Builds the document while it checks what the ordinary parser lets pass.
class StrictBuilder : public nlohmann::json_sax<json> {
 public:
  explicit StrictBuilder(const std::string& file) : file_(file) {}
  json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(json::object()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    if (open_.back()->contains(name))
      throw_bad_input({.what = "duplicate key in JSON",
                       .file = file_,
                       .tensor = shortened(name),
                       .expected = "each key once",
                       .got = "a second \"" + shortened(name) + "\""});
    slot_ = &(*open_.back())[name];
    return true;
  }

  bool parse_error(std::size_t position, const std::string& token,
                   const nlohmann::detail::exception&) override {
    throw_bad_input({.what = "not valid JSON",
                     .file = file_,
                     .got = "\"" + shortened(token) + "\" at byte " + std::to_string(position),
                     .hint = "the file may be cut off or damaged: download it again"});
  }

 private:
  json* place(json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(value));
      return &open_.back()->back();
    }
    *slot_ = std::move(value);
    return slot_;
  }
  bool add(json value) {
    place(std::move(value));
    return true;
  }
  bool open(json container) {
    if (open_.size() == kMaxDepth)
      throw_bad_input({.what = "JSON nested too deeply",
                       .file = file_,
                       .expected = "at most " + std::to_string(kMaxDepth) + " levels"});
    open_.push_back(place(std::move(container)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string& file_;
  json root_;
  json* slot_ = nullptr;
  std::vector<json*> open_;  // a parent never changes while its child is open, so the pointers hold
};

}  // namespace

json parse_strict_json(std::string_view text, const std::string& file) {
  StrictBuilder builder(file);
  json::sax_parse(text, &builder);
  return builder.take();
}

std::string shortened(std::string_view text) {
  constexpr std::size_t kLimit = 100;
  if (text.size() <= kLimit) return std::string(text);
  std::size_t end = kLimit;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0u) == 0x80u) --end;
  return std::string(text.substr(0, end)) + "...";
}

}  // namespace defectoscope
