#include "checkpoint/pickle.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <set>
#include <string_view>

#include "base/error.h"
#include "checkpoint/pickle_opcodes.h"
#include "checkpoint/strict_json.h"

namespace defectoscope {
namespace {

constexpr std::size_t kMostTensorDimensions = 8;
constexpr std::size_t kLongestPickle = std::size_t{256} << 20;
constexpr std::size_t kLongestStorageKey = 256;

struct StorageType {
  std::string_view name;
  DType dtype;
};
constexpr StorageType kStorages[] = {{"DoubleStorage", DType::kF64},    {"FloatStorage", DType::kF32},
                                     {"HalfStorage", DType::kF16},      {"LongStorage", DType::kI64},
                                     {"BFloat16Storage", DType::kBF16}, {"IntStorage", DType::kI32},
                                     {"ShortStorage", DType::kI16},     {"CharStorage", DType::kI8},
                                     {"ByteStorage", DType::kU8},       {"BoolStorage", DType::kBool}};

using Ref = std::uint32_t;

enum class Kind {
  kMark,
  kNone,
  kInteger,  // and truth values
  kNumber,
  kText,
  kTuple,
  kList,
  kDict,  // items: key, value, key, value, ...
  kOrderedDictType,
  kRebuildTensor,
  kRebuildParameter,
  kStorageType,
  kStorage,
  kTensor
};

const char* name_of(Kind kind) {
  static constexpr const char* kNames[] = {
      "a mark", "None",   "an integer", "a number",   "a text",         "a tuple",   "a list",
      "a dict", "a type", "a function", "a function", "a storage type", "a storage", "a tensor"};
  return kNames[static_cast<std::size_t>(kind)];
}

struct Value {
  Kind kind = Kind::kNone;
  std::int64_t integer = 0;   // kInteger; kStorageType and kStorage: dtype; kTensor: place in tensors_
  std::string_view text;      // kText; kStorage: its key
  std::int64_t elements = 0;  // kStorage
  std::vector<Ref> items;     // kTuple, kList, kDict
};

/// The stack machine. Values live in one list and refer to each other by place, so that a pickle that
/// contains itself is no leak.
class Machine {
 public:
  Machine(std::span<const std::byte> pickle, const std::string& file) : pickle_(pickle), file_(file) {}

  std::vector<PickledTensor> run() {
    while (!step()) {
    }
    return collect(pop("STOP", Kind::kDict));
  }

 private:
  [[noreturn]] void fail(const std::string& what, const std::string& expected, const std::string& got,
                         const std::string& hint = "the file is damaged, or no state dict") const {
    throw_bad_input({.what = what,
                     .file = file_,
                     .tensor = "pickle, byte " + std::to_string(opcode_at_),
                     .expected = expected,
                     .got = got,
                     .hint = hint});
  }

  std::string_view take(std::uint64_t size) {
    if (size > pickle_.size() - at_)
      fail("pickle is cut short", std::to_string(size) + " more bytes", std::to_string(pickle_.size() - at_));
    const std::string_view taken(reinterpret_cast<const char*>(pickle_.data()) + at_, size);
    at_ += size;
    return taken;
  }
  template <typename T>
  T number() {
    T value;
    const std::string_view bytes = take(sizeof(T));
    std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  std::string_view line() {
    const std::string_view rest(reinterpret_cast<const char*>(pickle_.data()) + at_, pickle_.size() - at_);
    const std::size_t end = rest.find('\n');
    if (end == rest.npos) fail("pickle is cut short", "the end of a name", "the end of the pickle");
    at_ += end + 1;
    return rest.substr(0, end);
  }

  void push(Value value) {
    values_.push_back(std::move(value));
    stack_.push_back(static_cast<Ref>(values_.size() - 1));
  }
  void push(Kind kind, std::int64_t integer = 0) { push(Value{kind, integer, {}, 0, {}}); }
  void push_text(std::string_view text) { push(Value{Kind::kText, 0, text, 0, {}}); }

  Ref pop_any(const char* opcode) {
    if (stack_.empty() || values_[stack_.back()].kind == Kind::kMark)
      fail("pickle takes more than it has put", std::string("a value for ") + opcode, "none");
    const Ref top = stack_.back();
    stack_.pop_back();
    return top;
  }
  const Value& pop(const char* opcode, Kind kind) { return check(pop_any(opcode), kind, opcode); }
  const Value& check(Ref ref, Kind kind, const char* what) const {
    const Value& value = values_[ref];
    if (value.kind != kind)
      fail("pickle has a value of another kind", name_of(kind) + std::string(" for ") + what,
           name_of(value.kind));
    return value;
  }
  Value& top(const char* opcode) {
    if (stack_.empty())
      fail("pickle takes more than it has put", std::string("a value for ") + opcode, "none");
    return values_[stack_.back()];
  }
  std::vector<Ref> pop_to_mark(const char* opcode) {
    std::vector<Ref> items;
    while (!stack_.empty() && values_[stack_.back()].kind != Kind::kMark) {
      items.push_back(stack_.back());
      stack_.pop_back();
    }
    if (stack_.empty()) fail("pickle has no mark to go back to", std::string("a mark for ") + opcode, "none");
    stack_.pop_back();
    std::ranges::reverse(items);
    return items;
  }
  void push_tuple(std::size_t size) {
    std::vector<Ref> items(size);
    for (std::size_t i = size; i-- > 0;) items[i] = pop_any("TUPLE");
    push(Value{Kind::kTuple, 0, {}, 0, std::move(items)});
  }

  void put(std::uint32_t place) { memo_[place] = pop_and_keep(); }
  Ref pop_and_keep() {
    top("PUT");
    return stack_.back();
  }
  void get(std::uint32_t place) {
    const auto found = memo_.find(place);
    if (found == memo_.end())
      fail("pickle asks for what it never kept", "a place in use", std::to_string(place));
    stack_.push_back(found->second);
  }

  void append(const std::vector<Ref>& items) {
    Value& list = top("APPEND");
    if (list.kind != Kind::kList)
      fail("pickle has a value of another kind", "a list for APPEND", name_of(list.kind));
    list.items.insert(list.items.end(), items.begin(), items.end());
  }
  void set_items(const std::vector<Ref>& items) {
    Value& dict = top("SETITEMS");
    if (dict.kind != Kind::kDict)
      fail("pickle has a value of another kind", "a dict for SETITEMS", name_of(dict.kind));
    if (items.size() % 2 != 0)
      fail("pickle has a key without a value", "pairs", std::to_string(items.size()));
    dict.items.insert(dict.items.end(), items.begin(), items.end());
  }

  void global(std::string_view module, std::string_view name) {
    if (module == "collections" && name == "OrderedDict") return push(Kind::kOrderedDictType);
    if (module == "torch._utils" && name == "_rebuild_tensor_v2") return push(Kind::kRebuildTensor);
    if (module == "torch._utils" && name == "_rebuild_parameter") return push(Kind::kRebuildParameter);
    if (module == "torch")
      for (const StorageType& type : kStorages)
        if (name == type.name) return push(Kind::kStorageType, static_cast<std::int64_t>(type.dtype));
    fail("pickle asks for a global that no state dict needs",
         "tensor rebuilders, storage types and OrderedDict alone",
         shortened(std::string(module) + "." + std::string(name)),
         "nothing of it was run; take the model's safetensors version, and trust this file with no "
         "program that would run it");
  }

  void persistent_id() {
    const Value& id = pop("BINPERSID", Kind::kTuple);
    if (id.items.size() != 5 || check(id.items[0], Kind::kText, "a storage").text != "storage")
      fail("persistent id is no storage", "(\"storage\", type, key, device, elements)",
           std::to_string(id.items.size()) + " entries");
    const Value& type = check(id.items[1], Kind::kStorageType, "a storage's type");
    const Value& key = check(id.items[2], Kind::kText, "a storage's key");
    const Value& elements = check(id.items[4], Kind::kInteger, "a storage's elements");
    if (elements.integer < 0 || key.text.size() > kLongestStorageKey)
      fail("storage has no valid size or key", "0 elements or more, a key of at most 256 bytes",
           std::to_string(elements.integer) + " elements");
    push(Value{Kind::kStorage, type.integer, key.text, elements.integer, {}});
  }

  std::vector<Index> sizes(Ref ref, const char* what) const {
    const Value& tuple = check(ref, Kind::kTuple, what);
    if (tuple.items.size() > kMostTensorDimensions)
      fail("tensor has too many dimensions", "at most " + std::to_string(kMostTensorDimensions),
           std::to_string(tuple.items.size()));
    std::vector<Index> result;
    for (const Ref item : tuple.items) {
      result.push_back(check(item, Kind::kInteger, what).integer);
      if (result.back() < 0)
        fail("tensor has a negative size or stride", "0 or more", std::to_string(result.back()));
    }
    return result;
  }

  void rebuild_tensor(const Value& arguments) {
    if (arguments.items.size() < 4)
      fail("tensor without all its parts", "storage, offset, size, stride",
           std::to_string(arguments.items.size()) + " parts");
    const Value& storage = check(arguments.items[0], Kind::kStorage, "a tensor's storage");
    PickledTensor tensor;
    tensor.dtype = static_cast<DType>(storage.integer);
    tensor.storage = storage.text;
    tensor.storage_elements = storage.elements;
    tensor.offset = check(arguments.items[1], Kind::kInteger, "a tensor's offset").integer;
    tensor.shape = sizes(arguments.items[2], "a tensor's size");
    tensor.strides = sizes(arguments.items[3], "a tensor's stride");
    if (const auto problem = tensor.problem()) fail(problem->what, problem->expected, problem->got);
    tensors_.push_back(std::move(tensor));
    push(Kind::kTensor, static_cast<std::int64_t>(tensors_.size() - 1));
  }

  void reduce() {
    const Value& arguments = pop("REDUCE", Kind::kTuple);
    const Value& function = values_[pop_any("REDUCE")];
    switch (function.kind) {
      case Kind::kRebuildTensor:
        return rebuild_tensor(arguments);
      case Kind::kRebuildParameter:
        if (arguments.items.empty()) fail("parameter without a tensor", "a tensor", "nothing");
        return push(Kind::kTensor, check(arguments.items[0], Kind::kTensor, "a parameter").integer);
      case Kind::kOrderedDictType:
        if (!arguments.items.empty())
          fail("OrderedDict with arguments", "an empty one, filled later", "arguments");
        return push(Kind::kDict);
      default:
        fail("pickle calls what is no function", "a tensor rebuilder or OrderedDict", name_of(function.kind));
    }
  }

  /// True at the pickle's end.
  bool step() {
    opcode_at_ = at_;
    const char opcode = take(1)[0];
    switch (opcode) {
      case '\x80':  // PROTO
        if (const auto version = number<std::uint8_t>(); version < 2 || version > 5)
          fail("pickle protocol is not supported", "2 to 5", std::to_string(version));
        break;
      case '\x95':  // FRAME
        number<std::uint64_t>();
        break;
      case '.':  // STOP
        return true;
      case '(':
        push(Kind::kMark);
        break;
      case 'N':
        push(Kind::kNone);
        break;
      case '\x88':
      case '\x89':
        push(Kind::kInteger, opcode == '\x88');
        break;
      case 'J':
        push(Kind::kInteger, number<std::int32_t>());
        break;
      case 'K':
        push(Kind::kInteger, number<std::uint8_t>());
        break;
      case 'M':
        push(Kind::kInteger, number<std::uint16_t>());
        break;
      case '\x8a':  // LONG1
        push(Kind::kInteger, long1());
        break;
      case 'G':  // BINFLOAT
        take(8);
        push(Kind::kNumber);
        break;
      case 'X':  // BINUNICODE
        push_text(take(number<std::uint32_t>()));
        break;
      case '\x8c':  // SHORT_BINUNICODE
      case 'U':     // SHORT_BINSTRING
        push_text(take(number<std::uint8_t>()));
        break;
      case 'T':  // BINSTRING
        push_text(take(number<std::uint32_t>()));
        break;
      case 'q':
        put(number<std::uint8_t>());
        break;
      case 'r':
        put(number<std::uint32_t>());
        break;
      case '\x94':  // MEMOIZE
        put(static_cast<std::uint32_t>(memo_.size()));
        break;
      case 'h':
        get(number<std::uint8_t>());
        break;
      case 'j':
        get(number<std::uint32_t>());
        break;
      case ')':
        push_tuple(0);
        break;
      case '\x85':
      case '\x86':
      case '\x87':
        push_tuple(static_cast<std::size_t>(opcode - '\x84'));
        break;
      case 't':
        push(Value{Kind::kTuple, 0, {}, 0, pop_to_mark("TUPLE")});
        break;
      case ']':
        push(Kind::kList);
        break;
      case '}':
        push(Kind::kDict);
        break;
      case 'a':
        append({pop_any("APPEND")});
        break;
      case 'e':
        append(pop_to_mark("APPENDS"));
        break;
      case 's': {
        const Ref value = pop_any("SETITEM");
        set_items({pop_any("SETITEM"), value});
        break;
      }
      case 'u':
        set_items(pop_to_mark("SETITEMS"));
        break;
      case 'c': {
        const std::string_view module = line();
        global(module, line());
        break;
      }
      case '\x93': {  // STACK_GLOBAL
        const std::string_view name = pop("STACK_GLOBAL", Kind::kText).text;
        global(pop("STACK_GLOBAL", Kind::kText).text, name);
        break;
      }
      case 'R':
        reduce();
        break;
      case 'b':  // BUILD: what a state dict carries beside its entries (versions of modules)
        pop("BUILD", Kind::kDict);
        if (top("BUILD").kind != Kind::kDict)
          fail("pickle sets what is no dict's", "a dict for BUILD", name_of(top("BUILD").kind));
        break;
      case 'Q':
        persistent_id();
        break;
      default:
        refuse(opcode);
    }
    return false;
  }

  std::int64_t long1() {
    const std::string_view bytes = take(number<std::uint8_t>());
    if (bytes.size() > 8) fail("number is too large", "at most 8 bytes", std::to_string(bytes.size()));
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i)
      value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    if (!bytes.empty() && bytes.size() < 8 && (bytes.back() & 0x80) != 0)
      value |= ~std::uint64_t{0} << (8 * bytes.size());
    return static_cast<std::int64_t>(value);
  }

  [[noreturn]] void refuse(char opcode) const {
    fail("pickle has an opcode that no state dict needs", "the opcodes torch.save writes for tensors",
         refused_opcode_name(opcode), "nothing of it was run; take the model's safetensors version");
  }

  std::vector<PickledTensor> collect(const Value& state) {
    std::vector<PickledTensor> result;
    std::set<std::string_view> names;
    std::string others;
    for (std::size_t i = 0; i < state.items.size(); i += 2) {
      const Value& key = values_[state.items[i]];
      const Value& value = values_[state.items[i + 1]];
      if (value.kind != Kind::kTensor) {
        if (others.empty() && key.kind == Kind::kText)
          others = "\"" + shortened(key.text) + "\": " + name_of(value.kind);
        continue;
      }
      if (key.kind != Kind::kText) fail("state dict names a tensor by no text", "a text", name_of(key.kind));
      if (!names.insert(key.text).second) fail("tensor comes twice", "one", shortened(key.text));
      result.push_back(tensors_[static_cast<std::size_t>(value.integer)]);
      result.back().name = key.text;
    }
    if (result.empty())
      fail("no tensors in the pickle", "a state dict: names to tensors", others.empty() ? "nothing" : others,
           "where it is a training checkpoint, save its model's state dict alone");
    return result;
  }

  std::span<const std::byte> pickle_;
  const std::string& file_;
  std::uint64_t at_ = 0;
  std::uint64_t opcode_at_ = 0;
  std::deque<Value> values_;  // a deque: references stay valid as it grows
  std::vector<Ref> stack_;
  std::map<std::uint32_t, Ref> memo_;
  std::vector<PickledTensor> tensors_;
};

}  // namespace

std::vector<PickledTensor> read_state_dict(std::span<const std::byte> pickle, const std::string& file) {
  if (pickle.size() > kLongestPickle)
    throw_bad_input({.what = "pickle is too long",
                     .file = file,
                     .expected = "at most 256 MiB: torch keeps the tensors' values outside it",
                     .got = std::to_string(pickle.size()) + " bytes"});
  return Machine(pickle, file).run();
}

}  // namespace defectoscope
