#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lcx {

// Note [JSON]
// COCO files are large, flat and of known layout, so they are read in one pass without a tree in between: the caller
// asks for what it expects next. Input may be anything. Zeros follow the text, which no JSON token contains, so every
// loop over characters stops there, sixteen at a time too, and needs no second check for the end; nesting is limited;
// numbers follow JSON's grammar to the letter (NaN and Infinity are refused) and are rounded correctly.

/// Reads one JSON text from front to back; see Note [JSON].
///
/// Each function throws Error(kInvalidArgument) "NAME: byte N: expected WHAT" where the text goes on with something
/// else. Views stay valid as long as the text, or, for strings with escapes, until the next string.
class JsonReader {
 public:
  /// name  of the file, for messages
  /// text  `size` characters and kPadding zeros behind them; borrowed
  JsonReader(std::string name, const char* text, std::size_t size);

  static constexpr std::size_t kPadding = 16;

  // Containers: `for (begin_object(); next_member(key);)` and `for (begin_array(); next_element();)`.
  void begin_object();
  /// True and the member's key, or false at the object's end.
  bool next_member(std::string_view& key);
  void begin_array();
  /// True before an element, or false at the array's end.
  bool next_element();

  double number();
  /// A number without fraction or exponent.
  std::int64_t integer();
  std::string_view string();
  /// A number or true or false: whether it is neither 0 nor false.
  bool flag();
  /// True if the value is null, which is then read.
  bool null();
  /// Reads any value and forgets it.
  void skip();
  /// Throws unless nothing but white space follows.
  void end();

  // What the next value begins with.
  bool at_array() { return peek() == '['; }
  bool at_object() { return peek() == '{'; }
  bool at_string() { return peek() == '"'; }

  /// Whether a string is a view of the text, and no unescaped copy.
  bool is_borrowed(std::string_view string) const { return string.data() >= begin_ && string.data() <= end_; }
  std::int64_t position() const { return at_ - begin_; }
  const std::string& name() const { return name_; }

  [[noreturn]] void fail(const char* expected) const;

 private:
  char peek();
  void take(char expected, const char* name);
  void enter();
  bool next(char close, const char* expected);
  void skip_literal(std::string_view literal);
  const char* scan_number() const;
  std::string_view unescape(const char* from);
  std::uint32_t code_unit(const char*& at) const;

  std::string name_;
  const char* begin_;
  const char* at_;
  const char* end_;
  int depth_ = 0;
  bool first_ = false;  // no element of the innermost container has been read yet
  std::string unescaped_;
};

}  // namespace lcx
